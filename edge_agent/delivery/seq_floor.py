"""A number below which no seq may be given again, beside the database.

A seq that was published must not come a second time for another verdict, or consumers would drop
that as a repeat; and most verdicts never reach the database. So `ceiling` is forced to the disk
before any number up to it is given, and the run after a crash, or after the database was damaged,
deleted or put back from an old copy, goes on above it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_agent.delivery.outbox_types import DiskTrouble

if TYPE_CHECKING:
    from pathlib import Path

# So many numbers may be skipped after a crash; half of it lies between two writes of the file.
BLOCK = 1000
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

    def read(self) -> Floor | None:
        """Return what the file says; None when there is none or it cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes().strip(), type=Floor)
        except (OSError, msgspec.DecodeError):
            return None

    def written_ns(self) -> int:
        """Return when it was written (ns since 1970). Raises DiskTrouble."""
        try:
            return self._path.stat().st_mtime_ns
        except OSError as error:
            raise DiskTrouble(f"{self._path.name}: {error.strerror}") from None

    def write(self, floor: Floor) -> None:
        """Write it and force it to the disk. Raises DiskTrouble."""
        # In place: it takes no room, so that it works on a full disk, and a power cut leaves the
        # old or the new sector.
        text = msgspec.json.encode(floor).ljust(FILE_BYTES)
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, text, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DiskTrouble(f"{self._path.name}: {error.strerror}") from None
