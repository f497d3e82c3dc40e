"""A fake of Google Drive and of Google's server of logins, for the tests. Run as a program: `server.py DISCOVERY FOLDER`.

It is strict: a request that Google's discovery document does not allow fails, and is kept for the end of the test. It prints its ports as one line of JSON:
`http` and `https` speak to both servers, `proxy` is a CONNECT proxy that ends TLS for Google's own names, for clients that know no other.
What a test wants of it comes as POST /_control. It listens on the loopback only, and ends when its stdin does.
"""

import base64
import email
import http.server
import io
import json
import pathlib
import re
import secrets
import socket
import ssl
import subprocess
import sys
import threading
import urllib.parse

from discovery import Discovery, Violation, masked
from search import parse
from world import FOLDER, ROOT, SCOPE, WORLD, File, Refused, control, device, token

QUANTUM = 256 * 1024
LIST_DEFAULT = "kind,incompleteSearch,nextPageToken,files(kind,id,name,mimeType)"
FILE_DEFAULT = "kind,id,name,mimeType"
GOOGLE = ("www.googleapis.com", "oauth2.googleapis.com")
DISCOVERY = None


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120

    def log_message(self, *_):
        pass

    def parse_request(self):
        """A head that is cut off is none, whatever http.server makes of it."""
        lines = [self.raw_requestline]
        while lines[-1].endswith(b"\n") and lines[-1].strip():
            lines.append(self.rfile.readline(65537))
        if not lines[-1].endswith(b"\n"):
            self.close_connection = True
            return False
        stream, self.rfile = self.rfile, io.BytesIO(b"".join(lines[1:]))
        is_right = super().parse_request()
        self.rfile = stream
        return is_right

    def handle_any(self):
        path, _, query = self.path.partition("?")
        try:
            if path == "/_control":
                return self.answer(200, control(json.loads(self.body())))
            with WORLD.lock:
                WORLD.requests.append(f"{self.command} {self.path}")
                fault = WORLD.fault(self.command, self.path)
            if "status" in fault:
                self.body()
                headers = {"Retry-After": fault["retry_after"]} if "retry_after" in fault else {}
                if "location" in fault:
                    headers["Location"] = fault["location"]
                if "text" in fault:
                    return self.send(fault["status"], fault["text"].encode(), headers)
                raise Refused(fault["status"], fault.get("reason", "backendError"), headers)
            if path in ("/device/code", "/token"):
                return self.oauth(path)
            return self.drive(path, urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)), fault)
        except Violation as violation:
            with WORLD.lock:
                WORLD.violations.append(f"{self.command} {self.path}: {violation}")
            self.close_connection = True
            self.answer(400, Refused(400, "violation").body())
        except Refused as refused:
            self.answer(refused.status, refused.body(), refused.headers)
        except (ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any

    def body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while length := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()
            return body
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError
        return body

    def answer(self, status, value, headers=()):
        self.send(status, json.dumps(value).encode(), {"Content-Type": "application/json; charset=UTF-8", **dict(headers)})

    def send(self, status, body, headers=()):
        lines = [f"HTTP/1.1 {status} x", f"Date: {self.date_time_string()}", f"Content-Length: {len(body)}"] + [f"{name}: {value}" for name, value in dict(headers).items()]
        if self.close_connection:
            lines.append("Connection: close")
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)

    # --- logins ---

    def oauth(self, path):
        if self.command != "POST" or self.headers.get("content-type") != "application/x-www-form-urlencoded":
            raise Violation("a form is posted")
        if self.headers.get("authorization", "").startswith("Basic "):
            # The client's secret as RFC 6749 prefers it; Google wants it in the form.
            self.body()
            return self.answer(401, {"error": "invalid_client"})
        if "authorization" in self.headers:
            raise Violation("a token is said to the server of logins")
        form = urllib.parse.parse_qsl(self.body().decode(), keep_blank_values=True, strict_parsing=True)
        keys, form = [key for key, _ in form], dict(form)
        if len(keys) != len(form):
            raise Violation("a key is there twice")
        with WORLD.lock:
            status, value = device(keys, form) if path == "/device/code" else token(keys, form)
        self.answer(status, value)

    # --- files ---

    def drive(self, path, query, fault):
        method, values, is_upload = DISCOVERY.method("POST" if self.command == "PUT" else self.command, path)
        words = dict(query)
        DISCOVERY.check_query(method, query, ("upload_id",) if is_upload else ())
        self.mask = DISCOVERY.mask(method, words.get("fields") or (LIST_DEFAULT if method["id"] == "drive.files.list" else FILE_DEFAULT)) if "response" in method else None
        client = self.who(method)
        if is_upload:
            return self.upload(method, words, client, fault)
        about = DISCOVERY.check_body(method, self.body())
        with WORLD.lock:
            verb = method["id"].removeprefix("drive.").replace(".", "_")
            result = getattr(self, verb, None)
            if result is None:
                raise Violation(f"{method['id']} is not in this fake")
            result(values, words, about, client, fault)

    def who(self, method):
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if SCOPE not in method.get("scopes", [SCOPE]):
            raise Violation(f"{method['id']} is not for drive.file")
        if scheme != "Bearer" or token not in WORLD.access:
            self.body()
            raise Refused(401, "authError")
        return WORLD.access[token]

    def seen(self, id, client):
        file = WORLD.files.get(id)
        if file is None or file.client != client:
            raise Refused(404, "notFound")
        return file

    def tell(self, file, fault=(), status=200):
        told = file.told()
        for key in ("md5Checksum", "sha1Checksum", "size"):
            if fault and key in fault:
                told.pop(key, None)
                if fault[key] is not None:
                    told[key] = fault[key]
        self.answer(status, masked(told, self.mask))

    def files_list(self, _, words, __, client, fault):
        holds = parse(words["q"]) if "q" in words else lambda file: True
        for parent in re.findall(r"'([^']*)' in parents", words.get("q", "")):
            if parent not in ("root", ROOT):
                self.seen(parent, client)
        found = []
        for file in list(WORLD.files.values()):
            if file.late > 0:
                file.late -= 1
                continue
            trashed = {**file.about, "trashed": file.is_trashed()}
            shown = File.__new__(File)
            shown.about = trashed
            if file.client == client and holds(shown):
                found.append(file)
        for key in reversed((words.get("orderBy") or "").split(",")):
            name, _, direction = key.partition(" ")
            if name and name not in ("createdTime", "folder", "modifiedByMeTime", "modifiedTime", "name", "name_natural", "quotaBytesUsed", "recency"):
                raise Violation(f"orderBy={key}")
            if name:
                found.sort(key=lambda file: file.about.get(name, ""), reverse=direction == "desc")
        begin = int(base64.urlsafe_b64decode(words["pageToken"])) if "pageToken" in words else 0
        count = min(int(words.get("pageSize", 100)), WORLD.page_size)
        page = {"kind": "drive#fileList", "incompleteSearch": bool(fault.get("incomplete")), "files": [file.told() for file in found[begin : begin + count]]}
        if begin + count < len(found):
            page["nextPageToken"] = base64.urlsafe_b64encode(str(begin + count).encode()).decode()
        self.answer(200, masked(page, self.mask))

    def files_get(self, values, words, _, client, fault):
        if values["fileId"] == "root":
            # This scope may not see it.
            raise Refused(404, "notFound")
        file = self.seen(values["fileId"], client)
        if words.get("alt") != "media":
            return self.tell(file, fault)
        if file.about["mimeType"] == FOLDER:
            raise Refused(403, "fileNotDownloadable")
        data, length = file.data, len(file.data)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if not match:
            return self.send(200, data, {"Content-Type": file.about["mimeType"]})
        first, last = int(match[1]), min(int(match[2] or length - 1), length - 1)
        if first >= length:
            raise Refused(416, "requestedRangeNotSatisfiable", {"Content-Range": f"bytes */{length}"})
        self.send(206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{length}", "Content-Type": file.about["mimeType"]})

    def check_parents(self, about, client):
        if len(about.get("parents", [])) > 1:
            raise Refused(400, "teamDrivesParentLimit")
        for parent in about.get("parents", []):
            if parent not in ("root", ROOT) and self.seen(parent, client).about["mimeType"] != FOLDER:
                raise Refused(403, "parentNotAFolder")

    def files_create(self, _, __, about, client, fault):
        self.check_parents(about, client)
        file = WORLD.keep(File(about, b"", client, WORLD.late))
        if fault.get("lost"):
            return self.lose()
        self.tell(file)

    def lose(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def files_update(self, values, words, about, client, _):
        file = self.seen(values["fileId"], client)
        file.about.update(about)
        self.tell(file)

    def files_delete(self, values, _, __, client, ___):
        self.seen(values["fileId"], client)
        doomed = {values["fileId"]}
        while True:
            more = {file.id for file in WORLD.files.values() if doomed & set(file.about["parents"])} - doomed
            if not more:
                break
            doomed |= more
        for id in doomed:
            del WORLD.files[id]
        self.send(204, b"")

    def about_get(self, _, words, __, ___, ____):
        if "fields" not in words:
            raise Violation("about needs fields")
        self.answer(200, masked({"user": {"emailAddress": "nas@example"}, "storageQuota": {"limit": "100000000000", "usage": "0"}}, self.mask))

    # --- uploads ---

    def upload(self, method, words, client, fault):
        kind = words.get("uploadType")
        # rclone posts, and Google takes that too.
        if self.command == "PUT" or "upload_id" in words:
            return self.go_on(words, client, fault)
        if kind == "multipart":
            text = b"Content-Type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + self.body()
            about, media = email.message_from_bytes(text).get_payload()
            about = DISCOVERY.check_body(method, about.get_payload(decode=True))
            with WORLD.lock:
                self.check_parents(about, client)
                return self.tell(WORLD.keep(File({"mimeType": media.get_content_type(), **about}, media.get_payload(decode=True), client, WORLD.late)))
        if kind != "resumable":
            raise Violation(f"uploadType={kind}")
        if not self.headers.get("content-type", "").startswith("application/json"):
            raise Violation("what is said of the file is no JSON")
        about = DISCOVERY.check_body(method, self.body())
        with WORLD.lock:
            self.check_parents(about, client)
            id = secrets.token_hex(16)
            length = self.headers.get("x-upload-content-length")
            WORLD.uploads[id] = {"about": about, "data": bytearray(), "length": length and int(length), "fields": words.get("fields"), "file": None}
        scheme = self.headers.get("x-scheme", self.server.scheme)
        place = f"{scheme}://{self.headers['host']}{self.path}&upload_id={id}"
        self.send(200, b"", {"Location": fault.get("place", place)})

    def go_on(self, words, client, fault):
        upload = WORLD.uploads.get(words.get("upload_id"))
        if fault.get("gone") or upload is None:
            WORLD.uploads.pop(words.get("upload_id"), None)
            self.body()
            raise Refused(fault.get("gone", 404), "notFound")
        length = int(self.headers["content-length"])
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", self.headers.get("content-range", "") or f"bytes 0-{length - 1}/{length}")
        if not match:
            raise Violation(f"content-range: {self.headers['content-range']}")
        total = None if match[3] == "*" else int(match[3])
        if total is not None and upload["length"] not in (None, total):
            raise Violation(f"{total} bytes, and {upload['length']} were announced")
        if match[1] is None:
            if length:
                raise Violation("a question has a body")
        elif not upload["file"]:
            first, last = int(match[1]), int(match[2])
            if first != len(upload["data"]) or length != last - first + 1 or (total is not None and last >= total):
                raise Violation(f"{match[0]} with {length} bytes, behind {len(upload['data'])} bytes")
            if (total is None or last + 1 < total) and length % QUANTUM:
                raise Violation(f"a part of {length} bytes")
            most = first + fault.get("takes", length)
            try:
                self.take(upload, length, most)
            finally:
                is_cut = len(upload["data"]) < first + length
                # What is whole of its quanta is kept.
                if is_cut:
                    del upload["data"][len(upload["data"]) // QUANTUM * QUANTUM :]
        if total is not None and len(upload["data"]) == total and not upload["file"]:
            data = bytes(upload["data"])
            if fault.get("garbles"):
                data = b"\0" + data[1:]
            with WORLD.lock:
                about = {"mimeType": self.headers.get("content-type", "application/octet-stream"), **upload["about"]}
                upload["file"] = WORLD.keep(File(about, data, client, WORLD.late))
                upload["told"] = fault
            if fault.get("races"):
                WORLD.keep(File(about, b"of another box", client))
        if fault.get("lost"):
            if fault.get("and_gone"):
                del WORLD.uploads[words["upload_id"]]
            return self.lose()
        if upload["file"]:
            return self.tell(upload["file"], upload["told"])
        taken = len(upload["data"])
        self.send(308, b"", {"Range": f"bytes=0-{taken - 1}"} if taken else {})

    def take(self, upload, length, most):
        while length:
            piece = self.rfile.read(min(length, 65536))
            if not piece:
                raise ConnectionResetError
            length -= len(piece)
            upload["data"] += piece[: max(0, most - len(upload["data"]))]


# --- the doors ---


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    scheme = "http"
    request_queue_size = 64

    def handle_error(self, request, client_address):
        kind, error, _ = sys.exc_info()
        if not isinstance(error, (ConnectionError, TimeoutError, ssl.SSLError)):
            WORLD.violations.append(f"the fake failed: {kind.__name__}: {error}")
            super().handle_error(request, client_address)


def pump(one, other):
    try:
        while piece := one.recv(65536):
            other.sendall(piece)
    except OSError:
        pass
    for end in (one, other):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def connect(client, context, port):
    """One connection of the proxy: ends its TLS, and goes on to the server that knows itself as https."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(1)
        if not piece:
            return
        head += piece
    match = re.match(rb"CONNECT ([a-z0-9.]+):443 ", head)
    if not match or match[1].decode() not in GOOGLE:
        WORLD.violations.append(f"the proxy is asked for {head[:100]!r}")
        return client.close()
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    inside = context.wrap_socket(client, server_side=True)
    server = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=pump, args=(inside, server), daemon=True).start()
    pump(server, inside)


def proxy(listener, context, port):
    def serve():
        while True:
            client, _ = listener.accept()
            threading.Thread(target=connect, args=(client, context, port), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()


def certificate(folder):
    names = ",".join([*(f"DNS:{name}" for name in GOOGLE), "IP:127.0.0.1"])
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=test"]
    made += ["-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", folder / "server.key", "-out", folder / "server.pem"]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context


def main():
    global DISCOVERY
    DISCOVERY = Discovery(sys.argv[1])
    context = certificate(pathlib.Path(sys.argv[2]))
    servers = [Server(("127.0.0.1", 0), Handler) for _ in range(3)]
    plain, secure, behind = servers
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    secure.scheme = behind.scheme = "https"
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0))
    proxy(listener, context, behind.server_address[1])
    print(json.dumps({"http": plain.server_address[1], "https": secure.server_address[1], "proxy": listener.getsockname()[1]}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
