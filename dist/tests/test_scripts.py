"""Scripts and the unit: linted, held against each other, and OpenWrt's run with a procd that only notes what it is told."""

import re
import shutil
import subprocess
import unittest

from packages import BINARY, DIST, Packages

# As much of rc.common, of its configuration and of procd as the script calls; `say` comes last and goes to stdout.
PROCD = r"""
config_load() { :; }
config_get_bool() { eval "$1=\${uci_$3:-$4}"; }
config_get() { eval "$1=\${uci_$3:-$4}"; }
config_list_foreach() { for item in $uci_mounts; do "$3" "$item"; done; }
for name in open_instance set_param add_jail close_instance add_reload_trigger add_restart_mount_trigger; do
    eval "procd_$name() { echo $name \"\$@\"; }"
done
logger() { shift 5; echo "log: $*"; }
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

    def run_init(self, what, configuration="state_dir = /mnt/x\n", **uci):
        """(exit code, lines) of a function of it."""
        conf, keys = self.folder / "brackup.conf", self.folder / "keys"
        conf.write_text(f"[BOX]\nkey_dir = {keys}\n{configuration}")
        keys.mkdir(exist_ok=True)
        script = (DIST / "openwrt/files/brackup.init").read_text()
        for name, path in (("PROG", BINARY), ("CONF", conf), ("KEYS", keys)):
            script, count = re.subn(f"^{name}=.*$", f"{name}={path}", script, flags=re.M)
            self.assertEqual(count, 1, name)
        values = "".join(f"uci_{name}='{value}'\n" for name, value in uci.items())
        text = f"{PROCD}{values}chgrp() {{ echo chgrp \"$1\"; }}\n{script}\n{what}\n"
        done = subprocess.run(["sh", "-uc", "uci_mounts=\n" + text], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()

    def test_off_by_default(self):
        self.assertEqual(self.run_init("start_service"), (0, []))
        self.assertIn("option enabled '0'", (DIST / "openwrt/files/brackup.config").read_text())

    def test_on(self):
        code, lines = self.run_init("start_service", enabled=1, mounts="/")
        self.assertEqual(code, 0, lines)
        conf = self.folder / "brackup.conf"
        self.assertEqual(lines[:2], ["chgrp brackup", "open_instance"])
        self.assertEqual(lines[-1], "close_instance")
        for line in (f"command {BINARY} serve --config {conf}", "user brackup", "nice 19", "reload_signal HUP",
                     "stderr 1", "term_timeout 15", "no_new_privs 1", "limits core=0"):
            self.assertIn(f"set_param {line}", lines)
        self.assertEqual([line for line in lines if "respawn" in line], ["set_param respawn 3600 60 5"])

    def test_waits_for_the_disk(self):
        code, lines = self.run_init("start_service", enabled=1, mounts="/ /no/disk")
        self.assertEqual((code, lines[1:]), (1, ["log: waits for /no/disk to be mounted"]))
        code, lines = self.run_init("service_triggers", enabled=1, mounts="/ /no/disk")
        self.assertEqual(
            lines, ["add_reload_trigger brackup", "add_restart_mount_trigger /", "add_restart_mount_trigger /no/disk"])

    def test_the_owner_has_to_choose_a_state_dir(self):
        code, lines = self.run_init("start_service", "#state_dir = /mnt/x\n", enabled=1)
        self.assertEqual((code, len(lines)), (1, 2))
        self.assertIn("set state_dir", lines[1])

    def test_a_wrong_configuration_is_not_started(self):
        code, lines = self.run_init("start_service", "state_dir = /mnt/x\nnonsense = 1\n", enabled=1)
        self.assertEqual((code, len(lines)), (1, 2))
        self.assertIn("config check says", lines[1])
