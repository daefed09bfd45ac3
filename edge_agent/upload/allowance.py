"""How fast and how much may be sent: so many bytes a second, and so many in a day of UTC.

The day's count is on the disk, and is raised before bytes are sent: an agent that is killed again
and again sends no more than one that is not.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from edge_agent.durable import write_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Day(msgspec.Struct, frozen=True):
    """What was sent on a day, written YYYY-MM-DD."""

    day: str
    bytes: int


class Allowance:
    """One thread uses it. `clock_s`: seconds since 1970."""

    def __init__(
        self,
        file: Path,
        bytes_per_s: float,
        bytes_per_day: float,
        clock_s: Callable[[], float] = time.time,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._bytes_per_s = bytes_per_s
        self._bytes_per_day = bytes_per_day
        self._clock_s = clock_s
        self._mono_s = mono_s
        self._free_s = 0.0
        self._day = _read(file)

    @property
    def today_bytes(self) -> int:
        """Return what was sent today, or is entered as sent."""
        return self._day.bytes if self._day.day == self._today() else 0

    def enter(self, count: int) -> bool:
        """Enter bytes that are about to be sent; return False where the day has no room for them.

        A file larger than a whole day's share goes alone. Raises OSError.
        """
        if self.today_bytes and self.today_bytes + count > self._bytes_per_day:
            return False
        day = Day(self._today(), self.today_bytes + count)
        write_file(self._file, msgspec.json.encode(day))
        self._day = day
        return True

    def wait_s(self, count: int) -> float:
        """Return how long to wait before sending this many bytes."""
        now = self._mono_s()
        wait_s = max(0.0, self._free_s - now)
        self._free_s = now + wait_s + count / self._bytes_per_s
        return wait_s

    def _today(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock_s()))


def _read(file: Path) -> Day:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Day)
    except (OSError, msgspec.DecodeError):
        return Day("", 0)
