"""The files and links of a package, in memory: put into a tar or a folder with owner root and one date, in one order."""

import gzip
import io
import os
import tarfile


class Tree:
    """Paths to (contents, mode). Folders above a file are made."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.files = {}
        self.links = {}
        self.folders = {}

    def add(self, path, data, mode=0o644):
        """One file; `path` is relative."""
        assert path not in self.files and not path.startswith("/"), path
        self.files[path] = (data.encode() if isinstance(data, str) else data, mode)
        self._above(path)

    def link(self, path, to):
        """A symbolic link."""
        assert path not in self.links and not path.startswith("/"), path
        self.links[path] = to
        self._above(path)

    def _above(self, path):
        above = path.rpartition("/")[0]
        while above:
            self.folders[above] = 0o755
            above = above.rpartition("/")[0]

    def size(self):
        """Bytes of all contents."""
        return sum(len(data) for data, _ in self.files.values())

    def write(self, to):
        """Into a folder that is there."""
        for folder in sorted(self.folders):
            (to / folder).mkdir(parents=True, exist_ok=True)
            (to / folder).chmod(self.folders[folder])
        for path, (data, mode) in sorted(self.files.items()):
            (to / path).write_bytes(data)
            (to / path).chmod(mode)
        for path, leads_to in self.links.items():
            (to / path).symlink_to(leads_to)
        for path in [*self.files, *self.links, *sorted(self.folders, reverse=True)]:
            os.utime(to / path, (self.epoch, self.epoch), follow_symlinks=False)

    def tar(self, prefix="./"):
        """A GNU tar. `./` before each name and a first entry `./` is what opkg expects; `` is what Synology shows."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            if prefix:
                self._entry(tar, prefix, None, 0o755)
            names = [(path, None) for path in self.folders] + list(self.files.items()) + list(self.links.items())
            for path, file in sorted(names, key=lambda item: item[0]):
                if path in self.links:
                    self._entry(tar, prefix + path, None, 0o777, file)
                    continue
                data, mode = file if file else (None, self.folders[path])
                self._entry(tar, prefix + path, data, mode)
        return out.getvalue()

    def _entry(self, tar, name, data, mode, to=""):
        info = tarfile.TarInfo(name)
        info.type = tarfile.SYMTYPE if to else tarfile.DIRTYPE if data is None else tarfile.REGTYPE
        info.linkname = to
        info.size = 0 if data is None else len(data)
        info.mode, info.mtime, info.uname, info.gname = mode, self.epoch, "root", "root"
        tar.addfile(info, None if data is None else io.BytesIO(data))


def zipped(data):
    """gzip without a name or a time in it."""
    return gzip.compress(data, compresslevel=9, mtime=0)
