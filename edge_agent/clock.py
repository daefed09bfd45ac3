"""UTC as text."""

from __future__ import annotations

import functools
import time

NS_PER_MS = 1_000_000
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
