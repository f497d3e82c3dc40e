"""The .spk read back, the folder for QDK, and the script that runs the service on both."""

import hashlib
import json
import os
import re
import shutil
import struct
import subprocess

from packages import BINARY, EPOCH, Packages, arches, header, members, run

AARCH64 = "aarch64-unknown-linux-musl"
SCRIPTS = {"preinst", "postinst", "preuninst", "postuninst", "preupgrade", "postupgrade", "start-stop-status"}

# What the scripts of both boxes do, with the seconds of a test.
SCENE = """
set -u
PROG=$1 CONF=$2 PIDFILE=$3/pid ERRFILE=$3/err
say() { echo "$1" >&2; }
. "$4"
AGAIN_AFTER=1
is_running && exit 10
service_start || exit 11
is_running || exit 12
first=$(cat "$PIDFILE")
service_start
[ "$(cat "$PIDFILE")" = "$first" ] || exit 13
[ "$(cat /proc/$first/oom_score_adj)" = 500 ] || exit 14
kill -KILL "$first"
tries=300
# On a busy machine what was killed takes a while to be gone.
until { [ "$(cat "$PIDFILE")" != "$first" ] && is_running; } || [ $tries = 0 ]; do
    sleep 0.1
    tries=$((tries - 1))
done
second=$(cat "$PIDFILE")
[ "$first" != "$second" ] && is_running || exit 15
grep 'ended with status 137, is started again' "$ERRFILE" >/dev/null || exit 16
service_reload || exit 17
service_stop || exit 18
is_running && exit 19
[ ! -e "$PIDFILE" ] && [ ! -e "$ERRFILE" ] || exit 20
# A number that another process has now.
echo $$ >"$PIDFILE"
is_running && exit 21
service_stop
echo all is well
"""

# A program that checks as the real one does, and stays until it is told to go.
STAND_IN = """#!/bin/bash
[ "$1" != config ] || exec {binary} "$@"
[ -n "${{AGAIN:-}}" ] || AGAIN=1 exec -a "$0" /bin/bash "$0" "$@"
trap : HUP
trap 'exit 0' TERM
while :; do sleep 0.05; done
"""


class Synology(Packages):
    """Structure: no DSM has seen it."""

    def read(self, triple, out="out"):
        """(path, INFO, members, members of package.tgz)."""
        path, = self.build("spk", triple, triple, out)
        outer = members(path.read_bytes())
        info = dict(line.split("=", 1) for line in outer["INFO"].data.decode().splitlines())
        return path, {name: value.strip('"') for name, value in info.items()}, outer, members(outer["package.tgz"].data)

    def test_contents(self):
        path, info, outer, inside = self.read(AARCH64)
        # Plain: the package centre does not take a compressed one.
        self.assertEqual(path.read_bytes()[257:262], b"ustar")
        self.assert_whole(outer)
        self.assert_whole(inside)
        self.assertEqual({name.split("/")[1] for name in outer if name.startswith("scripts/")}, SCRIPTS)
        self.assertEqual(json.loads(outer["conf/privilege"].data), {"defaults": {"run-as": "package"}})
        self.assertLess(outer["LICENSE"].size, 1 << 20)
        self.assertEqual(info["checksum"], hashlib.md5(outer["package.tgz"].data).hexdigest())
        self.assertRegex(info["version"], r"^[0-9]+(\.[0-9]+)*-[0-9]+$")
        self.assertEqual(info["os_min_ver"], "7.0-40000")
        for name, size in (("PACKAGE_ICON.PNG", 64), ("PACKAGE_ICON_256.PNG", 256)):
            self.assertEqual(struct.unpack(">8s8xII", outer[name].data[:24]), (b"\x89PNG\r\n\x1a\n", size, size))
        files = {name: oct(member.mode) for name, member in inside.items() if member.isfile()}
        expected = {"bin/brackup": "0o755", "share/brackup.conf": "0o644", "share/background.sh": "0o644"}
        self.assertEqual(files, expected)
        configuration = inside["share/brackup.conf"].data.decode()
        self.assertIn("\nstate_dir = /var/packages/brackup/var\n", configuration)

    def test_names_of_the_original(self):
        path, = self.build("spk", AARCH64, AARCH64, more=b"brackup-target TARGET\0brackup-restore.id\0")
        inside = members(members(path.read_bytes())["package.tgz"].data)
        self.assert_whole(inside)
        links = {name: member.linkname for name, member in inside.items() if member.issym()}
        self.assertEqual(links, {"bin/brackup-target": "brackup"})

    def test_architectures(self):
        for triple, names in arches.SYNOLOGY.items():
            self.assertEqual(self.read(triple)[1]["arch"], names)
        armv5 = "armv5te-unknown-linux-musleabi"
        self.refuses("spk", armv5, header(armv5), "not for DSM 7")
        self.refuses("spk", AARCH64, header(AARCH64, interpreter=True), "is not static")

    def test_the_same_bytes_twice(self):
        one, two = (self.read(AARCH64, out)[0].read_bytes() for out in ("one", "two"))
        self.assertEqual(one, two)

    def test_the_first_configuration_stays(self):
        _, _, outer, inside = self.read(AARCH64)
        etc, dest = self.folder / "etc", self.folder / "target"
        (dest / "share").mkdir(parents=True)
        (dest / "share/brackup.conf").write_bytes(inside["share/brackup.conf"].data)
        script = outer["scripts/postinst"].data.decode().replace("/var/packages/brackup/etc", str(etc))
        for text in (inside["share/brackup.conf"].data, b"the owner's\n"):
            subprocess.run(["sh", "-c", script], env={**os.environ, "SYNOPKG_PKGDEST": str(dest)}, check=True)
            self.assertEqual((etc / "brackup.conf").read_bytes(), text)
            self.assertEqual(oct((etc / "brackup.conf").stat().st_mode & 0o777), "0o640")
            (etc / "brackup.conf").write_bytes(b"the owner's\n")


