"""What each backup program has beside backup and restore: to look for a name in all backups, to look the repository through, to copy
it, to let old backups go and give back their space, to mount it.

An action is a command; Absent if the program has none.
"""

import os
import subprocess

import tools

MOUNT_ONE = os.path.join(tools.HERE, "mount-one.sh")


class Absent(Exception):
    pass


class Brackup(tools.Brackup):
    def command(self, word, *words):
        if subprocess.run([self.exe, word, "--help"], env=self.env(), capture_output=True).returncode:
            raise Absent("not in this build")
        return [self.exe, word, "--config", self.within("config"), "-q", *words]

    def find(self, name):
        return self.command("find", name, "--from", "bench", "--key", self.within("secret.key"))

    def fsck(self):
        return self.command("fsck", "bench")

    def make(self, second):
        return None

    def copy(self, second):
        return self.command("copy", "--from-target", "bench", "--to-target", f"filesystem:{second}")

    def prune(self, keep):
        return self.command("prune", "bench", f"--keep-last={keep}")

    def gc(self):
        """Twice: what it marks goes the next time."""
        gc = self.command("gc", "bench", "--grace=0s")
        return ["/bin/sh", "-c", '"$@" && exec "$@"', "sh", *gc]

    def mount(self, at):
        return self.command("mount", "bench", at, "--key", self.within("secret.key"))

    def places(self, tree, path):
        """Below the mount point, of a file in the newest backup."""
        return [f"bench/latest/{path}"]


class Restic(tools.Restic):
    def find(self, name):
        return self.command("find", name)

    def fsck(self):
        return self.command("check")

    def make(self, second):
        return self.command("init", "--repo", second, "--copy-chunker-params", "--from-repo", self.repo)

    def copy(self, second):
        return self.command("copy", "--repo", second, "--from-repo", self.repo)

    def env(self):
        return super().env() | {"RESTIC_FROM_PASSWORD": tools.PASSWORD}

    def prune(self, keep):
        return self.command("forget", f"--keep-last={keep}", "--group-by=")

    def gc(self):
        return self.command("prune")

    def mount(self, at):
        return self.command("mount", at)

    def places(self, tree, path):
        return [f"snapshots/latest{tree}/{path}"]


class Borg(tools.Borg):
    def backup(self, tree, step):
        return [self.exe, "create", f"::night-{step}", tree]

    def restore(self, tree, step):
        return [self.exe, "extract", f"::night-{step}"]

    def find(self, name):
        """It lists one archive at a time."""
        loop = 'for archive in $("$0" list --short); do "$0" list "::$archive" "$1" || exit; done'
        return ["/bin/sh", "-c", loop, self.exe, f"sh:**/{name}"]

    def fsck(self):
        return [self.exe, "check"]

    def copy(self, second):
        raise Absent("no such command")

    def prune(self, keep):
        return [self.exe, "prune", f"--keep-last={keep}"]

    def gc(self):
        return [self.exe, "compact"]

    def mount(self, at):
        return [self.exe, "mount", "--foreground", "--last=1", "::", at]

    def places(self, tree, path):
        names = subprocess.run([self.exe, "list", "--short", "--last=1"], env=self.env(), capture_output=True, text=True).stdout.split()
        return [f"{name}{tree}/{path}" for name in names]


KINDS = {kind.name: kind for kind in (Brackup, Restic, Borg)}
