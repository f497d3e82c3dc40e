"""The trees that are backed up: the same bytes for the same scale, on every machine.

Everything comes from random.Random with a fixed seed for each block, file or folder, so that any part can be made
again alone and two processes can share the work. Mersenne Twister output is incompressible and without duplicates.
"""

import array
import bisect
import functools
import hashlib
import itertools
import os
import random
import shutil
import signal
import stat
import sys
import time

SEED = "brackup bench 1"  # a new number whenever the trees change
BLOCK = 1 << 20
MIB = 1 << 20
LONG_AGO = 1577836800  # 2020-01-01: far enough for every tool's idea of a file that may still be changing
CHANGED = LONG_AGO + 31 * 86400
SETTLE_S = 3  # ctime cannot be set into the past, so the first backup waits until it is

SMALL_MEDIAN = 4096
SMALL_SIGMA = 1.5  # of the logarithm: a mean of 12.6 KB, the largest of 60,000 about 2 MB
FILES_A_FOLDER = 20
TINY_A_FOLDER = 1000
TINY_MAX = 200
TWICE_EVERY = 10


def rng(*names):
    return random.Random("/".join([SEED, *map(str, names)]))


class Tree:
    """One folder below `home`, made by make(), changed by change(), put back by undo()."""

    name = ""
    can_change = False

    def __init__(self, home, scale):
        self.path = os.path.join(home, self.name)
        self.stamp = self.path + ".stamp"
        self.identity = f"{SEED} {self.name} {scale}\n"
        self.scale = scale
        self.modified = 0.0

    def make(self):
        """Makes the tree, unless an earlier run left a whole and unchanged one."""
        if read_text(self.stamp) == self.identity:
            return
        self.remove()
        os.makedirs(self.path)
        self.fill()
        self.finish()

    def finish(self):
        self.modified = time.time()
        write_file(self.stamp, self.identity.encode(), LONG_AGO)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        remove_file(self.stamp)

    def settle(self):
        time.sleep(max(0.0, self.modified + SETTLE_S - time.time()))

    def usage(self):
        """Files and bytes."""
        sizes = [os.lstat(path).st_size for path in files(self.path)]
        return len(sizes), sum(sizes)

    def warm(self):
        """Reads everything, so that the page cache holds it."""
        buffer = bytearray(BLOCK)
        for path in files(self.path):
            with open(path, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    def cool(self):
        """Asks the kernel to forget the contents, so that a reader is charged for the pages."""
        os.sync()
        for path in files(self.path):
            drop_cache(path)

    def expected_bytes(self):
        raise NotImplementedError

    def fill(self):
        raise NotImplementedError


class Big(Tree):
    """A few big incompressible files."""

    name = "big"
    count = 8
    size = 256 * MIB

    def __init__(self, home, scale):
        super().__init__(home, scale)
        self.blocks = max(1, round(self.size * scale / BLOCK))

    def expected_bytes(self):
        return self.count * self.blocks * BLOCK

    def fill(self):
        for number in range(self.count):
            with open(self.file(number), "wb") as file:
                file.truncate(self.blocks * BLOCK)
        in_parallel(self.count * self.blocks, self.fill_blocks)
        for number in range(self.count):
            os.utime(self.file(number), (LONG_AGO, LONG_AGO))
        os.utime(self.path, (LONG_AGO, LONG_AGO))

    def fill_blocks(self, blocks):
        for block in blocks:
            number, index = divmod(block, self.blocks)
            with open(self.file(number), "r+b", buffering=0) as file:
                file.seek(index * BLOCK)
                file.write(rng(self.name, number, index).randbytes(BLOCK))

    def file(self, number):
        return os.path.join(self.path, f"file{number}.bin")


class Huge(Big):
    """One huge incompressible file."""

    name = "huge"
    count = 1
    size = 8192 * MIB


class Small(Tree):
    """Many small files of log-normal sizes in nested folders, half text, half random."""

    name = "small"
    can_change = True

    def __init__(self, home, scale):
        super().__init__(home, scale)
        self.count = max(10, round(60000 * scale))
        self.folders = make_folders(max(1, self.count // FILES_A_FOLDER))
        self.plan = [self.plan_file(number) for number in range(self.count)]
        changed = rng(self.name, "changed")
        self.changed = sorted(changed.sample(range(self.count), max(1, self.count // 100)))
        self.added = range(self.count, self.count + max(1, self.count // 1000))

    def plan_file(self, number):
        """Where a file lies, how long it is, whether it is text."""
        folder = self.folders[rng(self.name, number).randrange(len(self.folders))]
        chance = rng(self.name, self.source(number))
        chance.randrange(len(self.folders))
        size = max(1, int(SMALL_MEDIAN * chance.lognormvariate(0, SMALL_SIGMA)))
        text = chance.random() < 0.5
        return os.path.join(folder, f"{number:06}.{'txt' if text else 'bin'}"), size, text

    def source(self, number):
        """The file whose bytes this one has when it is made."""
        return number

    def expected_bytes(self):
        return sum(max(4096, size) for _, size, _ in self.plan)

    def fill(self):
        make_all_folders(self.path, self.folders)
        vocabulary()  # once, before the processes part
        in_parallel(self.count, lambda numbers: self.write(numbers, 0, LONG_AGO))
        self.age_folders(LONG_AGO)

    def change(self):
        """1 % of the files get other bytes of the same length in place, a few files are new."""
        remove_file(self.stamp)
        self.write(self.changed, 1, CHANGED)
        self.write(self.added, 0, CHANGED)
        self.age_folders(CHANGED)
        self.modified = time.time()

    def undo(self):
        self.write(self.changed, 0, LONG_AGO)
        for number in self.added:
            remove_file(self.place(number)[0])
        self.age_folders(LONG_AGO)
        self.finish()

    def write(self, numbers, version, when):
        for number in numbers:
            path, size, text = self.place(number)
            contents = rng(self.name, number if version else self.source(number), version)
            write_file(path, words(contents, size) if text else contents.randbytes(size), when + number)

    def place(self, number):
        path, size, text = self.plan[number] if number < self.count else self.plan_file(number)
        return os.path.join(self.path, path), size, text

    def age_folders(self, when):
        for folder in ["", *self.folders]:
            os.utime(os.path.join(self.path, folder), (when, when))


class Nightly(Small):
    """The small one, a tenth of whose files are there twice, and of which a little changes each night: one file of a thousand gets other bytes, one
    of ten thousand is new."""

    name = "nightly"
    can_change = False

    def source(self, number):
        return number - TWICE_EVERY + 1 if number % TWICE_EVERY == TWICE_EVERY - 1 else number

    def night(self, number):
        """The first leaves it as it was made."""
        if number == 1:
            return
        remove_file(self.stamp)
        when = LONG_AGO + number * 86400
        chance = rng(self.name, "night", number)
        # Never the first: somebody looks for it.
        self.write(chance.sample(range(1, self.count), max(1, self.count // 1000)), number, when)
        new = max(1, self.count // 10_000)
        self.write(range(self.count + number * new, self.count + (number + 1) * new), 0, when)
        self.modified = time.time()

    def unchanging(self):
        """The path of a file that is the same in all nights."""
        return self.plan[0][0]


class Tiny(Tree):
    """Very many files of next to nothing."""

    name = "tiny"

    def __init__(self, home, scale):
        super().__init__(home, scale)
        self.folders = [f"folder{number:03}" for number in range(max(1, round(500 * scale)))]

    def expected_bytes(self):
        return len(self.folders) * TINY_A_FOLDER * 4096  # a block each

    def fill(self):
        make_all_folders(self.path, self.folders)
        in_parallel(len(self.folders), self.fill_folders)

    def fill_folders(self, numbers):
        for number in numbers:
            folder = os.path.join(self.path, self.folders[number])
            contents = rng(self.name, number)
            for index in range(TINY_A_FOLDER):
                size = contents.randint(0, TINY_MAX)
                write_file(os.path.join(folder, f"{index:04}"), contents.randbytes(size), LONG_AGO + index)
            os.utime(folder, (LONG_AGO, LONG_AGO))


class Flat(Tree):
    """One folder with a million names."""

    name = "flat"

    def __init__(self, home, scale):
        super().__init__(home, scale)
        self.count = max(1000, round(1_000_000 * scale))

    def expected_bytes(self):
        return self.count * 4096

    def fill(self):
        # Names that are no order of their making.
        for index in range(self.count):
            name = f"{index * 2654435761 % 2**32:08x}-{index}"
            write_file(os.path.join(self.path, name), index.to_bytes(8, "big"), LONG_AGO)
        os.utime(self.path, (LONG_AGO, LONG_AGO))


KINDS = {kind.name: kind for kind in (Big, Small, Tiny, Huge, Flat)}

# What is backed up again, and what comes before it in the same repository.
STEPS = {
    "big": ["big"],
    "small": ["small", "small-unchanged", "small-changed"],
    "tiny": ["tiny", "tiny-unchanged"],
    "huge": ["huge"],
    "flat": ["flat", "flat-unchanged"],
}
# Only when asked for: an edge, and no tree that anybody has.
UNUSUAL = {"flat", "flat-unchanged"}


# --- folders and contents

def make_folders(count):
    """Nested folders: each lies in a random one of those before it."""
    chance = rng("folders", count)
    folders = []
    for number in range(count):
        above = chance.randrange(-1, number)
        folders.append(os.path.join(folders[above] if above >= 0 else "", f"d{number:04}"))
    return folders


def make_all_folders(root, folders):
    for folder in folders:
        os.mkdir(os.path.join(root, folder))


@functools.cache
def vocabulary():
    """65,536 places for words, the frequent ones in many of them (Zipf), so that two random bytes choose a word."""
    chance = rng("vocabulary")
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    weight = [1 / (1 + i) for i in range(len(letters))]
    forms = ["".join(chance.choices(letters, weight, k=chance.randint(2, 11))) for _ in range(8000)]
    ends = [" "] * 12 + [", ", ".\n"]
    bounds = list(itertools.accumulate(1 / (rank + 1) for rank in range(len(forms))))
    ranks = (bisect.bisect(bounds, (place + 0.5) * bounds[-1] / 65536) for place in range(65536))
    return [(forms[rank] + chance.choice(ends)).encode() for rank in ranks]


def words(chance, size):
    """Text of `size` bytes that compresses about as prose does, to a third."""
    text = b""
    while len(text) < size:
        numbers = array.array("H", chance.randbytes(2 * (size // 6 + 16)))  # words are 7 bytes long in the mean
        if sys.byteorder == "big":
            numbers.byteswap()
        text += b"".join(map(vocabulary().__getitem__, numbers))
    return text[:size]


# --- files

def write_file(path, contents, when):
    """In place: a file that is there keeps its inode."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        while contents:
            contents = contents[os.write(handle, contents):]
        os.utime(handle, (when, when))
    finally:
        os.close(handle)


def read_text(path):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return None


def remove_file(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def drop_cache(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def files(root):
    """Every path below root that is not a folder."""
    for folder, _, names in os.walk(root):
        for name in names:
            yield os.path.join(folder, name)


def manifest(root):
    """Relative path -> what is there: the SHA-1 of a file."""
    entries = {}
    for folder, folders, names in os.walk(root):
        for name in folders:
            entries[os.path.relpath(os.path.join(folder, name), root)] = "folder"
        for name in names:
            path = os.path.join(folder, name)
            entries[os.path.relpath(path, root)] = describe(path)
    return entries


def describe(path):
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return "not a file"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


# --- two processes, as Python has no threads for this

def in_parallel(count, work):
    """Calls work(range) with equal parts of range(count) in a process for each core."""
    parts = min(count, os.cpu_count() or 1)
    workers = []
    try:
        for part in range(parts):
            workers.append(start(work, range(count * part // parts, count * (part + 1) // parts)))
        while workers:
            if os.waitpid(workers[-1], 0)[1]:
                raise RuntimeError("making a tree failed, see above")
            workers.pop()
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)


def start(work, part):
    worker = os.fork()
    if worker:
        return worker
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)  # the parent cleans up, a worker just ends
        work(part)
        code = 0
    except BaseException as error:
        print(f"bench: {error!r}", file=sys.stderr)
    finally:
        os._exit(code)
