#!/usr/bin/env python3
"""benches/years.py --brackup PATH [--backups 200] [--chunks 1000000]: prune and gc on a box that has backed up for years.

One real backup makes keys, database and target. The rest is made up beside it: rows of chunks, ranges and backups, with the checksums that
src/db has, and a file for each chunk and metafile, without contents. Every backup adds its part of the chunks and needs the last third of
all. Then prune keeps 14 days, 8 weeks and 24 months, and gc runs three times: marking, with a grace that has not ended, and without.

Needs Linux, Python 3.11, and some GB of disk in $TMPDIR. What is printed is one line a command.
"""

import argparse
import hashlib
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import measure

M32, M64 = 2**32 - 1, 2**64 - 1
DAY = 86_400


def checksum(*fields):
    """src/db/checksum.rs."""
    state = 0x811C9DC5

    def step(word):
        nonlocal state
        state = ((state ^ word) * 0x01000193) & M32
        state = ((state << 7) | (state >> 25)) & M32

    for field in fields:
        whole = len(field) - len(field) % 4
        for at in range(0, whole, 4):
            step(int.from_bytes(field[at : at + 4], "little"))
        step(int.from_bytes(field[whole:], "big"))
        step(len(field) & M32)
    return state


def scrambled(chunk):
    """src/db/refs.rs."""
    chunk = ((chunk ^ (chunk >> 30)) * 0xBF58476D1CE4E5B9) & M64
    chunk = ((chunk ^ (chunk >> 27)) * 0x94D049BB133111EB) & M64
    return chunk ^ (chunk >> 31)


def signed(number):
    number &= M64
    return number - 2**64 if number >= 2**63 else number


def le(number):
    return (number & M64).to_bytes(8, "little")


def make(program, home, backups, chunks):
    """A home with a database of that many backups and chunks, and the target of it."""
    target, tree = home / "target", home / "tree"
    tree.mkdir()
    (tree / "file").write_text("a file")
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "TMPDIR": str(home)}
    told = subprocess.run([program, "keygen", "--out", home / "secret.key"], env=env, check=True, capture_output=True, text=True).stdout
    public = re.search(r"^public key: (\S+)", told, re.M)[1]
    (home / ".brackup.conf").write_text(
        f"[BOX]\nstate_dir = {home}/state\nkey_dir = {home}/keys\n[TARGET:disk]\ntype = Filesystem\npath = {target}\n"
        f"[SOURCE:tree]\npath = {tree}\nrecipient = {public}\n"
    )
    subprocess.run([program, "--from=tree", "--to=disk", "-q"], env=env, check=True)
    base = sqlite3.connect(home / "state" / "brackup.db", isolation_level=None)
    base.execute("PRAGMA synchronous = OFF")
    base.execute("BEGIN")
    (identity,) = base.execute("SELECT identity FROM targets").fetchone()
    (chain, first_name, created) = base.execute("SELECT chain, name, created FROM backups").fetchone()
    (first,) = base.execute("SELECT max(id) + 1 FROM chunks").fetchone()
    # The real one is the first of all: long ago.
    per_night = chunks // backups
    start = created - (backups + 1) * DAY
    for number in range(first, first + chunks):
        key = hashlib.sha1(number.to_bytes(8, "big")).digest()
        base.execute("INSERT INTO chunks(id, key, bytes, checksum) VALUES(?, ?, 0, ?)", (number, key, checksum(le(number), key, le(0))))
        base.execute("INSERT INTO presence VALUES(?, ?)", (identity, number))
        (target / f"{key.hex()}.chunk").touch()
        night = (number - first) // per_night + 2
        base.execute("INSERT INTO refs VALUES(?, ?, ?, ?)", (number, chain, night, min(night + backups // 3, backups + 1)))
    sums = [[0, 0] for _ in range(backups + 3)]
    for number in range(first, first + chunks):
        night = (number - first) // per_night + 2
        last = min(night + backups // 3, backups + 1)
        if night > backups + 1:
            night = last = backups + 1
            base.execute("UPDATE refs SET first = ?, last = ? WHERE chunk = ?", (night, last, number))
        for at, sign in ((night, 1), (last + 1, -1)):
            sums[at][0] += sign
            sums[at][1] += sign * scrambled(number)
    count = total = 0
    for sequence in range(2, backups + 2):
        count, total = count + sums[sequence][0], total + sums[sequence][1]
        when = start + sequence * DAY
        name = f"tree-{time.strftime('%Y%m%d', time.gmtime(when))}00"
        footer = hashlib.sha256(name.encode()).digest()
        numbers = b"".join(map(le, (chain, sequence, when, count, signed(total))))
        row = (chain, sequence, name, footer, when, 1, 1, count, signed(total), 1, checksum(numbers, footer, name.encode()))
        base.execute("INSERT INTO backups(chain, sequence, name, footer, created, entries, bytes, chunks, sum, complete, checksum) VALUES(?,?,?,?,?,?,?,?,?,?,?)", row)
        (target / f"{name}.meta").write_bytes(b"")
    base.execute("COMMIT")
    base.close()
    return env


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--brackup", required=True, type=pathlib.Path)
    parser.add_argument("--backups", type=int, default=200)
    parser.add_argument("--chunks", type=int, default=1_000_000)
    options = parser.parse_args()
    measure.adopt_orphans()
    program = options.brackup.resolve()
    with tempfile.TemporaryDirectory(prefix="brackup-years-") as home:
        home = pathlib.Path(home)
        began = time.monotonic()
        env = make(program, home, options.backups, options.chunks)
        print(f"made {options.backups} backups and {options.chunks} chunks in {time.monotonic() - began:.0f} s")
        # Nobody signed these metafiles: prune would leave them. Their rows go, as if it had removed them.
        base = sqlite3.connect(home / "state" / "brackup.db")
        names = [name for (name,) in base.execute("SELECT name FROM backups WHERE sequence BETWEEN 2 AND ?", (options.backups // 2,))]
        commands = [
            ("gc -n, all needed", ["gc", "disk", "-n"], []),
            ("prune -n", ["prune", "disk", "-n", "--keep-daily=14", "--keep-weekly=8", "--keep-monthly=24"], []),
            ("gc, half of the backups gone", ["gc", "disk"], names),
            ("gc, grace not ended", ["gc", "disk"], []),
            ("gc --grace 0s", ["gc", "disk", "--grace=0s"], []),
            ("gc again", ["gc", "disk"], []),
        ]
        for what, arguments, gone in commands:
            for name in gone:
                base.execute("DELETE FROM backups WHERE name = ?", (name,))
                (home / "target" / f"{name}.meta").unlink()
            base.commit()
            base.close()
            log = home / "log"
            log.write_text("")
            result = measure.run([str(program), *arguments, "--progress=none"], env, home, str(log), 3600)
            if not result.ok:
                print(log.read_text()[-2000:], file=sys.stderr)
                sys.exit(f"{what}: {result.why()}")
            last = log.read_text().strip().splitlines()[-1]
            print(f"{what:32} {result.wall_s:7.1f} s  {result.cpu_s:7.1f} s CPU  {result.rss_kib / 1024:5.1f} MiB  {last}")
            base = sqlite3.connect(home / "state" / "brackup.db")


if __name__ == "__main__":
    main()
