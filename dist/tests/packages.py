"""Builds packages for the tests, and reads them back with nothing of what wrote them."""

import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest
from pathlib import Path

DIST = Path(__file__).resolve().parents[1]
TOP = DIST.parent
EPOCH = 1_700_000_000
# What cargo test built, or what the environment names. It prints the manual, and is what is installed.
BINARY = os.environ.get("BRACKUP_BINARY") or str(TOP / "target/debug/brackup")

sys.path.insert(0, str(DIST / "common"))
import arches  # noqa: E402
import package  # noqa: E402,F401


def header(triple, interpreter=False):
    """The beginning of a program for a triple: enough to pack, not to run."""
    bits, order, machine = arches.ELF[triple]
    end = "<" if order == "little" else ">"
    word = "Q" if bits == 64 else "I"
    size = 64 if bits == 64 else 52
    entry = 56 if bits == 64 else 32
    ident = b"\x7fELF" + bytes([bits // 32, 1 if order == "little" else 2, 1]) + bytes(9)
    kind = 3 if interpreter else 1
    rest = struct.pack(f"{end}HHI{word}{word}{word}IHHHHHH", 2, machine, 1, 0, size, 0, 0, size, entry, 1, 0, 0, 0)
    return ident + rest + struct.pack(end + "I", kind) + bytes(entry - 4)


def stripped(folder):
    """What cargo test built, without what is for debuggers: a quarter of the bytes to compress."""
    to = folder / "stripped"
    if shutil.which("strip"):
        subprocess.run(["strip", "-o", to, BINARY], check=True)
    else:
        shutil.copy(BINARY, to)
    return to


def run(tool, arguments, binary, **environment):
    """A tool of this folder."""
    surroundings = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    surroundings |= {"BRACKUP_BINARY": str(binary), "BRACKUP_HOST": BINARY, "SOURCE_DATE_EPOCH": str(EPOCH)}
    command = [sys.executable, DIST / tool, *arguments]
    return subprocess.run(command, env=surroundings | environment, capture_output=True, text=True, check=False)


class Packages(unittest.TestCase):
    """A test with a folder for packages."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="brackup-dist-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def build(self, tool, name, triple, out="out", more=b"", **environment):
        """The packages that a tool makes, their program being no more than a header, and what is to be `more`."""
        binary = self.folder / "program"
        binary.write_bytes(header(triple) + more)
        return self.built(run(tool, [name, str(self.folder / out)], binary, **environment))

    def built(self, done):
        """The paths that it printed."""
        self.assertEqual(done.returncode, 0, done.stderr)
        return [Path(line) for line in done.stdout.split()]

    def refuses(self, tool, name, program, why):
        """Nothing is made of such a program."""
        binary = self.folder / "program"
        binary.write_bytes(program)
        done = run(tool, [name, str(self.folder / "refused")], binary)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(why, done.stderr)
        self.assertEqual(list(self.folder.glob("refused/*")), [])

    def assert_whole(self, members):
        """What holds for the files of every package: owner, modes, date, nothing of this machine."""
        for name, member in members.items():
            with self.subTest(name):
                self.assertEqual((member.uid, member.gid, member.uname, member.gname), (0, 0, "root", "root"))
                self.assertEqual(member.mtime, EPOCH)
                if member.issym():
                    self.assertIn(member.name.rpartition("/")[0].removeprefix("./") + "/" + member.linkname, members)
                    continue
                self.assertTrue(member.isfile() or member.isdir())
                self.assertFalse(member.mode & 0o7022, oct(member.mode))
                self.assertNotIn("..", name)
                if member.isfile():
                    self.assertNotIn(str(TOP).encode(), member.data)
                    self.assertEqual(member.data.startswith((b"#!", b"\x7fELF")), bool(member.mode & 0o111), name)


class Member(tarfile.TarInfo):
    """With its contents."""

    data = None


def members(data):
    """{name without ./: member} of a tar's bytes, plain or compressed; `.data` has the contents."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), tarinfo=Member) as tar:
        for member in tar:
            member.data = tar.extractfile(member).read() if member.isfile() else None
            name = member.name.removeprefix("./")
            assert name not in found, f"{name} is there twice"
            found[name] = member
    return found


def fields(text):
    """A control file; lines that go on are left out."""
    return dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(" "))
