#!/usr/bin/env python3
"""Prints a line for each entry of a tree, in the form of expected.txt (README.md). Knows nothing of the program."""
import hashlib, os, stat, sys

TYPES = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo", stat.S_IFSOCK: "socket"}

def must_escape(c):
    n = ord(c)
    return n < 0x20 or 0x7f <= n <= 0x9f or n in (0x2028, 0x2029, 0xfeff) or n & 0xfffe == 0xfffe or 0xd800 <= n <= 0xdfff

def escape(data):
    """FORMAT.md section 6.1. surrogateescape makes U+DC80 + byte of what is not UTF-8."""
    out = []
    for c in data.decode("utf-8", "surrogateescape"):
        raw = c.encode("utf-8", "surrogateescape")
        out.append("\\\\" if c == "\\" else "".join(f"\\x{b:02x}" for b in raw) if must_escape(c) else c)
    return "".join(out)

def walk(top, path):
    yield path
    if not os.path.islink(os.path.join(top, path)) and os.path.isdir(os.path.join(top, path)):
        for name in sorted(os.listdir(os.path.join(top, path))):
            yield from walk(top, name if path == b"." else path + b"/" + name)

def main(top):
    top, seen = os.fsencode(top), {}
    for path in sorted(walk(top, b"."), key=lambda path: b"" if path == b"." else path.replace(b"/", b"\0")):
        full = os.path.join(top, path)
        s = os.lstat(full)
        kind, size, sha1, target = TYPES[stat.S_IFMT(s.st_mode)], "-", "-", ""
        if kind == "file":
            with open(full, "rb") as f:
                size, sha1 = s.st_size, hashlib.sha1(f.read()).hexdigest()
        if kind == "symlink":
            target = escape(os.readlink(full))
        elif kind != "directory" and s.st_nlink > 1:
            first = seen.setdefault(s.st_ino, path)
            target = "" if first == path else "=" + escape(first)
        names = [name for name in os.listxattr(full, follow_symlinks=False) if name.startswith("user.")]
        attributes = " ".join(f"{name}={os.getxattr(full, name, follow_symlinks=False).hex()}" for name in sorted(names))
        time = divmod(s.st_mtime_ns, 10 ** 9)
        # A link's mode is no one's choice.
        mode = "-" if kind == "symlink" else f"{stat.S_IMODE(s.st_mode):04o}"
        print("\t".join([kind, mode, str(size), sha1, f"{time[0]}.{time[1]:09}", escape(path), target, attributes]))

if __name__ == "__main__":
    main(sys.argv[1])
