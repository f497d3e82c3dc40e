"""What the fake has: files, logins, faults to come, and what was done wrong. server.py speaks for it."""

import base64
import hashlib
import re
import secrets
import threading

from discovery import Violation

FOLDER = "application/vnd.google-apps.folder"
SCOPE = "https://www.googleapis.com/auth/drive.file"


class Refused(Exception):
    """An answer with an error as the API has them."""

    def __init__(self, status, reason, headers=()):
        super().__init__(reason)
        self.status, self.reason, self.headers = status, reason, dict(headers)

    def body(self):
        words = f"as {self.reason} says. Bearer {WORLD.secret_word}"
        return {"error": {"code": self.status, "message": words, "errors": [{"domain": "global", "reason": self.reason, "message": words}]}}


class File:
    def __init__(self, about, data, client, late=0):
        self.id = about.get("id") or "1" + secrets.token_urlsafe(24)
        self.client, self.late, self.data = client, late, data
        self.about = {key: value for key, value in about.items() if key != "id"}
        self.about.setdefault("name", "Untitled")
        self.about.setdefault("mimeType", "application/octet-stream")
        self.about["parents"] = [ROOT if parent == "root" else parent for parent in about.get("parents", [ROOT])]
        self.about.setdefault("trashed", False)
        WORLD.clock += 1
        now = f"2026-11-26T{WORLD.clock // 3600 % 24:02}:{WORLD.clock // 60 % 60:02}:{WORLD.clock % 60:02}.000Z"
        self.about.setdefault("createdTime", now)
        self.about.setdefault("modifiedTime", now)

    def value(self, term):
        return self.about.get(term, False)

    def is_in(self, parent):
        return (ROOT if parent == "root" else parent) in self.about["parents"]

    def is_trashed(self):
        folder = WORLD.files.get(self.about["parents"][0]) if self.about["parents"] else None
        return self.about["trashed"] or (folder is not None and folder.is_trashed())

    def told(self):
        told = {"kind": "drive#file", "id": self.id, **self.about, "trashed": self.is_trashed()}
        if self.about["mimeType"] != FOLDER:
            told.update(size=str(len(self.data)), md5Checksum=hashlib.md5(self.data).hexdigest(), sha1Checksum=hashlib.sha1(self.data).hexdigest(), sha256Checksum=hashlib.sha256(self.data).hexdigest())
        return told


class World:
    def __init__(self):
        self.lock = threading.RLock()
        self.clock = self.granted = 0
        self.files = {}
        self.uploads = {}
        self.violations = []
        self.faults = []
        self.requests = []
        self.client = ("client-1.apps.example", "GOCSPX-hush-client")
        self.secret_word = "ya29.hush-access-0"
        self.access, self.refresh = {}, {}
        self.devices, self.polls, self.device_answer = {}, [], {}
        self.page_size, self.late, self.expires_in, self.rotates = 1000, 0, 3599, False

    def grant(self):
        """A token for the hour, and one to keep."""
        self.granted += 1
        number = self.granted
        access, refresh = f"ya29.hush-access-{number}", f"1//hush-refresh-{number}"
        self.access[access] = self.client[0]
        self.refresh[refresh] = self.client[0]
        self.secret_word = access
        return access, refresh

    def fault(self, verb, path):
        """The next fault of this request, if there is one."""
        for fault in self.faults:
            if re.search(fault["on"], f"{verb} {path}"):
                if fault.get("after", 0) > 0:
                    fault["after"] -= 1
                    continue
                fault["times"] = fault.get("times", 1) - 1
                if fault["times"] <= 0:
                    self.faults.remove(fault)
                return fault
        return {}

    def place(self, path):
        """The folder of this path, if it is there."""
        parent = ROOT
        for name in path.split("/"):
            found = [file for file in self.files.values() if file.about["name"] == name and file.is_in(parent) and file.about["mimeType"] == FOLDER and not file.is_trashed()]
            if not found:
                return None
            parent = found[0].id
        return parent

    def at(self, path, name):
        folder = self.place(path)
        return [file for file in self.files.values() if folder and file.about["name"] == name and file.is_in(folder) and not file.is_trashed()]

    def keep(self, file):
        self.files[file.id] = file
        return file


ROOT = "0Aroot-of-the-drive"
WORLD = World()


def device(keys, form):
    if sorted(keys) != ["client_id", "scope"]:
        raise Violation(f"/device/code has {keys}")
    if form["scope"] != SCOPE:
        raise Violation(f"scope={form['scope']}")
    if form["client_id"] != WORLD.client[0]:
        return 401, {"error": "invalid_client", "error_description": "The OAuth client was not found."}
    code = f"AH-1Ng-hush-device-{len(WORLD.devices)}"
    WORLD.devices[code] = True
    return 200, {"device_code": code, "user_code": "GQVQ-JKEC", "verification_url": "https://www.google.com/device", "expires_in": 1800, "interval": 1, **WORLD.device_answer}


