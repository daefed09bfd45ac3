"""When an item is due, so that a recording is no faster than life, and waiting for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

    from edge_agent.metrics import Counters


def is_due(due_s: float, timeout_s: float, closed: threading.Event) -> bool:
    """Wait until `due_s` on `time.monotonic`, at most `timeout_s`; return whether it has come.

    Returns False at once when `closed` is set.
    """
    wait_s = due_s - time.monotonic()
    closed.wait(max(0.0, min(wait_s, timeout_s)))
    return wait_s <= timeout_s and not closed.is_set()


def next_due_s(due_s: float, period_s: float) -> float:
    """Return when the next item is due.

    A reader that fell behind goes on from now: it must not be flooded to catch up.
    """
    return max(due_s, time.monotonic() - period_s) + period_s


class Pace:
    """Gives the items of a source every `period_s`; 0: as fast as they are taken.

    Waiting for the next one is no silence, however long it takes: `counters` are told.
    """

    def __init__(self, period_s: float, closed: threading.Event, counters: Counters) -> None:
        self.period_s = period_s
        self.due_s = 0.0
        """When the next item is due, on `time.monotonic`."""
        self._closed = closed
        self._counters = counters

    def wait(self, timeout_s: float) -> bool:
        """Wait for the next item to be due, at most `timeout_s`; return whether it is."""
        if not self.period_s:
            return True
        self._counters.silent_from_s = self.due_s
        if not is_due(self.due_s, timeout_s, self._closed):
            return False
        self.due_s = next_due_s(self.due_s, self.period_s)
        return True


class Schedule:
    """From recorded times to those when they are due again, `speed` times as fast; 0: at once."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._began: tuple[float, int] | None = None
        self._newest_ns = 0

    def restart(self) -> None:
        """Take the next time for the beginning: another recording or machine follows."""
        self._began = None

    def start_at(self, time_ns: int) -> None:
        """Count from `time_ns` when it is the first, or when the recording goes back in time."""
        if self._began is None or time_ns < self._newest_ns:
            self._began = (time.monotonic(), time_ns)
        self._newest_ns = time_ns

    def due_s(self, time_ns: int) -> float:
        """Return when on `time.monotonic` a sample of `time_ns` is due."""
        began_s, first_ns = self._began or (0.0, time_ns)
        return began_s + (time_ns - first_ns) / 1e9 / self._speed if self._speed else 0.0
