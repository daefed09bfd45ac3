"""How long a line stood: from part to part, and while nothing could be inspected.

Time runs from one part to the next; a part that comes again is a part here, for the line runs. A
stretch without any that is longer than `down_after` was down as a whole; a shorter one only for as
long as the pipeline was in error. The start of a shift and its end bound a stretch as parts do.
Breaks are no planned time, and count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from edge_agent.production.shifts import Shift


@dataclass(slots=True)
class EarlierRun:
    """What an earlier run had noted of the shift, by a clock of its own.

    Where the clock of this run is set, that stays as it is; the stretch from there to the first
    part of this run is measured again.
    """

    seen_ns: int
    """When it ended, or later than all it had noted."""
    since_ns: int
    cycle_since_ns: int | None
    error_since_ns: int | None
    first_ns: int | None = None
    """When the first part of this run came."""
    down_ns: int = 0
    """What was counted as down when it came."""

    def part(self, at_ns: int, down_ns: int) -> None:
        """Note the first part of this run, and what it made of the stretch that it ended."""
        if self.first_ns is None:
            self.first_ns, self.down_ns = at_ns, down_ns

    def went_by_clock(self, utc_ns: int, moved_ns: int) -> bool:
        """Say whether it went by the very clock that was now set back.

        What it had seen was past before, and would be to come now.
        """
        return utc_ns < self.seen_ns <= utc_ns - moved_ns


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

    def part(self, at_ns: int, shift: Shift, down_after_ns: int, *, new: bool) -> int:
        """End a stretch: a part came, a new one or one that had come before.

        Return how long the line was down in it.
        """
        down = self._of_stretch(at_ns, shift, down_after_ns)
        self.down_ns += down
        self.stops += down > 0
        if down:
            self.cycle_since_ns = None
        if new:
            if self.cycle_since_ns is not None:
                self.cycles += 1
                self.cycle_ns += shift.planned_ns(self.cycle_since_ns, at_ns)
            self.cycle_since_ns = at_ns
        # Even if that is before: the clock of an earlier run may have been ahead of this one.
        self.since_ns, self.error_ns = at_ns, 0
        self.error_since_ns = None  # whoever gives a verdict can inspect
        return down

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

    def move(self, by_ns: int, earlier: EarlierRun | None) -> None:
        """Move what was noted in this run along with a clock that was set."""
        if earlier is None or earlier.first_ns is not None:
            self.since_ns += by_ns
        cycle_ns = earlier.cycle_since_ns if earlier is not None else None
        if self.cycle_since_ns is not None and self.cycle_since_ns != cycle_ns:
            self.cycle_since_ns += by_ns
        error_ns = earlier.error_since_ns if earlier is not None else None
        if self.error_since_ns is not None and self.error_since_ns != error_ns:
            self.error_since_ns += by_ns

    def measure_again(
        self, earlier: EarlierRun, by_ns: int, shift: Shift, down_after_ns: int
    ) -> None:
        """Correct the stretch from an earlier run to this one: its end moved, its start did not."""
        if earlier.first_ns is None:
            return  # it still runs
        earlier.first_ns += by_ns
        length = shift.planned_ns(earlier.since_ns, earlier.first_ns)
        # What was no longer than that was down by its errors alone.
        errors_ns = earlier.down_ns if earlier.down_ns <= down_after_ns else 0
        down_ns = length if length > down_after_ns else min(errors_ns, length)
        self.down_ns += down_ns - earlier.down_ns
        self.stops += (down_ns > 0) - (earlier.down_ns > 0)
        earlier.down_ns = down_ns

    def _of_stretch(self, at_ns: int, shift: Shift, down_after_ns: int) -> int:
        length = shift.planned_ns(self.since_ns, at_ns)
        if length > down_after_ns:
            return length
        error = self.error_ns
        if self.error_since_ns is not None:
            error += shift.planned_ns(self.error_since_ns, at_ns)
        return min(error, length)
