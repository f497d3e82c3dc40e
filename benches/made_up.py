"""A box that has backed up for years, made up: its database and a target.

One real backup makes keys, database and target. The rest is made up beside it: rows of chunks, ranges and backups, with the checksums that
src/db has, and a file for each chunk and metafile, without contents. Every backup adds its part of the chunks and needs the last third of
all.
"""

import hashlib
import os
import shutil
import sqlite3
import time

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


class Box:
    """A box with one backup, in `state` and `target`, which are pathlib.Paths."""

    def __init__(self, state, target, backups, chunks):
        self.state, self.target = state, target
        self.backups, self.chunks = backups, chunks
        self.names = []
        self.first = 0

    def make(self):
        """Adds backups and chunks to the database of a box with one backup, and to its target."""
        base = sqlite3.connect(self.state / "brackup.db", isolation_level=None)
        base.execute("PRAGMA synchronous = OFF")
        base.execute("BEGIN")
        (identity,) = base.execute("SELECT identity FROM targets").fetchone()
        (chain, first_name, created) = base.execute("SELECT chain, name, created FROM backups").fetchone()
        (first,) = base.execute("SELECT max(id) + 1 FROM chunks").fetchone()
        # The real one is the first of all: long ago.
        self.first, backups, chunks = first, self.backups, self.chunks
        per_night = chunks // backups
        start = created - (backups + 1) * DAY
        for number in range(first, first + chunks):
            key = key_of(number)
            base.execute("INSERT INTO chunks(id, key, bytes, checksum) VALUES(?, ?, 0, ?)", (number, key, checksum(le(number), key, le(0))))
            base.execute("INSERT INTO presence VALUES(?, ?)", (identity, number))
            (self.target / f"{key.hex()}.chunk").touch()
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
            name = f"bench-{time.strftime('%Y%m%d', time.gmtime(when))}00"
            footer = hashlib.sha256(name.encode()).digest()
            numbers = b"".join(map(le, (chain, sequence, when, count, signed(total))))
            row = (chain, sequence, name, footer, when, 1, 1, count, signed(total), 1, checksum(numbers, footer, name.encode()))
            base.execute("INSERT INTO backups(chain, sequence, name, footer, created, entries, bytes, chunks, sum, complete, checksum) VALUES(?,?,?,?,?,?,?,?,?,?,?)", row)
            (self.target / f"{name}.meta").write_bytes(b"")
            self.names.append(name)
        base.execute("COMMIT")
        base.close()

    def forget_half(self):
        """Nobody signed these metafiles: prune would leave them. They go as if it had removed them."""
        base = sqlite3.connect(self.state / "brackup.db")
        for name in self.names[: self.backups // 2 - 1]:
            base.execute("DELETE FROM backups WHERE name = ?", (name,))
            (self.target / f"{name}.meta").unlink()
        base.commit()
        base.close()

    def keep_aside(self, aside):
        shutil.copytree(self.state, aside)

    def bring_back(self, aside):
        """The database as it was kept aside, and what was deleted from the target."""
        shutil.rmtree(self.state)
        shutil.copytree(aside, self.state)
        there = {entry.name for entry in os.scandir(self.target)}
        names = (f"{key_of(number).hex()}.chunk" for number in range(self.first, self.first + self.chunks))
        for name in (*(f"{name}.meta" for name in self.names), *names):
            if name not in there:
                (self.target / name).touch()


def key_of(number):
    return hashlib.sha1(number.to_bytes(8, "big")).digest()
