"""Scripts and the unit: linted, held against each other, and OpenWrt's run with a procd that only notes what it is told."""

import os
import re
import shutil
import subprocess
import unittest

from packages import BINARY, DIST, Packages

# As much of rc.common, of its configuration and of procd as the script calls; `say` comes last and goes to stdout. A service that is
# closed without an instance is one that procd ends.
PROCD = r"""
config_load() { :; }
config_get_bool() { eval "$1=\${uci_$3:-$4}"; }
config_get() { eval "$1=\${uci_$3:-$4}"; }
config_list_foreach() { for item in $uci_mounts; do "$3" "$item"; done; }
for name in open_instance set_param add_jail close_instance add_reload_trigger add_reload_mount_trigger send_signal; do
    eval "procd_$name() { echo $name \"\$@\"; }"
done
procd_running() { [ -n "$running" ]; }
start() { start_service; code=$?; echo close_service; return $code; }
logger() { shift 5; echo "log: $*"; }
chgrp() { echo chgrp "$1"; }
chown() { echo chown "$2" "${3##*/}"; }
"""


def unit():
    """{key: [values]} of the unit."""
    found = {}
    for line in (DIST / "common/brackup.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


class Scripts(Packages):
    """What can be said without a box."""

    @unittest.skipUnless(shutil.which("shellcheck"), "LEFT OUT: there is no shellcheck")
    def test_shellcheck(self):
        scripts = []
        for path in DIST.rglob("*"):
            if path.is_file() and path.suffix != ".py":
                begin = path.read_bytes()[:200]
                if begin.startswith(b"#!/bin/") or b"# shellcheck shell=" in begin:
                    scripts.append(path)
        names = {path.name for path in scripts}
        expected = {"brackup.init", "postinst", "background.sh", "start-stop-status", "package_routines", "installed"}
        self.assertLessEqual(expected, names)
        done = subprocess.run(["shellcheck", "-x", *scripts], cwd=DIST.parent, capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout + done.stderr, "")

    @unittest.skipUnless(shutil.which("systemd-analyze"), "LEFT OUT: there is no systemd-analyze")
    def test_the_unit_verifies(self):
        text = (DIST / "common/brackup.service").read_text()
        copy = self.folder / "brackup.service"
        # The program is not installed here, and neither is its manual.
        copy.write_text(re.sub("^Documentation=.*$", "", text.replace("/usr/bin/brackup", BINARY), flags=re.M))
        done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
        told = [line for line in done.stderr.splitlines() if "brackup.service" in line]
        self.assertEqual((done.returncode, told), (0, []))

    def test_the_unit_leaves_disks_and_closes_the_clock(self):
        told = unit()
        for key in ("ProtectClock", "PrivateDevices", "DeviceAllow", "DevicePolicy"):
            self.assertNotIn(key, told)
        self.assertEqual(told["SystemCallFilter"], ["@system-service", "~@clock"])
        self.assertEqual(told["CapabilityBoundingSet"], ["CAP_DAC_READ_SEARCH"])

    def test_init_script_and_unit_agree(self):
        told = unit()
        init = (DIST / "debian/brackup.init").read_text()
        self.assertEqual(told["AmbientCapabilities"], told["CapabilityBoundingSet"])
        capability = told["AmbientCapabilities"][0].removeprefix("CAP_").lower()
        self.assertIn(f"\nCAPS=-all,+{capability}\n", init)
        self.assertIn("CONF=/etc/brackup/brackup.conf\n", init)
        background = (DIST / "common/background.sh").read_text()
        command = background.replace('launch', '/usr/bin/brackup').replace('"$CONF"', "/etc/brackup/brackup.conf")
        for key in ("ExecStart", "ExecStartPre"):
            self.assertIn(told[key][0], command)
        self.assertEqual(told["IOSchedulingClass"], ["idle"])
        self.assertIn(f"exec nice -n {told['Nice'][0]} ionice -c 3 setpriv ", init)
        self.assertIn(f"exec nice -n {told['Nice'][0]} ", background)
        self.assertIn(f"echo {told['OOMScoreAdjust'][0]} ", background)
        self.assertIn(f"STOP_AFTER={told['TimeoutStopSec'][0]}\n", background)
        self.assertIn(f"AGAIN_AFTER={told['RestartSec'][0]}\n", background)
        self.assertIn(f"0 | {told['RestartPreventExitStatus'][0]}) return", background)
        self.assertIn(f"--reuid={told['User'][0]} --regid={told['Group'][0]}", init)
        router = (DIST / "openwrt/files/brackup.init").read_text()
        self.assertIn(f"term_timeout {told['TimeoutStopSec'][0]}\n", router)
        capabilities = (DIST / "openwrt/files/brackup.capabilities").read_text()
        self.assertEqual(set(re.findall(r'\["(.*)"\]', capabilities)), set(told["AmbientCapabilities"]))


class Router(Packages):
    """openwrt/files/brackup.init."""

    def run_init(self, what, configuration="state_dir = {folder}/disk/state\n", running="", **uci):
        """(exit code, lines) of a function of it."""
        conf, keys = self.folder / "brackup.conf", self.folder / "keys"
        conf.write_text(f"[BOX]\nkey_dir = {keys}\n" + configuration.format(folder=self.folder))
        mounts = self.folder / "mounts"
        if not mounts.exists():
            mounts.write_text(f"overlay / overlay rw 0 0\n/dev/sda1 {self.folder}/disk ext4 rw 0 0\n")
            (self.folder / "disk").mkdir()
        script = (DIST / "openwrt/files/brackup.init").read_text()
        for name, path in (("PROG", BINARY), ("CONF", conf), ("KEYS", keys), ("MOUNTS", mounts)):
            script, count = re.subn(f"^{name}=.*$", f"{name}={path}", script, flags=re.M)
            self.assertEqual(count, 1, name)
        values = "".join(f"uci_{name}='{value}'\n" for name, value in uci.items())
        text = f"uci_mounts=\nrunning={running}\n{values}{PROCD}\n{script}\n{what}\n"
        done = subprocess.run(["sh", "-uc", text], capture_output=True, text=True, check=False)
        return done.returncode, [line for line in done.stdout.splitlines() if not line.startswith("ch")]

    def test_off_by_default(self):
        self.assertEqual(self.run_init("start"), (0, ["close_service"]))
        self.assertIn("option enabled '0'", (DIST / "openwrt/files/brackup.config").read_text())

    def test_on(self):
        code, lines = self.run_init("start", enabled=1, mounts=f"{self.folder}/disk")
        self.assertEqual(code, 0, lines)
        conf = self.folder / "brackup.conf"
        self.assertEqual((lines[0], lines[-2:]), ("open_instance", ["close_instance", "close_service"]))
        for line in (f"command {BINARY} serve --config {conf}", "user brackup", "nice 19",
                     "stderr 1", "term_timeout 15", "no_new_privs 1", "limits core=0"):
            self.assertIn(f"set_param {line}", lines)
        # With a number of tries that is not 0 procd gives up at some time.
        self.assertEqual([line for line in lines if "respawn" in line], ["set_param respawn 3600 60 0"])
        # By these procd would send a signal, or start anew, for whatever has changed: the reload says which.
        self.assertEqual([line for line in lines if "reload_signal" in line or "param file" in line], [])

    def test_waits_for_the_disk(self):
        disk = f"{self.folder}/disk"
        code, lines = self.run_init("start", enabled=1, mounts=f"{disk} /no/disk")
        self.assertEqual((code, lines), (1, ["log: waits for /no/disk to be mounted", "close_service"]))
        # A folder is the same with a slash behind it.
        self.assertEqual(self.run_init("start", enabled=1, mounts=f"{disk}//")[0], 0)
        code, lines = self.run_init("service_triggers", enabled=1, mounts=f"/ {disk}/")
        self.assertEqual(
            lines, ["add_reload_trigger brackup", "add_reload_mount_trigger /", f"add_reload_mount_trigger {disk}"])

    def test_the_owner_has_to_choose_a_state_dir(self):
        code, lines = self.run_init("start", "#state_dir = /mnt/x\n", enabled=1)
        self.assertEqual((code, len(lines)), (1, 2))
        self.assertIn("set state_dir", lines[0])

    def test_a_wrong_configuration_is_not_started(self):
        code, lines = self.run_init("start", "state_dir = {folder}/disk\nnonsense = 1\n", enabled=1)
        self.assertEqual((code, len(lines)), (1, 2))
        self.assertIn("config check says", lines[0])

    def test_what_the_service_writes_to_is_its_own(self):
        keys, state = self.folder / "keys", self.folder / "disk/state"
        keys.mkdir()
        for name in ("box.key", "linked.key"):
            (keys / name).write_text("")
        os.link(keys / "linked.key", self.folder / "other")
        given = 'chown() { echo "log: $2 to" "${3##*/}"; }\nstart'
        for user, owners in (("brackup", ["brackup"]), ("somebody", ["somebody"]), ("root", [])):
            _, lines = self.run_init(given, enabled=1, user=user)
            self.assertTrue(state.is_dir(), lines)
            self.assertEqual(oct(state.stat().st_mode & 0o777), "0o750")
            # Only what is root's, and only root can make that here.
            if os.getuid() == 0:
                told = [line for line in lines if line.startswith("log: ")]
                names = ("keys", "box.key", "state")
                self.assertEqual(told, [f"log: {owner} to {name}" for owner in owners for name in names])

    def test_no_state_dir_where_no_disk_is_mounted(self):
        code, lines = self.run_init("start", "state_dir = {folder}/bare/state\n", enabled=1)
        self.assertEqual((code, len(lines)), (1, 2))
        self.assertIn("no disk is mounted there", lines[0])
        (self.folder / "bare").mkdir()
        self.assertEqual(self.run_init("start", "state_dir = {folder}/bare/state\n", enabled=1)[0], 1)
        self.assertFalse((self.folder / "bare/state").exists())
        # Flash and memory have mount points too, and what is mounted last is what is there.
        for mount in ("/dev/mtdblock6 {} jffs2", "ubi0:rootfs_data {} ubifs", "/dev/loop0 {} f2fs", "/dev/fitrw {} ext4", "overlayfs:/overlay {} overlay",
                      "tmpfs {} tmpfs", "/dev/zram1 {} ext4", "/dev/sda1 {} ext4\ntmpfs {} tmpfs"):
            (self.folder / "mounts").write_text("\n".join(["/dev/root / squashfs ro 0 0", mount.replace("{}", f"{self.folder}/bare"), ""]))
            code, lines = self.run_init("start", "state_dir = {folder}/bare/state\n", enabled=1)
            self.assertEqual((code, len(lines)), (1, 2), mount)
        # One that the owner made is one that he wants.
        (self.folder / "bare/state").mkdir()
        code, lines = self.run_init("start", "state_dir = {folder}/bare/state # so be it\n", enabled=1)
        self.assertEqual(code, 0, lines)

    def test_what_is_a_disk(self):
        for mount in ("/dev/sda1 {} ext4", "/dev/mmcblk0p1 {} f2fs", "/dev/md0 {} xfs", "tmpfs {} tmpfs\n/dev/sda1 {} ext4", "nas:/backup {} nfs4"):
            (self.folder / "mounts").write_text(mount.replace("{}", f"{self.folder}/disk") + "\n")
            (self.folder / "disk/state").mkdir(parents=True, exist_ok=True)
            (self.folder / "disk/state").rmdir()
            code, lines = self.run_init("start", enabled=1)
            self.assertEqual((code, (self.folder / "disk/state").is_dir()), (0, True), f"{mount}: {lines}")

    def test_a_reload_is_a_signal(self):
        code, lines = self.run_init("reload_service", running="yes", enabled=1)
        self.assertEqual((code, lines[:2]), (0, ["send_signal brackup * HUP", "open_instance"]))
        self.assertEqual(lines[-1], "close_service")
        # What does not run is started, and what is switched off ends.
        code, lines = self.run_init("reload_service", enabled=1)
        self.assertEqual((code, lines[0]), (0, "open_instance"))
        self.assertEqual(self.run_init("reload_service", running="yes"), (0, ["close_service"]))

    def test_what_runs_goes_on_when_the_new_one_is_wrong(self):
        wrong = "state_dir = {folder}/disk/state\nnonsense = 1\n"
        for what in ("reload_service", "start"):
            code, lines = self.run_init(what, wrong, running="yes", enabled=1)
            self.assertEqual((code, len(lines)), (1, 1), lines)
            self.assertIn("config check says", lines[0])
            code, lines = self.run_init(what, running="yes", enabled=1, mounts="/no/disk")
            self.assertEqual((code, lines), (1, ["log: waits for /no/disk to be mounted"]))
