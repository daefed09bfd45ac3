"""Which shift it is: a plant's local clock, with its summer time, as stretches of UTC."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_S
from edge_agent.production.options import DAY_MIN, WEEKDAYS, ShiftOptions, minute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.production.options import ProductionOptions

WHOLE_DAY = ShiftOptions(name="day", start="00:00", end="00:00")


@dataclass(frozen=True, slots=True)
class Shift:
    """One shift of one day; times in UTC nanoseconds, `date`: of its start, local."""

    name: str
    date: str
    start_ns: int
    end_ns: int
    breaks: tuple[tuple[int, int], ...] = ()

    def planned_ns(self, start_ns: int, end_ns: int) -> int:
        """Return how much of a stretch of time is planned for work: in the shift, no break."""
        total = _overlap(start_ns, end_ns, self.start_ns, self.end_ns)
        return total - sum(_overlap(start_ns, end_ns, *each) for each in self.breaks)

    def past(self, at_ns: int) -> tuple[object, ...]:
        """Return what of the plan lies before a time: two with the same past may be one shift."""
        begun = [(start, min(end, at_ns)) for start, end in self.breaks if start < at_ns]
        return self.name, self.date, self.start_ns, begun


class Calendar:
    """The shifts of a plant."""

    def __init__(self, options: ProductionOptions) -> None:
        # "UTC" needs no files of the system.
        utc = options.timezone == "UTC"
        self._zone: dt.tzinfo = dt.UTC if utc else zoneinfo.ZoneInfo(options.timezone)
        self._shifts = options.shifts or (WHOLE_DAY,)

    def at(self, utc_ns: int) -> Shift | None:
        """Return the shift at a time; None between shifts."""
        today = dt.datetime.fromtimestamp(utc_ns // NS_PER_S, self._zone).date()
        # A shift may have begun on the day before.
        for day in (today, today - dt.timedelta(days=1)):
            for shift in self._of(day):
                if shift.start_ns <= utc_ns < shift.end_ns:
                    return shift
        return None

    def _of(self, day: dt.date) -> Iterator[Shift]:
        for shift in self._shifts:
            if WEEKDAYS[day.weekday()] in shift.weekdays:
                first = minute(shift.start)
                breaks = tuple(
                    (self._utc_ns(day, first, each.start), self._end_ns(day, first, each.end))
                    for each in shift.breaks
                )
                yield Shift(
                    shift.name,
                    day.isoformat(),
                    self._utc_ns(day, first, shift.start),
                    self._end_ns(day, first, shift.end),
                    breaks,
                )

    def _utc_ns(self, day: dt.date, first: int, text: str) -> int:
        """Return a local time as UTC; before the shift's first minute it is on the next day."""
        return self._at(day, first + (minute(text) - first) % DAY_MIN)

    def _end_ns(self, day: dt.date, first: int, text: str) -> int:
        return self._at(day, first + ((minute(text) - first) % DAY_MIN or DAY_MIN))

    def _at(self, day: dt.date, minutes: int) -> int:
        # By what the wall clock shows: on the nights of a change a shift is longer or shorter.
        wall = dt.datetime.combine(day + dt.timedelta(days=minutes // DAY_MIN), dt.time())
        wall += dt.timedelta(minutes=minutes % DAY_MIN)
        return int(wall.replace(tzinfo=self._zone).timestamp()) * NS_PER_S


def _overlap(a_start: int, a_end: int, b_start: int, b_end: int) -> int:
    return max(0, min(a_end, b_end) - max(a_start, b_start))
