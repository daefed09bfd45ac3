"""Shifts follow the plant's wall clock: over midnight, at weekends, on the nights of a change."""

from __future__ import annotations

import datetime as dt

import pytest
from pydantic import ValidationError

from edge_agent.production.options import BreakOptions, ProductionOptions, ShiftOptions
from edge_agent.production.shifts import Calendar, Shift

HOUR_NS = 3600 * 10**9
THREE = tuple(
    ShiftOptions(name=name, start=start, end=end)
    for name, start, end in (
        ("early", "06:00", "14:00"),
        ("late", "14:00", "22:00"),
        ("night", "22:00", "06:00"),
    )
)
VIENNA = Calendar(ProductionOptions(timezone="Europe/Vienna", shifts=THREE))


def ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 10**9


def shift_at(text: str, calendar: Calendar = VIENNA) -> Shift:
    shift = calendar.at(ns(text))
    assert shift is not None
    return shift


def test_a_shift_over_midnight_belongs_to_the_day_of_its_start() -> None:
    night = shift_at("2026-01-15T03:00+01:00")
    assert (night.name, night.date) == ("night", "2026-01-14")
    assert night.start_ns == ns("2026-01-14T22:00+01:00")
    assert night.end_ns == ns("2026-01-15T06:00+01:00")


def test_a_shift_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    assert shift_at("2026-01-14T13:59:59+01:00").name == "early"
    assert shift_at("2026-01-14T14:00:00+01:00").name == "late"


def test_the_night_of_the_change_to_summer_time_has_seven_hours() -> None:
    night = shift_at("2026-03-29T01:00+01:00")
    assert night.end_ns - night.start_ns == 7 * HOUR_NS
    assert shift_at("2026-03-29T06:00+02:00").name == "early"


def test_the_night_of_the_change_to_winter_time_has_nine_hours() -> None:
    night = shift_at("2026-10-25T02:30+02:00")
    assert night.end_ns - night.start_ns == 9 * HOUR_NS
    assert night == shift_at("2026-10-25T02:30+01:00")
    assert shift_at("2026-10-25T06:00+01:00").name == "early"


def test_every_instant_of_a_year_of_three_shifts_lies_in_a_shift_of_its_own() -> None:
    at_ns, last = ns("2026-01-01T00:00+01:00"), ns("2027-01-01T00:00+01:00")
    while at_ns < last:
        shift = VIENNA.at(at_ns)
        assert shift is not None
        assert shift.start_ns <= at_ns < shift.end_ns
        at_ns = shift.end_ns


def test_without_shifts_a_day_is_a_shift() -> None:
    day = shift_at("2026-01-14T12:00+00:00", Calendar(ProductionOptions()))
    assert (day.name, day.date) == ("day", "2026-01-14")
    assert day.end_ns - day.start_ns == 24 * HOUR_NS


def test_there_is_no_shift_on_a_free_day() -> None:
    early = ShiftOptions(name="early", start="06:00", end="14:00", weekdays=("mon", "sat"))
    calendar = Calendar(ProductionOptions(shifts=(early,)))
    assert calendar.at(ns("2026-01-13T07:00+00:00")) is None  # a Tuesday
    assert shift_at("2026-01-12T07:00+00:00", calendar).name == "early"


def test_breaks_are_not_planned_time_also_after_midnight() -> None:
    night = ShiftOptions(
        name="night",
        start="22:00",
        end="06:00",
        breaks=(
            BreakOptions(start="23:30", end="00:15"),
            BreakOptions(start="03:00", end="03:15"),
        ),
    )
    shift = shift_at("2026-01-15T01:00+00:00", Calendar(ProductionOptions(shifts=(night,))))
    assert shift.planned_ns(shift.start_ns, shift.end_ns) == 7 * HOUR_NS
    assert shift.planned_ns(ns("2026-01-14T23:00+00:00"), ns("2026-01-15T00:00+00:00")) == (
        HOUR_NS // 2
    )


def test_time_outside_the_shift_is_not_planned() -> None:
    early = shift_at("2026-01-14T07:00+01:00")
    assert early.planned_ns(early.start_ns - HOUR_NS, early.end_ns + HOUR_NS) == 8 * HOUR_NS


@pytest.mark.parametrize(
    "wrong",
    [
        {"timezone": "Mars/Olympus"},
        {"timezone": "../etc/passwd"},
        {"shifts": [{"name": "a", "start": "25:00", "end": "14:00"}]},
        {"shifts": [{"name": "a", "start": "6:00", "end": "14:00"}]},
        {"shifts": [{"name": "a", "start": "06:00", "end": "14:00", "weekdays": []}]},
        {
            "shifts": [
                {"name": "a", "start": "06:00", "end": "14:00"},
                {"name": "b", "start": "13:59", "end": "22:00"},
            ]
        },
        # Sunday's night runs into Monday's morning.
        {
            "shifts": [
                {"name": "a", "start": "22:00", "end": "06:00", "weekdays": ["sun"]},
                {"name": "b", "start": "05:00", "end": "14:00", "weekdays": ["mon"]},
            ]
        },
        {
            "shifts": [
                {
                    "name": "a",
                    "start": "06:00",
                    "end": "14:00",
                    "breaks": [{"start": "14:00", "end": "14:30"}],
                }
            ]
        },
    ],
)
def test_shifts_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    import json  # noqa: PLC0415  strict options take lists from JSON only

    with pytest.raises(ValidationError):
        ProductionOptions.model_validate_json(json.dumps(wrong))
