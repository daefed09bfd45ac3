"""How long a line stood: from part to part, and while nothing could be inspected.

Time runs from one part to the next; a part that comes again is a part here, for the line runs. A
stretch without any that is longer than `down_after` was down as a whole; a shorter one only for as
long as the pipeline was in error. The start of a shift and its end bound a stretch as parts do.
Breaks are no planned time, and count for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from edge_agent.production.shifts import Shift


class Downtime(msgspec.Struct):
    """Of one shift; times in UTC nanoseconds.

    `since_ns`: when the last part came, new or again, or the beginning.
    """

    since_ns: int
    error_since_ns: int | None = None
    error_ns: int = 0
    """In the stretch that runs, of errors that are over."""
    down_ns: int = 0
    """In all stretches that are over."""
    stops: int = 0
    cycles: int = 0
    cycle_ns: int = 0
    """Sum over the stretches from new part to new part in which the line did not stand."""
    cycle_since_ns: int | None = None
    """The last new part; None: there was none, or the line stood since."""

    def part(self, at_ns: int, shift: Shift, down_after_ns: int, *, new: bool) -> None:
        """End a stretch: a part came, a new one or one that had come before."""
        down = self._of_stretch(at_ns, shift, down_after_ns)
        self.down_ns += down
        self.stops += down > 0
        if down:
            self.cycle_since_ns = None
        if new:
            if self.cycle_since_ns is not None:
                self.cycles += 1
                self.cycle_ns += shift.planned_ns(self.cycle_since_ns, at_ns)
            self.cycle_since_ns = max(self.since_ns, at_ns)
        self.since_ns, self.error_ns = max(self.since_ns, at_ns), 0
        self.error_since_ns = None  # whoever gives a verdict can inspect

    def error(self, at_ns: int, shift: Shift, *, begins: bool) -> None:
        """Note that the pipeline cannot inspect from now on, or can again."""
        if begins and self.error_since_ns is None:
            self.error_since_ns = at_ns
        elif not begins and self.error_since_ns is not None:
            self.error_ns += shift.planned_ns(self.error_since_ns, at_ns)
            self.error_since_ns = None

    def total_ns(self, at_ns: int, shift: Shift, down_after_ns: int) -> int:
        """Return the time down up to now, with the stretch that still runs."""
        return self.down_ns + self._of_stretch(at_ns, shift, down_after_ns)

    def is_down(self, at_ns: int, shift: Shift, down_after_ns: int) -> bool:
        """Say whether the line stands now."""
        length = shift.planned_ns(self.since_ns, at_ns)
        return self.error_since_ns is not None or length > down_after_ns

    def move(self, since_ns: int, by_ns: int) -> None:
        """Move what was noted at or after `since_ns` along with a clock that was set."""
        if self.since_ns >= since_ns:
            self.since_ns += by_ns
        if self.cycle_since_ns is not None and self.cycle_since_ns >= since_ns:
            self.cycle_since_ns += by_ns
        if self.error_since_ns is not None and self.error_since_ns >= since_ns:
            self.error_since_ns += by_ns

    def _of_stretch(self, at_ns: int, shift: Shift, down_after_ns: int) -> int:
        length = shift.planned_ns(self.since_ns, at_ns)
        if length > down_after_ns:
            return length
        error = self.error_ns
        if self.error_since_ns is not None:
            error += shift.planned_ns(self.error_since_ns, at_ns)
        return min(error, length)
