"""The plant's shifts, and what a pipeline's line is expected to do: tables of the config."""

from __future__ import annotations

import zoneinfo
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from edge_agent.errors import shown
from edge_agent.options import Name, StrictOptions

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MIN, WEEK_MIN = 24 * 60, 7 * 24 * 60

ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Rule = Literal["beyond_limit", "two_of_three", "four_of_five", "eight_in_a_row"]


def minute(text: str) -> int:
    """Return the minute of the day of a time such as "06:30"."""
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


class BreakOptions(StrictOptions):
    """A pause that is planned: nothing is expected from the line."""

    start: ClockTime
    end: ClockTime


class ShiftOptions(StrictOptions):
    """One shift, in the plant's local time.

    It ends on the next day where `end` is not after `start`; its weekday is that of its start.
    """

    name: Name
    start: ClockTime
    end: ClockTime
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    breaks: tuple[BreakOptions, ...] = ()

    @model_validator(mode="after")
    def _breaks_lie_inside(self) -> ShiftOptions:
        first = minute(self.start)
        length = (minute(self.end) - first - 1) % DAY_MIN + 1
        done = 0
        for each in self.breaks:
            start = (minute(each.start) - first) % DAY_MIN
            end = (minute(each.end) - first) % DAY_MIN or DAY_MIN
            if not done <= start < end <= length:
                raise ValueError(
                    f"break {each.start}-{each.end} must lie within {self.start}-{self.end}, "
                    "after the break before it"
                )
            done = end
        return self


class ProductionOptions(StrictOptions):
    """When the plant works."""

    timezone: str = "UTC"
    """Of the shifts, as in "Europe/Vienna" (IANA). Summer time is seen to."""
    shifts: Annotated[tuple[ShiftOptions, ...], Field(max_length=50)] = ()
    """Without any, each day from midnight to midnight is a shift called `day`."""

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            if name != "UTC":
                what = f"no such time zone on this machine: {shown(name)}"
                raise ValueError(f"{what} (is the package tzdata installed?)") from None
        return name

    @model_validator(mode="after")
    def _shifts_do_not_overlap(self) -> ProductionOptions:
        taken: dict[int, str] = {}
        for shift in self.shifts:
            first = minute(shift.start)
            length = (minute(shift.end) - first - 1) % DAY_MIN + 1
            for weekday in shift.weekdays:
                at = WEEKDAYS.index(weekday) * DAY_MIN + first
                for each in range(at, at + length):
                    other = taken.setdefault(each % WEEK_MIN, shift.name)
                    if other != shift.name:
                        raise ValueError(f"shifts {other} and {shift.name} overlap on {weekday}")
        return self


class ScoreChartOptions(StrictOptions):
    """An individuals chart of the mean score of so many parts."""

    parts: Annotated[int, Field(ge=1, le=100_000)] = 25
    """Parts behind each point. A mean is nearer to a normal distribution than a score."""
    baseline: Annotated[int, Field(ge=10, le=10_000)] = 100
    """The first points, which set the limits for good (until they are set anew)."""
    rules: tuple[Rule, ...] = ("beyond_limit", "eight_in_a_row")


class RejectChartOptions(StrictOptions):
    """A p-chart: the share of parts without a pass, among so many."""

    parts: Annotated[int, Field(ge=5, le=100_000)] = 100
    """Parts behind each point. With few rejects, take more of them."""
    baseline: Annotated[int, Field(ge=10, le=10_000)] = 25
    rules: tuple[Rule, ...] = ("beyond_limit", "eight_in_a_row")


class LineOptions(StrictOptions):
    """What the line before this camera is expected to do.

    For figures of production only: no verdict depends on it.
    """

    ideal_cycle_s: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """Planned time for one part. Without it there is neither performance nor OEE."""
    down_after_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    """No part for longer than this: the line stood, from the last part to the next."""
    error_is_down: bool = True
    """Time in which the pipeline could not inspect counts as down, too."""
    score_chart: ScoreChartOptions | None = None
    reject_chart: RejectChartOptions | None = None
