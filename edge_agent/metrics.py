"""Counters and histograms: plain numbers that a worker reports and the agent publishes."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left

# Upper bounds in milliseconds, about 20 % apart: fine enough for a p99, small enough to report.
BOUNDS_MS = tuple(round(0.1 * 1.2**step, 3) for step in range(64))


class Counters:
    """Named totals that only grow; safe to add to from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[str, int] = {}
        self._fault = ("", 0.0)
        self.captures = Histogram()
        """How long the reads took that brought an item, with the wait for it."""
        self.silent_from_s = 0.0
        """From when on silence counts, on the monotonic clock: when something last came that makes
        no item yet, one sample of many; or when the next item is due, where the source knows."""

    def fault(self, text: str) -> None:
        """Note in words what was wrong with the latest input that was dropped."""
        self._fault = (text, time.monotonic())

    def latest_fault(self, within_s: float) -> str:
        """Return the latest fault if it is that recent, else ""."""
        text, at_s = self._fault
        return text if time.monotonic() - at_s < within_s else ""

    def add(self, name: str, count: int = 1) -> None:
        """Add `count` to the total `name`."""
        with self._lock:
            self._totals[name] = self._totals.get(name, 0) + count

    def totals(self) -> dict[str, int]:
        """Return a copy of all totals."""
        with self._lock:
            return dict(self._totals)


class Histogram:
    """Durations counted in fixed buckets; written by one thread, read by others."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.sum_ms = 0.0

    def observe_ns(self, duration_ns: int) -> None:
        """Count one duration in nanoseconds."""
        duration_ms = duration_ns / 1e6
        self.counts[bisect_left(BOUNDS_MS, duration_ms)] += 1
        self.sum_ms += duration_ms


def quantile_ms(counts: list[int], q: float) -> float | None:
    """Return the upper bound in ms of the bucket where the `q` quantile (0..1) lies.

    None where nothing was counted.
    """
    rank = q * sum(counts)
    if rank == 0:
        return None
    seen = 0
    for count, bound in zip(counts, (*BOUNDS_MS, BOUNDS_MS[-1]), strict=True):
        seen += count
        if seen >= rank:
            return bound
    return BOUNDS_MS[-1]