def token(keys, form):
    kind = form.get("grant_type")
    wanted = {"refresh_token": ["refresh_token"], "urn:ietf:params:oauth:grant-type:device_code": ["device_code"]}.get(kind)
    if wanted is None or sorted(keys) != sorted(["client_id", "client_secret", "grant_type", *wanted]):
        raise Violation(f"/token has {keys}, grant_type={kind}")
    if (form["client_id"], form["client_secret"]) != WORLD.client:
        return 401, {"error": "invalid_client", "error_description": f"not with {form['client_secret']}"}
    if kind == "refresh_token":
        if form["refresh_token"] not in WORLD.refresh:
            return 400, {"error": "invalid_grant", "error_description": f"Token {form['refresh_token']} has been expired or revoked."}
        access, refresh = WORLD.grant()
        answer = {"access_token": access, "expires_in": WORLD.expires_in, "scope": SCOPE, "token_type": "Bearer"}
        if WORLD.rotates:
            del WORLD.refresh[form["refresh_token"]]
            answer["refresh_token"] = refresh
        return 200, answer
    if form["device_code"] not in WORLD.devices:
        return 400, {"error": "invalid_grant", "error_description": "Malformed auth code."}
    said = WORLD.polls.pop(0) if WORLD.polls else "granted"
    if said != "granted":
        # As Google has it; a number in front of it is another status.
        status = {"authorization_pending": 428, "slow_down": 403, "access_denied": 403}.get(said, 400)
        number, _, word = said.rpartition(" ")
        return int(number or status), {"error": word, "error_description": f"of {form['device_code']}"}
    access, refresh = WORLD.grant()
    return 200, {"access_token": access, "expires_in": WORLD.expires_in, "refresh_token": refresh, "scope": WORLD.device_answer.get("granted_scope", SCOPE), "token_type": "Bearer"}


def control(ask):
    """What a test wants."""
    with WORLD.lock:
        op = ask.pop("op")
        if op == "set":
            for name, value in ask.items():
                if not hasattr(WORLD, name):
                    raise KeyError(name)
                setattr(WORLD, name, value)
        elif op == "fault":
            WORLD.faults.append(ask)
        elif op == "grant":
            access, refresh = WORLD.grant()
            return {"access": access, "refresh": refresh}
        elif op == "end_access":
            WORLD.access.clear()
        elif op == "revoke":
            WORLD.access.clear()
            WORLD.refresh.clear()
        elif op == "read":
            found = WORLD.at(ask["path"], ask["name"])
            return [base64.b64encode(file.data).decode() for file in found]
        elif op == "ids":
            return [file.id for file in WORLD.at(ask["path"], ask["name"])]
        elif op == "count":
            folder = WORLD.place(ask["path"])
            return len([file for file in WORLD.files.values() if file.is_in(folder) and not file.is_trashed()])
        elif op == "write":
            about = {"name": ask["name"], "parents": [WORLD.place(ask["path"])], **ask.get("about", {})}
            WORLD.keep(File(about, base64.b64decode(ask["data"]), ask.get("client", WORLD.client[0])))
        elif op == "many":
            folder = WORLD.place(ask["path"])
            for number in range(ask["count"]):
                name = hashlib.sha1(str(number).encode()).hexdigest() + ".chunk"
                WORLD.keep(File({"name": name, "parents": [folder]}, b"1234567", WORLD.client[0]))
        elif op == "make_folder":
            WORLD.keep(File({"name": ask["name"], "parents": [ask.get("parent", ROOT)], "mimeType": FOLDER}, b"", WORLD.client[0]))
        elif op == "remove":
            for file in WORLD.at(ask["path"], ask["name"]):
                del WORLD.files[file.id]
        elif op == "trash":
            if "name" in ask:
                for file in WORLD.at(ask["path"], ask["name"]):
                    file.about["trashed"] = True
            else:
                WORLD.files[WORLD.place(ask["path"])].about["trashed"] = True
        elif op == "vanish":
            folder = WORLD.place(ask["path"])
            for id in [file.id for file in WORLD.files.values() if file.id == folder or file.is_in(folder)]:
                del WORLD.files[id]
        elif op == "requests":
            found, WORLD.requests = WORLD.requests, []
            return found
        elif op == "end":
            return {"violations": WORLD.violations, "faults": WORLD.faults}
        else:
            raise KeyError(op)
        return None