class Qdk(Packages):
    """A folder that QDK's documentation asks for: no QDK has seen it."""

    def test_contents(self):
        binary = self.folder / "program"
        binary.write_bytes(header(AARCH64))
        out, = self.built(run("qdk", [str(self.folder / "qdk"), AARCH64], binary))
        files = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
        expected = {"arm_64/brackup", "qpkg.cfg", "package_routines"}
        shared = {"shared/brackup.sh", "shared/background.sh", "shared/brackup.conf.new"}
        self.assertEqual(set(files), expected | shared)
        self.assertEqual({path.stat().st_mtime for path in files.values()}, {EPOCH})
        executable = {name for name, path in files.items() if path.stat().st_mode & 0o111}
        self.assertEqual(executable, {"arm_64/brackup", "shared/brackup.sh"})
        told = subprocess.run(
            ["sh", "-ec", '. ./qpkg.cfg; . ./package_routines; SYS_QPKG_DIR=$PWD/shared pkg_post_install; echo $QPKG_VER'],
            cwd=out, capture_output=True, text=True, check=True).stdout
        self.assertRegex(told, r"^[0-9.]{1,10}\n$")
        self.assertEqual(list(out.glob("shared/brackup-*")), [])
        # QDK puts the program of the box's CPU there.
        (out / "shared/brackup").write_bytes(b"\x7fELF\0brackup-target TARGET\0brackup-restore.id\0")
        subprocess.run(["sh", "-ec", ". ./package_routines; SYS_QPKG_DIR=$PWD/shared pkg_post_install"], cwd=out, check=True)
        links = {path.name: os.readlink(path) for path in out.glob("shared/brackup-*")}
        self.assertEqual(links, {"brackup-target": "brackup"})
        self.assert_the_key_outlives_the_package(out)
        configuration = (out / "shared/brackup.conf").read_text()
        self.assertIn(f"\nkey_dir = {out}/shared/keys\n", configuration)
        self.assertIn(f"\nstate_dir = {out}/shared/state\n", configuration)

    def test_an_upgrade_keeps_the_configuration(self):
        binary = self.folder / "program"
        binary.write_bytes(header(AARCH64))
        out, = self.built(run("qdk", [str(self.folder / "qdk"), AARCH64], binary))
        packed = {path.name for folder in ("arm_64", "shared") for path in (out / folder).iterdir()}
        # qbuild ends where a file is to be kept that is not packed.
        kept = re.findall('^QPKG_CONFIG="(.*)"$', (out / "qpkg.cfg").read_text(), re.M)
        self.assertLessEqual(set(kept), packed)
        home = self.folder / "home"
        surroundings = {**os.environ, "SYS_QPKG_DIR": str(home)}
        # The second is the upgrade: QDK unpacks it over what is there.
        for holds in ("[BOX]", "the owner's"):
            for folder in ("arm_64", "shared"):
                shutil.copytree(out / folder, home, dirs_exist_ok=True)
            subprocess.run(["sh", "-euc", ". ./package_routines; pkg_post_install"], cwd=out, env=surroundings, check=True)
            self.assertIn(holds, (home / "brackup.conf").read_text())
            (home / "brackup.conf").write_text("the owner's")

    def assert_the_key_outlives_the_package(self, out):
        """It is removed, as QDK's uninstaller does it, and installed again."""
        home = out / "shared"
        (home / "keys/box.key").write_text("the box")
        # The uninstaller is a script with this text in it, made when the package was installed.
        text = subprocess.run(
            ["sh", "-uc", '. ./package_routines; echo "$PKG_PRE_REMOVE"'],
            cwd=out, env={**os.environ, "SYS_QPKG_DIR": str(home)}, capture_output=True, text=True, check=True).stdout
        text = text.replace("/sbin/log_tool", "echo") + f"rm -rf '{home}'\n"
        told = subprocess.run(["sh", "-euc", text], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"kept keys and configuration: {home}.kept", told)
        home.mkdir()
        command = ". ./package_routines; pkg_post_install"
        (home / "brackup.conf.new").write_text("another")
        subprocess.run(["sh", "-euc", command], cwd=out, env={**os.environ, "SYS_QPKG_DIR": str(home)}, check=True)
        self.assertEqual((home / "keys/box.key").read_text(), "the box")
        self.assertIn("[BOX]", (home / "brackup.conf").read_text())
        self.assertEqual(list(out.glob("*.kept")), [])


class Background(Packages):
    """common/background.sh."""

    def test_start_and_stop(self):
        folder = self.folder
        program = folder / "brackup"
        program.write_text(STAND_IN.format(binary=BINARY))
        program.chmod(0o755)
        good, wrong = folder / "good.conf", folder / "wrong.conf"
        good.write_text(f"[BOX]\nstate_dir = {folder}\nkey_dir = {folder}\n")
        wrong.write_text("[BOX]\nstate = 1\n")
        library = os.path.join(os.path.dirname(__file__), "../common/background.sh")
        command = ["sh", "-c", SCENE, "scene", program, good, folder, library]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, "all is well\n"), done.stderr)
        command[5] = wrong
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 11)
        self.assertIn('not started: brackup: error:', done.stderr)
        self.assertFalse((folder / "pid").exists())
