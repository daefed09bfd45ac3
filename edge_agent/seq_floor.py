"""A number below which no seq may be given again, beside the database and told apart from it.

The database itself remembers the last seq. This small file answers for it when it is damaged,
deleted or put back from an old copy: a seq that was published must not come a second time for
another verdict, or consumers would drop that as a repeat. `ceiling` is written before it is
reached and far above, so that the file is seldom written; after a loss counting goes on from there.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

# About 20 s at 500 verdicts a second: the most that is skipped after the database was lost.
BLOCK = 10_000
FILE_BYTES = 128


@dataclass(frozen=True, slots=True)
class Floor:
    """`delivered`: up to it all were acknowledged; `seq`: was in use; `ceiling`: none above was."""

    delivered: int
    seq: int
    ceiling: int


class SeqFloor:
    """The file. One thread uses it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: Floor | None = None

    def read(self) -> Floor | None:
        """Return what the file says; None when there is none or it cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes().strip(), type=Floor)
        except (OSError, msgspec.DecodeError):
            return None

    def covers(self, seq: int) -> bool:
        """Say whether the file as it was last written here has `seq` below its ceiling."""
        return self._written is not None and seq <= self._written.ceiling

    def write(self, floor: Floor) -> None:
        """Write it; a disk that refuses is not waited for: this is a second line of defence."""
        # In place: it takes no room, so that it works on a full disk, and a power cut leaves the
        # old or the new sector.
        text = msgspec.json.encode(floor).ljust(FILE_BYTES)
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, text, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._written = floor
