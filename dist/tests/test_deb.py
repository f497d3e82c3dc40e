"""The .deb, read back as the ar archive of two tars that it is."""

import gzip
import hashlib
import shutil
import subprocess
import unittest
from pathlib import Path

from packages import BINARY, DIST, TOP, Packages, arches, fields, header, members, package, run, stripped

NAMES = ("brackup-restore", "brackup-target")
AMD64 = "x86_64-unknown-linux-musl"
MODES = {"etc/brackup/brackup.conf": 0o640, "etc/init.d/brackup": 0o755, "usr/bin/brackup": 0o755}


def ar(data):
    """{name: contents} of an ar archive."""
    assert data[:8] == b"!<arch>\n"
    found, at = {}, 8
    while at < len(data):
        size = int(data[at + 48:at + 58])
        found[data[at:at + 16].decode().rstrip(" /")] = data[at + 60:at + 60 + size]
        at += 60 + size + size % 2
    return found


@unittest.skipUnless(shutil.which("dpkg-deb"), "LEFT OUT: there is no dpkg-deb")
class Deb(Packages):
    """Structure."""

    def read(self, triple, **environment):
        """(path, control members, data members)."""
        path, = self.build("deb", triple, triple, **environment)
        parts = ar(path.read_bytes())
        self.assertEqual(list(parts), ["debian-binary", "control.tar.xz", "data.tar.xz"])
        self.assertEqual(parts["debian-binary"], b"2.0\n")
        return path, members(parts["control.tar.xz"]), members(parts["data.tar.xz"])

    def test_contents(self):
        _, control, data = self.read(AMD64)
        self.assert_whole(control)
        self.assert_whole(data)
        for name, member in data.items():
            expected = MODES.get(name, 0o755 if member.isdir() else 0o644)
            self.assertEqual(oct(member.mode), oct(expected), name)
        self.assertEqual(data["usr/bin/brackup"].data, header(AMD64))
        for name in ("usr/lib/systemd/system/brackup.service", "usr/lib/sysusers.d/brackup.conf"):
            self.assertTrue(data[name].isfile())
        page = gzip.decompress(data["usr/share/man/man1/brackup.1.gz"].data)
        self.assertIn(b".TH brackup 1", page)
        self.assertIn(b"_brackup()", data["usr/share/bash-completion/completions/brackup"].data)
        configuration = data["etc/brackup/brackup.conf"].data.decode()
        self.assertIn("\nkey_dir = /etc/brackup/keys\n", configuration)
        self.assertIn("\nstate_dir = /var/lib/brackup\n", configuration)

    def test_names_of_the_original(self):
        """Those that the program knows, and each has a manual page."""
        path, = self.build("deb", AMD64, AMD64, more=b"brackup-restore --from\0brackup-target TARGET\0brackup-mount.id\0")
        data = members(ar(path.read_bytes())["data.tar.xz"])
        self.assert_whole(data)
        links = {name: member.linkname for name, member in data.items() if member.issym()}
        expected = {f"usr/bin/{name}": "brackup" for name in NAMES}
        expected |= {f"usr/share/man/man1/{name}.1.gz": "brackup.1.gz" for name in NAMES}
        self.assertEqual(links, expected)
        self.assertFalse(any(member.issym() for member in self.read(AMD64, out="other")[2].values()))
        program = Path(BINARY).read_bytes()
        known = [name for name in package.ORIGINAL if name.encode() in program]
        self.assertLessEqual({"brackup-restore", "brackup-target", "brackup-verify-chunks"}, set(known))

    def test_control(self):
        _, control, data = self.read(AMD64)
        self.assertEqual(
            sorted(control), [".", "conffiles", "control", "md5sums", "postinst", "postrm", "prerm"])
        told = fields(control["control"].data.decode())
        self.assertEqual(told["Architecture"], "amd64")
        self.assertNotIn("Depends", told)
        cargo = subprocess.run(
            ["cargo", "metadata", "--no-deps", "--offline", "--format-version=1"], cwd=TOP, capture_output=True,
            text=True, check=True).stdout
        self.assertIn(f'"version":"{told["Version"].removesuffix("-1")}"', cargo)
        conffiles = control["conffiles"].data.decode().split()
        etc = sorted("/" + name for name, member in data.items() if name.startswith("etc/") and member.isfile())
        self.assertEqual(conffiles, etc)
        sums = dict(reversed(line.split("  ")) for line in control["md5sums"].data.decode().splitlines())
        files = {name: hashlib.md5(member.data).hexdigest() for name, member in data.items() if member.isfile()}
        self.assertEqual(sums, {name: sum for name, sum in files.items() if "/" + name not in conffiles})

    def test_architectures(self):
        names = set()
        for triple in arches.DEBIAN:
            path, control, _ = self.read(triple)
            arch = fields(control["control"].data.decode())["Architecture"]
            self.assertTrue(path.name.endswith(f"-1_{arch}.deb"), path.name)
            names.add(arch)
        self.assertEqual(names, {"amd64", "arm64", "armel", "armhf", "mipsel"})

    def test_the_same_bytes_twice(self):
        one, two = (self.read(AMD64, out=out)[0] for out in ("one", "two"))
        self.assertEqual(one.read_bytes(), two.read_bytes())
        other = self.read(AMD64, out="three", BRACKUP_REVISION="2")[0]
        self.assertNotEqual(one.read_bytes(), other.read_bytes())

    def test_what_is_refused(self):
        other = "aarch64-unknown-linux-musl"
        self.refuses("deb", AMD64, header(other), f"no program for {AMD64}")
        self.refuses("deb", AMD64, b"#!/bin/sh\n" * 10, f"no program for {AMD64}")
        self.refuses("deb", AMD64, header(AMD64, interpreter=True), "is not static")
        mips = "mips-unknown-linux-musl"
        self.refuses("deb", mips, header(mips), "not for Debian")

    @unittest.skipUnless(shutil.which("lintian"), "LEFT OUT: there is no lintian")
    def test_lintian(self):
        done = run("deb", [AMD64, str(self.folder)], stripped(self.folder), BRACKUP_ALLOW_DYNAMIC="1")
        path, = self.built(done)
        told = subprocess.run(["lintian", "--allow-root", path], capture_output=True, text=True, check=False)
        # The program that cargo test builds is not static.
        odd = ("undeclared-elf-prerequisites", "missing-dependency-on-libc")
        left = [line for line in told.stdout.splitlines() if not any(tag in line for tag in odd)]
        self.assertEqual((left, told.stderr), ([], ""))


class Removal(Packages):
    """debian/prerm."""

    def test_what_can_not_be_stopped_is_removed_too(self):
        systemd, init, told = (self.folder / name for name in ("systemd", "init", "told"))
        script = (DIST / "debian/prerm").read_text()
        for path, own in (("/run/systemd/system", systemd), ("/etc/init.d/brackup", init)):
            self.assertIn(path, script)
            script = script.replace(path, str(own))
        tools = self.folder / "bin"
        tools.mkdir()
        for name in ("deb-systemd-invoke", "invoke-rc.d"):
            (tools / name).write_text(f'#!/bin/sh\necho "$@" >>{told}\nexit 1\n')
            (tools / name).chmod(0o755)
        init.write_text("#!/bin/sh\n")
        init.chmod(0o755)
        for begin, asked in (init.exists, "brackup stop\n"), (systemd.mkdir, "stop brackup.service\n"):
            begin()
            told.write_text("")
            for why, expected in ("upgrade", ""), ("remove", asked):
                command = ["sh", "-c", script, "prerm", why]
                done = subprocess.run(command, env={"PATH": f"{tools}:/usr/bin:/bin"}, capture_output=True, text=True, check=False)
                self.assertEqual((done.returncode, told.read_text()), (0, expected), done.stderr)
