"""UTC as text, and as a clock that nobody can set."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
MS_PER_S = 1000
# 9999-12-31: later has no four-digit year. A sensor's own clock may say anything.
LAST_MS = 253_402_300_799_999


def utc_text(utc_ns: int) -> str:
    """Return nanoseconds since 1970 as ISO 8601 in UTC with milliseconds, cut, not rounded."""
    utc_ms = min(max(utc_ns // NS_PER_MS, 0), LAST_MS)
    return f"{_second(utc_ms // MS_PER_S)}.{utc_ms % MS_PER_S:03d}Z"


@functools.lru_cache(maxsize=64)
def _second(utc_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(utc_s))


class SteadyUtc:
    """UTC that runs on from its start by a monotonic clock: setting the time makes nothing old."""

    def __init__(self, utc_ns: Callable[[], int], mono_s: Callable[[], float]) -> None:
        self._mono_s = mono_s
        self._began_s = mono_s()
        self._began_ns = utc_ns()

    @property
    def running_s(self) -> float:
        """Seconds since the start."""
        return self._mono_s() - self._began_s

    def now_ns(self) -> int:
        """Return nanoseconds since 1970, as far as was known at the start."""
        return self._began_ns + int(self.running_s * NS_PER_S)
