"""The .deb in a fresh Debian that systemd runs. Only by dist/test --full: it takes two minutes, root and a network."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from packages import DIST
from test_install import Life, has_serve

SUITE = "bookworm"
NEEDED = ("debootstrap", "systemd-nspawn", "unshare")

LIFE = """[Unit]
After=basic.target
[Service]
Type=oneshot
Environment=IN_CONTAINER=yes
ExecStart=/bin/sh /mnt/booted {argument}
ExecStopPost=/bin/systemctl --no-block poweroff
StandardOutput=file:/mnt/told
StandardError=file:/mnt/told
"""


@unittest.skipUnless(os.environ.get("BRACKUP_FULL"), "only by dist/test --full")
class Full(Life):
    """Asked for: what is missing is a failure."""

    @classmethod
    def setUpClass(cls):
        missing = [tool for tool in NEEDED if not shutil.which(tool)]
        if missing or os.getuid() != 0:
            raise AssertionError(f"needs root and {' '.join(missing)}")
        folder = tempfile.TemporaryDirectory(prefix="brackup-debian-")
        cls.addClassCleanup(folder.cleanup)
        cls.base = Path(folder.name) / "base"
        packages = "--include=systemd-sysv,procps,man-db"
        command = ["debootstrap", "--variant=minbase", packages, SUITE, cls.base]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr

    def debian(self):
        """A copy that may be changed, with the packages and the steps in its /mnt."""
        top = self.folder / "debian"
        subprocess.run(["cp", "-a", self.base, top], check=True)
        for file in self.shared().iterdir():
            shutil.copy(file, top / "mnt")
        shutil.copy(DIST / "tests/booted", top / "mnt")
        return top

    def test_under_systemd(self):
        top = self.debian()
        (top / "etc/systemd/system/life.service").write_text(LIFE.format(argument="serve" if has_serve() else ""))
        wants = top / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "life.service").symlink_to("../life.service")
        command = [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "systemd-nspawn", "--quiet", "--boot",
            "--register=no", "--keep-unit", "--private-network", f"--directory={top}"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False)
        told = top / "mnt/told"
        text = told.read_text() if told.exists() else done.stdout + done.stderr
        self.assertIn("+ : all is well", text, text)
