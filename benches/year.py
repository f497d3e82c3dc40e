#!/usr/bin/env python3
"""benches/year.py --brackup PATH [--nights 365] [--files 1000]: a year of nightly change, with chunks retired of which little is used, and without.

Two boxes back up the same tree to a folder each: every night some files are written anew, some come, some go, by the same dice. Behind each
backup stand `prune --keep-last 30` and `gc --grace 0s`, one with --compact-under 30%, one with 0%. What is printed, every 30 nights: the bytes of the
tree, what lies at each target, and what was stored in all.

Needs Linux, Python 3.11, and about five times the tree in $TMPDIR: 64 KiB a file. The files have noise in them, which does not compress.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

FILE_BYTES = 64 * 1024
KEPT = 30
# Of the files, each night.
REWRITTEN, NEW, GONE = 0.01, 0.004, 0.004


class Tree:
    """The same every time."""

    def __init__(self, path, files):
        self.path, self.dice, self.names, self.made = path, random.Random(1), [], 0
        path.mkdir()
        for _ in range(files):
            self.make()

    def make(self):
        # As people do it: what comes together lies together.
        name = self.path / f"folder {self.made // 50:05}" / f"file {self.made:06}"
        name.parent.mkdir(exist_ok=True)
        self.write(name)
        self.names.append(name)
        self.made += 1

    def write(self, name):
        name.write_bytes(self.dice.randbytes(self.dice.randrange(FILE_BYTES // 2, FILE_BYTES * 3 // 2)))

    def night(self):
        count = len(self.names)
        for _ in range(round(count * REWRITTEN)):
            self.write(self.dice.choice(self.names))
        for _ in range(round(count * GONE)):
            self.names.pop(self.dice.randrange(len(self.names))).unlink()
        for _ in range(round(count * NEW)):
            self.make()

    def bytes(self):
        return sum(name.stat().st_size for name in self.names)


class Box:
    def __init__(self, program, home, tree, under):
        self.program, self.home, self.under, self.stored = program, home, under, 0
        self.target = home / "target"
        home.mkdir()
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(home)}
        self.env |= {"BRACKUP_STATE_DIR": f"{home}/state", "BRACKUP_KEY_DIR": f"{home}/keys"}
        told = self.run("keygen", "--out", home / "secret.key")
        public = re.search(r"^public key: (\S+)", told, re.M)[1]
        (home / ".brackup.conf").write_text(
            f"[TARGET:disk]\ntype = Filesystem\npath = {self.target}\n"
            f"[SOURCE:tree]\npath = {tree.path}\nrecipient = {public}\nchunk_size = 4MB\n"
        )

    def run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], env=self.env, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{arguments}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def night(self):
        self.stored += json.loads(self.run("--from=tree", "--to=disk", "--json"))["stored_bytes"]
        self.run("prune", "disk", f"--keep-last={KEPT}", "-q")
        self.run("gc", "disk", "--grace=0s", f"--compact-under={self.under}", "-q")

    def there(self):
        return sum(path.stat().st_size for path in self.target.iterdir())


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--brackup", required=True)
    options.add_argument("--nights", type=int, default=365)
    options.add_argument("--files", type=int, default=1000)
    options = options.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(prefix="brackup-year-"))
    try:
        tree = Tree(root / "tree", options.files)
        plain = Box(options.brackup, root / "plain", tree, "0%")
        compacting = Box(options.brackup, root / "compacting", tree, "30%")
        print("night  tree MiB  at the target: without  with    stored in all: without  with")
        for night in range(1, options.nights + 1):
            plain.night()
            compacting.night()
            if night % 30 == 0 or night == options.nights:
                mib = [value / 2**20 for value in (tree.bytes(), plain.there(), compacting.there(), plain.stored, compacting.stored)]
                print("{:5}  {:8.1f}  {:22.1f}  {:6.1f}  {:22.1f}  {:6.1f}".format(night, *mib), flush=True)
            tree.night()
        # Whatever was retired: it restores.
        for box in (plain, compacting):
            to = box.home / "restored"
            box.run("restore", "tree:latest", "--key", box.home / "secret.key", "--to", to)
            shutil.rmtree(to)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
