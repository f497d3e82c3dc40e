"""How each backup program is called. Everything a program writes lies below its own folder, `home`.

A tool has three commands: prepare() makes a fresh repository and is not timed, backup() and restore() are.
"""

import os
import re
import shutil
import subprocess

PASSWORD = "correct horse battery staple"
HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.environ.get("BENCH_PEERS") or os.path.expanduser("~/.cache/brackup-bench/peers")
PATHS = [*os.environ.get("PATH", "").split(":"), "/opt/peers/bin", os.path.join(PEERS, "bin")]


class NoKey(Exception):
    pass


class Tool:
    name = ""
    program = ""
    version = ["--version"]
    settings = {}

    def __init__(self, exe, home):
        self.exe = exe
        self.home = home
        self.repo = self.within("repo")
        self.into = self.within("restored")
        self.log = ""

    def within(self, *names):
        return os.path.join(self.home, *names)

    def start(self):
        """Empty folders; prepare() makes the repository in them."""
        for name in ("home", "tmp"):
            os.makedirs(self.within(name))

    def env(self):
        """Nothing of the caller's settings but PATH reaches a tool."""
        base = {"PATH": ":".join(PATHS), "HOME": self.within("home"), "TMPDIR": self.within("tmp"), "LC_ALL": "C.UTF-8"}
        return base | {name: value.format(home=self.home) for name, value in self.settings.items()}

    def prepare(self, call, tree):
        raise NotImplementedError

    def backup(self, tree, step):
        raise NotImplementedError

    def restore(self, tree, step):
        """The command, which runs in self.into."""
        raise NotImplementedError

    def restored(self, tree):
        """Where the root of the tree is after restore()."""
        return self.into + tree


