"""Room on the disk that is kept for the moment when there is none left."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

RESERVE_MOST_BYTES = 4 << 20
# A nearly full disk needs its last room for other things than a reserve.
SPARE_FACTOR = 4


class Reserve:
    """A file that only takes room, to be given up when the disk is full: deletes need some, too."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """`max_bytes`: the database's limit; the reserve is a sixteenth of it, 4 MB at most.

        On a disk that is smaller than the limit it is a sixteenth of the disk: a log that may be
        as long as the disk would take all of it and could never be worked in.
        """
        self._path = path
        self.bytes = min(RESERVE_MOST_BYTES, min(max_bytes, size_of_disk(path)) // 16)

    def give_up(self) -> None:
        """Free the room."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def keep(self, *, leave: int | None = None) -> None:
        """Take the room, or as much of it as leaves `leave` bytes of the disk to others.

        Left out: much more than the reserve, for times without need.
        """
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._path.parent)
            spare = disk.f_bavail * disk.f_frsize
            spare -= SPARE_FACTOR * self.bytes if leave is None else leave
            size = self._path.stat().st_size if self._path.exists() else 0
            with self._path.open("ab") as file:
                file.write(bytes(max(0, min(spare, self.bytes - size))))


def size_of_disk(path: Path) -> int:
    """Return the bytes of the disk that `path` will lie on; as good as no limit if unknown."""
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return sys.maxsize
    return disk.f_blocks * disk.f_frsize
