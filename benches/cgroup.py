"""A memory limit by a cgroup: version 2 where it has the memory controller, else version 1."""

import os
import time

MIB = 1 << 20


class Unavailable(Exception):
    pass


def find():
    """(version, folder of the root group), or Unavailable with the reason."""
    with open("/proc/mounts") as mounts:
        rows = [row.split() for row in mounts]
    for _, folder, kind, *_ in rows:
        if kind == "cgroup2" and "memory" in read(folder, "cgroup.controllers").split():
            return 2, folder
    for _, folder, kind, options, *_ in rows:
        if kind == "cgroup" and "memory" in options.split(","):
            return 1, folder
    raise Unavailable("this machine has no cgroup with a memory controller")


class MemoryLimit:
    """Makes the group on entry and removes it on exit, when every process in it is gone."""

    def __init__(self, mib):
        self.mib = mib
        self.version, root = find()
        self.path = os.path.join(root, f"brackup-bench-{os.getpid()}")
        self.procs = os.path.join(self.path, "cgroup.procs")

    def __enter__(self):
        try:
            self.enable_controller()
            os.mkdir(self.path)
            self.set_limit()
        except OSError as error:
            self.__exit__()
            raise Unavailable(f"cannot make a cgroup with a memory limit: {error}") from None
        return self

    def enable_controller(self):
        """A child group of version 2 only has the controllers that its parent hands down."""
        if self.version == 2:
            parent = os.path.dirname(self.path)
            if "memory" not in read(parent, "cgroup.subtree_control").split():
                write(parent, "cgroup.subtree_control", "+memory")

    def set_limit(self):
        size = self.mib * MIB
        if self.version == 2:
            write(self.path, "memory.max", size)
            write_if_there(self.path, "memory.swap.max", 0)
        else:
            write(self.path, "memory.limit_in_bytes", size)
            write(self.path, "memory.swappiness", 0)
            write_if_there(self.path, "memory.memsw.limit_in_bytes", size)

    def kills(self):
        """How many processes the kernel ended because of the limit."""
        name = "memory.events" if self.version == 2 else "memory.oom_control"
        counts = dict(row.split() for row in read(self.path, name).splitlines())
        return int(counts.get("oom_kill", 0))

    def __exit__(self, *_):
        # The kernel needs a moment after the last process.
        for _ in range(50):
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"could not remove {self.path}")


def read(folder, name):
    with open(os.path.join(folder, name)) as file:
        return file.read()


def write(folder, name, value):
    with open(os.path.join(folder, name), "w") as file:
        file.write(str(value))


def write_if_there(folder, name, value):
    """Swap accounting is not in every kernel."""
    if os.path.exists(os.path.join(folder, name)):
        write(folder, name, value)
