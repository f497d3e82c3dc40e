"""Backups to a bucket on this machine, over TLS: as fast as it goes, and through a line like a household's.

The server is SeaweedFS (tests/servers). For each line and each tool: the first backup of `small`, an unchanged night, a restore of everything,
a restore of one file. A B C, then A B C again with the next action. At the end a bucket with many objects is listed.
"""

import hashlib
import http.client
import os
import pathlib
import queue
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import measure
import report
import tools
import trees

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "tests"))
import weed  # noqa: E402 - found by the line above

# Round trip and rate of the slow line.
DELAY_S, BYTES_PER_S = 0.020, 50e6 / 8
PIECE_BYTES = 16 * 1024
# What a line holds before its sender has to wait: a tenth of a second.
HELD_BYTES = int(BYTES_PER_S / 10)
# The last is Brackup's alone: the backup is named, as the file is to rclone, and not looked for.
NAMED = "one file of a backup by its name"
ACTIONS = ["first backup", "unchanged night", "restore of all", "restore of one file", NAMED]
LISTED = ["unchanged night", "restore of one file", "fsck", "gc", "size"]


class Line:
    """Passes connections on, each byte late and no more of them a second than the line carries, each way."""

    def __init__(self, port):
        self.to = port
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.server.getsockname()[1]
        self.free_at = {"up": 0.0, "down": 0.0}
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near = self.server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.connect, args=(near,), daemon=True).start()

    def connect(self, near):
        time.sleep(DELAY_S)  # the handshake of TCP
        far = socket.create_connection(("127.0.0.1", self.to))
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pass_on(near, far, "up")
        self.pass_on(far, near, "down")

    def pass_on(self, source, sink, way):
        pieces = queue.Queue(HELD_BYTES // PIECE_BYTES)

        def read():
            while True:
                try:
                    piece = source.recv(PIECE_BYTES)
                except OSError:
                    piece = b""
                with self.lock:
                    sent = max(self.free_at[way], time.monotonic()) + len(piece) / BYTES_PER_S
                    self.free_at[way] = sent
                pieces.put((sent + DELAY_S / 2, piece))
                if not piece:
                    return

        def write():
            while True:
                at, piece = pieces.get()
                time.sleep(max(0.0, at - time.monotonic()))
                try:
                    if piece:
                        sink.sendall(piece)
                    else:
                        sink.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                if not piece:
                    return

        for job in (read, write):
            threading.Thread(target=job, daemon=True).start()

    def close(self):
        self.server.close()


class Cut(Line):
    """Passes on at once, and cuts all connections every second."""

    def __init__(self, port):
        self.open = []
        super().__init__(port)
        threading.Thread(target=self.cut, daemon=True).start()

    def connect(self, near):
        far = socket.create_connection(("127.0.0.1", self.to))
        with self.lock:
            self.open += [near, far]
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    def cut(self):
        while True:
            time.sleep(1)
            with self.lock:
                cut, self.open = self.open, []
            for one in cut:
                hang_up(one)


class Flaky(Line):
    """One request of twenty fails before or behind the server, in one of four ways. Plain HTTP, since it must be read."""

    def __init__(self, port):
        self.chance = random.Random(4)
        super().__init__(port)

    def connect(self, near):
        far = socket.create_connection(("127.0.0.1", self.to))
        above, below = near.makefile("rb"), far.makefile("rb")
        try:
            while head := read_head(above):
                fault = self.chance.choice(["busy", "no answer", "half an answer", "half a request"]) if self.chance.random() < 0.05 else ""
                if fault == "busy":
                    near.sendall(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    return
                length = body_length(head)
                expects = b"\r\nexpect: 100-continue" in head.lower()
                far.sendall(head)
                if expects:
                    first = read_head(below)
                    near.sendall(first)
                    if b" 100 " not in first.split(b"\r\n")[0]:
                        copy(below, near, body_length(first))
                        continue
                copy(above, far, length // 2 if fault == "half a request" else length)
                if fault == "half a request":
                    return
                answer = read_head(below)
                if fault == "no answer":
                    return
                near.sendall(answer[:20] if fault == "half an answer" else answer)
                if fault == "half an answer":
                    return
                copy(below, near, 0 if head.startswith(b"HEAD ") else body_length(answer))
        except OSError:
            pass
        finally:
            hang_up(near)
            hang_up(far)


def read_head(file):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return b""
        head += line
    return head


def body_length(head):
    found = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
    if not found and b"transfer-encoding" in head.lower():
        raise OSError("chunked: not for this line")
    return int(found[1]) if found else 0


def copy(source, sink, length):
    while length:
        piece = source.read(min(length, PIECE_BYTES))
        if not piece:
            raise OSError("ended early")
        sink.sendall(piece)
        length -= len(piece)


def pump(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
    except OSError:
        pass
    hang_up(sink)


def hang_up(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


LINES = {"loopback": (None, "Loopback"), "slow": (Line, f"Through {DELAY_S * 1000:.0f} ms and {BYTES_PER_S * 8 / 1e6:.0f} Mbit/s"),
         "flaky": (Flaky, "One request of twenty fails; twice the tree, in chunks of 1 MiB"),
         "cut": (Cut, "All connections are cut every second; twice the tree, in chunks of 1 MiB")}
# The tree is twice as large there, for a thousand chunks. rclone, with a request or two a file, is at it for hours.
FAULTY = {"flaky", "cut"}


class Bucket:
    """What a tool needs to know of the place that it backs up to."""

    def __init__(self, server, port, name, scheme="https"):
        self.name = name
        self.endpoint = f"{scheme}://127.0.0.1:{port}"
        self.certificate = str(server.certificate)
        server.shell(f"s3.bucket.create -name {name}")


class Brackup(tools.Brackup):
    def write_config(self, source=""):
        super().write_config(source)
        with open(self.within("config"), encoding="utf-8") as file:
            config = file.read()
        head = config[:config.index("[TARGET:bench]")]
        trust = f"tls_ca = {self.bucket.certificate}\n" if self.bucket.endpoint.startswith("https:") else ""
        bucket = (f"[TARGET:bench]\ntype = S3\nbucket = {self.bucket.name}\nendpoint = {self.bucket.endpoint}\n{trust}"
                  f"aws_access_key_id = {weed.ACCESS_KEY}\naws_secret_access_key = {weed.SECRET_KEY}\n")
        with open(self.within("config"), "w", encoding="utf-8") as file:
            file.write(head + bucket)

    def restore_one(self, tree, path):
        return [*self.restore(tree, ""), path]

    def restore_named(self, path):
        listed = subprocess.run([self.exe, "list", "--config", self.within("config"), "bench"], capture_output=True, text=True, check=True)
        *others, _ = self.restore("", "")
        return [*others, max(re.findall(r"\bbench-\d{10}\b", listed.stdout)), path]

    def fsck(self):
        return [self.exe, "fsck", "--config", self.within("config"), "bench", "-q"]

    def gc(self):
        return [self.exe, "gc", "--config", self.within("config"), "bench", "-q"]


class Restic(tools.Restic):
    def env(self):
        return super().env() | {"RESTIC_REPOSITORY": f"s3:{self.bucket.endpoint}/{self.bucket.name}",
                                "AWS_ACCESS_KEY_ID": weed.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": weed.SECRET_KEY}

    def command(self, *words):
        return [*super().command(), "--cacert", self.bucket.certificate, *words]

    def restore_one(self, tree, path):
        return [*self.restore(tree, ""), "--include", f"{tree}/{path}"]


class Rclone(tools.Tool):
    """Copies files one by one, encrypted: no versions, no packing."""

    name = program = "rclone"
    version = ["version"]

    def prepare(self, call, tree):
        call([self.exe, "--config", self.within("config"), "config", "create", "far", "s3", "provider=Other", f"endpoint={self.bucket.endpoint}",
              f"access_key_id={weed.ACCESS_KEY}", f"secret_access_key={weed.SECRET_KEY}"])
        call([self.exe, "--config", self.within("config"), "config", "create", "bench", "crypt", f"remote=far:{self.bucket.name}",
              f"password={tools.PASSWORD}", "--obscure"])

    def copy(self, verb, source, to):
        return [self.exe, "--config", self.within("config"), "--ca-cert", self.bucket.certificate, verb, source, to]

    def size(self):
        return [self.exe, "--config", self.within("config"), "--ca-cert", self.bucket.certificate, "size", f"far:{self.bucket.name}"]

    def backup(self, tree, step):
        return self.copy("copy", tree, "bench:")

    def restore(self, tree, step):
        return self.copy("copy", "bench:", self.into)

    def restore_one(self, tree, path):
        return self.copy("copyto", f"bench:{path}", f"{self.into}/{path}")

    def restored(self, tree):
        return self.into


KINDS = {"brackup": Brackup, "restic": Restic, "rclone": Rclone}


class Net:
    def __init__(self, options, say):
        self.options = options
        self.say = say
        self.records = []
        self.place = tempfile.mkdtemp(prefix="brackup-bench-net-", dir=options.work or os.environ.get("TMPDIR") or "/var/tmp")
        self.within = lambda *names: os.path.join(self.place, *names)

    def run(self):
        if not weed.program():
            sys.exit("bench: there is no server to back up to: run tests/servers")
        # A measured command is waited for with all that this process adopts: the server must be nobody's child by then.
        server = weed.Weed(self.within("weed"), volumes=400)
        measure.adopt_orphans()
        try:
            self.exes = {name: tools.find(kind.program, self.options.brackup) for name, kind in KINDS.items() if name in self.options.tools or name == "rclone"}
            print(f"## To a bucket over TLS: `benches/run {' '.join(sys.argv[1:])}`\n\n{report.machine(self.place)}\n", flush=True)
            for name, exe in self.exes.items():
                print(f"- {name}: {tools.describe(exe, KINDS[name].version) if exe else '**missing**'}")
            for line in self.options.lines:
                tree = self.tree(2 if line in FAULTY else 1)
                for run in range(self.options.runs):
                    self.bench(server, tree, line, run)
                self.print_table(LINES[line][1], line, ACTIONS)
            if self.options.names:
                for run in range(self.options.runs):
                    self.list_many(server, run)
                self.print_table(f"A bucket with {self.options.names:,} objects", "names", LISTED)
        finally:
            server.stop()
            measure.stop_all()
            shutil.rmtree(self.place, ignore_errors=True)
        return int(any(record["problem"] for record in self.records))

    def tree(self, factor):
        """One is there at a time."""
        shutil.rmtree(self.within("trees"), ignore_errors=True)
        tree = trees.KINDS["small"](self.within("trees"), self.options.scale * factor)
        tree.make()
        tree.settle()
        return tree

    def bench(self, server, tree, line, run):
        kind = LINES[line][0]
        is_plain = kind is Flaky
        way = kind(server.http if is_plain else server.port) if kind else None
        cells = []
        for name, exe in self.exes.items():
            if not exe or line in FAULTY and name == "rclone":
                continue
            bucket = Bucket(server, way.port if way else server.port, f"{name}-{line}-{run}", "http" if is_plain else "https")
            cells.append(self.prepared(KINDS[name], exe, bucket, tree, "1MiB" if line in FAULTY else None))
        expected = trees.manifest(tree.path)
        one = sorted(path for path in expected if os.path.isfile(os.path.join(tree.path, path)))[len(expected) // 2]
        for action in ACTIONS:
            for tool in cells:
                if action == NAMED and tool.name != "brackup":
                    continue
                self.measure(server, tool, tree, line, action, expected, one)
        for tool in cells:
            shutil.rmtree(tool.home, ignore_errors=True)
            server.shell(f"s3.bucket.delete -name {tool.bucket.name}")
        if way:
            way.close()

    def prepared(self, kind, exe, bucket, tree, chunk_size=None):
        tool = kind(exe, self.within(f"{kind.name}-{bucket.name}"))
        tool.bucket = bucket
        tool.chunk_size = chunk_size or getattr(tool, "chunk_size", "")
        tool.log = tool.home + ".log"
        os.mkdir(tool.home)
        tool.start()
        tool.prepare(lambda command: self.call(tool, command, tool.home), tree.path)
        return tool

    def list_many(self, server, run):
        """A backup of a few files, and objects of another box: what a night takes, and what lists them for other reasons. rclone only counts them."""
        if not self.exes.get("brackup"):
            return
        tree = trees.KINDS["small"](self.within(f"few-{run}"), 0.01)
        tree.make()
        bucket = Bucket(server, server.port, f"names-{run}")
        brackup = self.prepared(Brackup, self.exes["brackup"], bucket, tree)
        self.call(brackup, brackup.backup(tree.path, "first"), brackup.home)
        fill(server.filer, bucket.name, self.options.names)
        expected = trees.manifest(tree.path)
        one = next(path for path in sorted(expected) if os.path.isfile(os.path.join(tree.path, path)))
        commands = [("unchanged night", brackup, brackup.backup(tree.path, "second")), ("restore of one file", brackup, brackup.restore_one(tree.path, one)),
                    ("fsck", brackup, brackup.fsck()), ("gc", brackup, brackup.gc())]
        if self.exes.get("rclone"):
            rclone = self.prepared(Rclone, self.exes["rclone"], bucket, tree)
            commands.append(("size", rclone, rclone.size()))
        for action, tool, command in commands:
            record = self.take(server, tool, command, tool.home, "names", action)
            if not record["problem"] and action.startswith("restore") and trees.manifest(tool.restored(tree.path)).get(one) != expected[one]:
                record["problem"] = "what was restored is not what was backed up"
        server.shell(f"s3.bucket.delete -name {bucket.name}")

    def measure(self, server, tool, tree, line, action, expected, one):
        tree.warm()
        os.makedirs(tool.into, exist_ok=True)
        command = {"first backup": lambda: tool.backup(tree.path, "first"), "unchanged night": lambda: tool.backup(tree.path, "second"),
                   "restore of all": lambda: tool.restore(tree.path, ""), "restore of one file": lambda: tool.restore_one(tree.path, one), NAMED: lambda: tool.restore_named(one)}[action]()
        record = self.take(server, tool, command, tool.into, line, action)
        if not record["problem"] and action in ("restore of all", "restore of one file", NAMED):
            wanted = expected if action == "restore of all" else {one: expected[one]}
            back = trees.manifest(tool.restored(tree.path))
            if any(back.get(path) != contents for path, contents in wanted.items()):
                record["problem"] = "what was restored is not what was backed up"
                self.say(f"{line} {action} {tool.name}: {record['problem']}")
        shutil.rmtree(tool.into, ignore_errors=True)

    def take(self, server, tool, command, cwd, line, action):
        record = {"line": line, "action": action, "tool": tool.name, "problem": ""}
        # What the one before has left to write is not this one's, and what this one leaves is.
        os.sync()
        before = server.requests()
        result = self.call(tool, command, cwd)
        began = time.monotonic()
        os.sync()
        synced_s = result.wall_s + time.monotonic() - began
        record |= {"wall_s": result.wall_s, "synced_s": synced_s, "cpu_s": result.cpu_s, "rss_kib": result.rss_kib, "requests": server.requests() - before}
        if not result.ok:
            with open(tool.log, errors="replace") as log:
                record["problem"] = result.why() + ": " + " ".join(log.read().split()[-40:])
        self.records.append(record)
        self.say(f"{line} {action} {tool.name}: {record['problem'] or '%.2f s, on the disk %.2f s, %.2f s CPU, %d KiB, %d requests' % tuple(record[name] for name in ('wall_s', 'synced_s', 'cpu_s', 'rss_kib', 'requests'))}")
        return record

    def call(self, tool, command, cwd):
        return measure.run(command, tool.env(), cwd, tool.log, self.options.timeout)

    def print_table(self, head, line, actions):
        rows = []
        for action in actions:
            for name in KINDS:
                runs = [record for record in self.records if (record["line"], record["action"], record["tool"]) == (line, action, name)]
                if not runs:
                    continue
                good = [record for record in runs if not record["problem"]]
                problem = next((record["problem"] for record in runs if record["problem"]), "")
                rows.append([action, name, *([middle(good, "wall_s", 1), middle(good, "synced_s", 1), middle(good, "cpu_s", 1), middle(good, "rss_kib", 1 / 1024), middle(good, "requests", 1, 0)] if good else [problem[:80], "", "", "", ""])])
        print(f"\n### {head}\n")
        print("\n".join(report.markdown(["", "tool", "wall s", "and on the disk", "CPU s", "peak RSS MiB", "requests"], rows)), flush=True)


def fill(port, bucket, count):
    """Puts objects named as chunks there, by the server's other door: that is quicker."""
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in range(count):
        server.request("PUT", f"/buckets/{bucket}/{hashlib.sha1(b'%d' % number).hexdigest()}.chunk", b"x")
        answer = server.getresponse()
        answer.read()
        if answer.status >= 300:
            raise OSError(f"the server takes no object: {answer.status} {answer.reason}")
    server.close()


def middle(runs, name, factor, digits=2):
    values = sorted(record[name] * factor for record in runs)
    return f"{values[len(values) // 2]:.{digits}f}"
