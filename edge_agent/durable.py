"""Files that are whole or absent after a power cut: the one place that forces them to the disk.

A write is a temporary file, fsync, rename, fsync of the folder. Without the first fsync a power cut
leaves the new name pointing at nothing; without the second the rename itself may be forgotten.
Everything here raises OSError as the system reports it and leaves what was there before.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Put `content` at `path`, whole or not at all; missing folders are made.

    One writer per path at a time: the temporary name is always the same, so that a crash leaves at
    most one behind.
    """
    make_folder(path.parent)
    # Text: the parts of a Path would be interned at each write, and many_files.py says why not.
    part = f"{path.parent}/.{path.name}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        descriptor = os.open(part, flags, 0o644)
        try:
            write_all(descriptor, content)
        finally:
            os.close(descriptor)
        move_into_place(part, path, mode=mode)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part)  # noqa: PTH108  text, as above
        raise


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`, however little the system takes at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def move_into_place(part: Path | str, path: Path, *, mode: int) -> None:
    """Give a complete file its final name and mode; both lie on the same file system."""
    descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(part, path)  # noqa: PTH105  `part` may be text
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it, so that a power cut cannot take it away."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the disk; not what lies in the files."""
    _sync(folder)


def sync_tree(folder: Path) -> None:
    """Force every file and folder below `folder` to the disk: for what others wrote there."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = folder.joinpath(place, name)
            if not path.is_symlink():
                _sync(path)
        _sync(folder.joinpath(place))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
