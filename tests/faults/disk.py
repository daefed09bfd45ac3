"""A disk that loses its power: an ext4 in a file, mounted.

What was not forced to the disk is in the memory of the kernel and not in that file, so a copy of
the file is what a power cut leaves.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Disk:
    """Mounted at `mounted_at`, from the beginning until `unmount`; needs root."""

    def __init__(self, folder: Path, size_bytes: int, mounted_at: Path | None = None) -> None:
        self._folder = folder
        self._number = 0
        self.mounted_at = mounted_at or folder / "disk"
        self.mounted_at.mkdir()
        with self._image().open("wb") as image:
            image.truncate(size_bytes)
        _run("mkfs.ext4", "-q", str(self._image()))
        self._mount()

    def copy(self) -> None:
        """Take what stands on the disk at this instant, for `reboot`."""
        self.copy_to(self._image(1))

    def copy_to(self, image: Path) -> str:
        """Take what stands on the disk at this instant; return a digest of it.

        By reads of what the loop device was told to write: not one byte of the file system's own
        memory is in it.
        """
        found = hashlib.sha256()
        with self._image().open("rb") as disk, image.open("wb") as copy:
            copy.truncate(os.fstat(disk.fileno()).st_size)
            for begin, content in _written(disk.fileno()):
                copy.seek(begin)
                copy.write(content)
                found.update(b"%d %d\n" % (begin, len(content)))
                found.update(content)
        return found.hexdigest()

    def reboot(self) -> None:
        """Go on with the copy that was taken last."""
        self.boot_from(self._image(1))

    def boot_from(self, image: Path) -> None:
        """Go on with what was taken before."""
        self.unmount()
        self._image().unlink()
        self._number += 1
        image.rename(self._image())
        self._mount()

    def unmount(self) -> None:
        _run("umount", str(self.mounted_at))

    def _image(self, later: int = 0) -> Path:
        return self._folder / f"disk-{self._number + later}.img"

    def _mount(self) -> None:
        # commit: the file system shall not save the day by itself before the cut.
        _run("mount", "-o", "loop,commit=300", str(self._image()), str(self.mounted_at))


def _written(descriptor: int) -> list[tuple[int, bytes]]:
    """Return where there is something in a file with holes, and what."""
    found: list[tuple[int, bytes]] = []
    end = 0
    while True:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:
            return found  # ENXIO: nothing but a hole is left
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        found.append((begin, os.pread(descriptor, end - begin, begin)))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