class Brackup(Tool):
    name = "brackup"
    program = "brackup"
    chunk_size = "64MB"

    def prepare(self, call, tree):
        for name in ("state", "spool", "keys", "repo"):
            os.mkdir(self.within(name), 0o700)
        self.write_config()
        call([self.exe, "keygen", "--out", self.within("secret.key"), "--config", self.within("config")])
        self.write_config(self.source(tree, self.public_key()))

    def write_config(self, source=""):
        box = "".join(f"{name}_dir = {self.within(folder)}\n"
                      for name, folder in (("state", "state"), ("spool", "spool"), ("key", "keys")))
        target = f"[TARGET:bench]\ntype = Filesystem\npath = {self.repo}\n"
        with open(os.open(self.within("config"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"[BOX]\n{box}\n{source}\n{target}")

    def source(self, tree, recipient):
        return f"[SOURCE:bench]\npath = {tree}\nchunk_size = {self.chunk_size}\nrecipient = {recipient}\n"

    def public_key(self):
        """keygen printed it; "brackupbox1…" is another key."""
        with open(self.log, errors="replace") as file:
            found = re.search(r"\bbrackup1[0-9a-z]+", file.read())
        if not found:
            raise NoKey("keygen printed no word that begins with brackup1")
        return found[0]

    def backup(self, tree, step):
        return [self.exe, "--config", self.within("config"), "--from=bench", "--to=bench", "-q"]

    def restore(self, tree, step):
        return [self.exe, "restore", "--config", self.within("config"), "--key", self.within("secret.key"),
                "--from=bench", "--to=" + self.into, "-q", "bench:latest"]

    def restored(self, tree):
        return self.into


class Brackup5M(Brackup):
    name = "brackup-5m"
    chunk_size = "5MB"


class Restic(Tool):
    name = program = "restic"
    version = ["version"]
    settings = {"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": "{home}/repo"}

    def command(self, *words):
        return [self.exe, "--quiet", "--cache-dir", self.within("cache"), *words]

    def prepare(self, call, tree):
        call(self.command("init"))

    def backup(self, tree, step):
        return self.command("backup", tree)

    def restore(self, tree, step):
        return self.command("restore", "latest", "--target", self.into)


class Borg(Tool):
    name = program = "borg"
    settings = {"BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": "{home}/borg", "BORG_REPO": "{home}/repo"}

    def prepare(self, call, tree):
        os.mkdir(self.within("borg"))
        call([self.exe, "init", "-e", "repokey-blake2"])

    def backup(self, tree, step):
        return [self.exe, "create", f"::{step}", tree]

    def restore(self, tree, step):
        return [self.exe, "extract", f"::{step}"]


class Bupstash(Tool):
    """Backs up with a key that cannot read, as Brackup does."""

    name = program = "bupstash"
    version = ["version"]
    settings = {"BUPSTASH_REPOSITORY": "{home}/repo", "BUPSTASH_QUERY_CACHE": "{home}/query-cache"}

    def prepare(self, call, tree):
        call([self.exe, "new-key", "-o", self.within("secret.key")])
        call([self.exe, "new-sub-key", "--put", "-k", self.within("secret.key"), "-o", self.within("put.key")])
        call([self.exe, "init", "-q", "-r", self.repo])

    def backup(self, tree, step):
        return [self.exe, "put", "-q", "-k", self.within("put.key"), "--send-log", self.within("send-log"),
                f"step={step}", tree]

    def restore(self, tree, step):
        return [self.exe, "restore", "-q", "-k", self.within("secret.key"), "--into", self.into, f"step={step}"]

    def restored(self, tree):
        return self.into


class Rustic(Tool):
    name = program = "rustic"
    settings = {"RUSTIC_PASSWORD": PASSWORD, "RUSTIC_REPOSITORY": "{home}/repo", "RUSTIC_CACHE_DIR": "{home}/cache",
                "RUSTIC_NO_PROGRESS": "true"}

    def prepare(self, call, tree):
        call([self.exe, "init"])

    def backup(self, tree, step):
        return [self.exe, "backup", tree]

    def restore(self, tree, step):
        return [self.exe, "restore", f"latest:{tree}", self.into]

    def restored(self, tree):
        return self.into


KINDS = {kind.name: kind for kind in (Brackup, Brackup5M, Restic, Borg, Bupstash, Rustic)}
BASE = "brackup"  # what the others are compared with


def stored(folder):
    """Path -> bytes of every object in a repository."""
    sizes = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            sizes[path] = os.lstat(path).st_size
    return sizes


def find(program, brackup):
    """The program's path, or None."""
    if program == "brackup":
        return built_brackup(brackup)
    return shutil.which(program, path=":".join(PATHS))


def built_brackup(path):
    """The one that was asked for, or the release build of this repository, which is made if there is none."""
    if path:
        return shutil.which(os.path.abspath(path))
    root = os.path.dirname(HERE)
    target = os.path.join(os.environ.get("CARGO_TARGET_DIR") or os.path.join(root, "target"), "release", "brackup")
    if not os.path.exists(target) and shutil.which("cargo") and os.path.exists(os.path.join(root, "Cargo.toml")):
        subprocess.run(["cargo", "build", "--release"], cwd=root, stdout=subprocess.DEVNULL)
    return shutil.which(target)


def is_stale(exe):
    """Whether a build of this repository is older than its sources."""
    root = os.path.dirname(HERE)
    if not exe.startswith(os.path.join(root, "target")):
        return False
    sources = [os.path.join(root, "Cargo.lock")]
    for place, _, names in os.walk(os.path.join(root, "src")):
        sources += [os.path.join(place, name) for name in names]
    return any(os.path.getmtime(source) > os.path.getmtime(exe) for source in sources if os.path.exists(source))


def describe(exe, version):
    """The first line of what the program says its version is."""
    try:
        said = subprocess.run([exe, *version], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown version: {error}"
    return next((line.strip() for line in said.splitlines() if line.strip()), "unknown version")


def install_peers():
    """The programs to compare with: two from Debian, two from crates.io."""
    admin = [] if os.geteuid() == 0 else ["sudo"]
    packages = ["restic", "borgbackup", "python3-pyfuse3", "fuse3", "libsodium-dev", "pkg-config"]
    commands = [
        [*admin, "apt-get", "update", "-q"],
        [*admin, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages],
        ["cargo", "install", "bupstash", "--locked", "--root", PEERS],
        ["cargo", "install", "rustic-rs", "--locked", "--no-default-features", "--root", PEERS],
    ]
    failed = [command for command in commands if not succeeds(command)]
    for command in failed:
        print("bench: failed:", " ".join(command))
    return not failed


def succeeds(command):
    print("bench: $", " ".join(command), flush=True)
    try:
        return subprocess.run(command).returncode == 0
    except OSError as error:
        print("bench:", error)
        return False
