"""A .deb installed, used, upgraded, removed and purged for real, in a copy of this machine that is thrown away."""

import os
import shutil
import subprocess
import unittest

from packages import BINARY, DIST, Packages, run, stripped

CANNOT = 77
TRIPLE = "x86_64-unknown-linux-musl"


def has_serve():
    """Whether the program has the service."""
    return subprocess.run([BINARY, "serve", "--help"], capture_output=True, check=False).returncode == 0


class Life(Packages):
    """Packages of two revisions."""

    def shared(self):
        """A folder with old.deb, new.deb and the steps."""
        shared = self.folder / "shared"
        shared.mkdir()
        program = stripped(self.folder)
        for name, revision in (("old", "1"), ("new", "2")):
            done = run("deb", [TRIPLE, str(self.folder)], program, BRACKUP_ALLOW_DYNAMIC="1", BRACKUP_REVISION=revision)
            path, = self.built(done)
            path.rename(shared / f"{name}.deb")
        shutil.copy(DIST / "tests/installed", shared)
        return shared


@unittest.skipUnless(shutil.which("dpkg"), "LEFT OUT: there is no dpkg")
class Install(Life):
    """tests/installed has the steps."""

    def test_the_life_of_a_package(self):
        command = [DIST / "tests/overlay", self.shared(), "sh", "/mnt/installed"]
        if has_serve():
            command.append("serve")
        else:
            print("LEFT OUT: the program has no `serve`: the service is not started")
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode == CANNOT:
            # Who wants no server left out wants this too.
            self.assertEqual(os.environ.get("BRACKUP_SERVERS", "no"), "no", "needs root and overlay file systems")
            self.skipTest("LEFT OUT: needs root and overlay file systems")
        self.assertEqual(done.returncode, 0, done.stdout)
        # The last line of the steps: it did not end before.
        self.assertIn("+ : all is well", done.stdout)
