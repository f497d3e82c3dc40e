"""Where things go that are no longer needed while the bench runs.

Their bytes are freed at once, but their inodes only at the end: ext4 without a journal (usual in small virtual
machines) avoids inodes that were freed in the last minutes, and looks at thousands of them for each new file. A tool
that makes files soon after something was deleted would pay a millisecond for each.
"""

import os
import shutil


class Trash:
    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        os.makedirs(folder, exist_ok=True)

    def throw(self, path):
        if not os.path.exists(path):
            return
        self.count += 1
        place = os.path.join(self.folder, str(self.count))
        os.rename(path, place)
        free_bytes(place)
        self.empty_if_needed()

    def empty_if_needed(self):
        """When three quarters of the file system's inodes are in use; some file systems have no such number (0)."""
        inodes = os.statvfs(self.folder)
        if 4 * inodes.f_favail < inodes.f_files:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.makedirs(self.folder)


def free_bytes(folder):
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            try:
                if not os.path.islink(path):
                    os.truncate(path, 0)
            except OSError:
                os.unlink(path)  # a read-only file of somebody who is not root, a socket
