"""Whether messages come so fast that they may wait for each other: one waking takes several then.

Who wakes up beside busy models finds its caches cold: the first verdict then costs several times
what the next one does (docs/performance.md). Where few come, nothing is won and each goes at once.
"""

from __future__ import annotations

# A verdict waits no longer than this for the next.
GATHER_S = 0.005
# From so many a second on. Below, less than one more would come meanwhile.
FAST_PER_S = 150.0
WINDOW_S = 0.1


class Gathering:
    """The rate of messages over the last tenth of a second; one thread uses it."""

    def __init__(self) -> None:
        self.pays = False
        self._began_s = 0.0
        self._count = 0

    def came(self) -> None:
        """Count a message."""
        self._count += 1

    def look(self, now_s: float) -> None:
        """Learn the rate, once all that had come by `now_s` (monotonic clock) is counted."""
        if (took_s := now_s - self._began_s) >= WINDOW_S:
            self.pays = self._count >= FAST_PER_S * took_s
            self._began_s, self._count = now_s, 0
