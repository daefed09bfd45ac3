"""Another `[production]` while a shift runs, or while the agent is off: nothing is invented."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_agent.production.line import Line, LineState
from edge_agent.production.options import BreakOptions, ProductionOptions, ShiftOptions
from edge_agent.production.shifts import Calendar
from tests.production.test_line import CALENDAR, LINE, Plant, S, ended, now, ns
from tests.test_schemas import check
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path


def of(*shifts: tuple[str, str, str], pause: tuple[str, str] | None = None) -> Calendar:
    breaks = (BreakOptions(start=pause[0], end=pause[1]),) if pause else ()
    return Calendar(
        ProductionOptions(
            shifts=tuple(
                ShiftOptions(name=name, start=start, end=end, breaks=breaks)
                for name, start, end in shifts
            )
        )
    )


def again(line: Line, calendar: Calendar) -> Line:
    state = msgspec.json.decode(msgspec.json.encode(line.state), type=LineState)
    return Line(LINE, calendar, state)


def test_a_shift_that_the_plant_has_no_more_is_told_as_far_as_it_was_counted() -> None:
    line = Line(LINE, Calendar(ProductionOptions()), LineState())
    for number in range(5):
        line.part(verdict(number), ns("09:00:00") + number * 10 * S, number * 10 * S)
    line = again(line, CALENDAR)
    (closed,) = line.tick(ns("09:20:00"), 0)
    assert (closed.shift.name, closed.closed, closed.at_ns) == ("day", True, ns("09:00:40"))
    assert (closed.tally.parts, closed.planned_s, closed.down_s) == (5, 40, 0)
    line.part(verdict(9), ns("09:20:30"), 30 * S)
    figures = now(line, ns("09:20:30"))
    assert (figures.shift.name, figures.from_ns) == ("early", ns("09:20:00"))
    assert (figures.planned_s, figures.down_s, figures.tally.parts) == (30, 0, 1)


def test_a_shift_that_is_new_while_none_ran_counts_from_the_change_on() -> None:
    line = Line(LINE, of(("early", "06:00", "08:00")), LineState())
    line.tick(ns("07:00:00"), 0)
    line.tick(ns("09:00:00"), 7200 * S)
    line = again(line, of(("early", "06:00", "08:00"), ("late", "08:00", "22:00")))
    assert line.tick(ns("09:00:01"), 0) == []
    assert now(line, ns("09:01:01")).from_ns == ns("09:00:01")


@pytest.mark.parametrize(
    "calendar",
    [
        pytest.param(of(("early", "06:00", "15:00")), id="ends later"),
        pytest.param(of(("early", "06:00", "14:00"), pause=("12:00", "12:30")), id="a break later"),
        pytest.param(of(("early", "06:00", "14:00"), ("night", "22:00", "06:00")), id="another"),
    ],
)
def test_a_shift_goes_on_when_only_what_is_to_come_is_planned_anew(calendar: Calendar) -> None:
    line = Line(LINE, of(("early", "06:00", "14:00")), LineState())
    line.part(verdict(1), ns("09:00:00"), 0)
    line = again(line, calendar)
    assert ended(line.part(verdict(2), ns("09:00:10"), 0)) == []
    figures = now(line, ns("09:00:10"))
    assert (figures.from_ns, figures.tally.parts) == (ns("09:00:00"), 2)


@pytest.mark.parametrize(
    "calendar",
    [
        pytest.param(of(("first", "06:00", "14:00")), id="name"),
        pytest.param(of(("early", "07:00", "14:00")), id="start"),
        pytest.param(of(("early", "06:00", "14:00"), pause=("07:00", "07:30")), id="past break"),
        pytest.param(of(("early", "06:00", "08:30")), id="end that is over"),
    ],
)
def test_a_shift_whose_past_is_planned_anew_ends_as_it_was(calendar: Calendar) -> None:
    line = Line(LINE, of(("early", "06:00", "14:00")), LineState())
    line.part(verdict(1), ns("08:00:00"), 0)
    line.part(verdict(2), ns("09:00:00"), 3600 * S)
    (closed,) = again(line, calendar).tick(ns("09:00:10"), 0)
    assert (closed.shift.name, closed.tally.parts, closed.planned_s) == ("early", 2, 3600)


def test_a_file_of_before_shifts_were_kept_whole_goes_on_with_its_counts() -> None:
    line = Line(LINE, CALENDAR, LineState())
    line.part(verdict(1), ns("09:00:00"), 0)
    tree = msgspec.json.decode(msgspec.json.encode(line.state))
    del tree["shift"]["shift"]
    old = msgspec.convert(tree, LineState)
    line = Line(LINE, CALENDAR, msgspec.convert(tree, LineState))
    line.part(verdict(2), ns("09:00:10"), 0)
    assert now(line, ns("09:00:10")).tally.parts == 2
    line = Line(LINE, of(("first", "07:00", "14:00")), old)
    assert line.tick(ns("09:00:10"), 0) == [], "nobody knows what it was called"
    assert now(line, ns("09:00:20")).from_ns == ns("09:00:10")


def test_another_plan_of_shifts_in_a_shift_ends_it_and_begins_the_new_one(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.configure()
    plant.lines.step(0.0, lambda _name: "")
    plant.make(*[0.0] * 122)
    plant.at_ns += 50 * S
    plant.configure(start="08:00")
    plant.at_ns += S
    plant.lines.step(100.0, lambda _name: "")
    last = check("shift", plant.shown["root/qc/camera/last_shift"])
    assert (last["closed"], last["parts"], last["start_ts"][11:16]) == (True, 122, "06:00")
    assert (last["ts"][11:19], last["planned_s"]) == ("09:00:50", 50.0)
    plant.lines.decided(verdict(200))
    plant.at_ns += 2 * S
    plant.lines.step(200.0, lambda _name: "")
    shift = check("shift", plant.shown["root/qc/camera/shift"])
    assert (shift["start_ts"][11:16], shift["from_ts"][11:19]) == ("08:00", "09:00:50")
    assert (shift["parts"], shift["planned_s"], shift["down_s"]) == (1, 3.0, 0.0)


def test_a_stop_writes_how_long_the_line_had_stood(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.configure()
    plant.lines.start()
    plant.lines.decided(verdict(1))
    plant.lines.close()
    plant = Plant(tmp_path)
    plant.configure()
    plant.lines.step(0.0, lambda _name: "")
    plant.at_ns += 600 * S
    plant.lines.step(100.0, lambda _name: "")
    plant.lines.start()
    plant.lines.close()
    plant = Plant(tmp_path)
    plant.at_ns += 1200 * S
    plant.configure(start="07:00")
    plant.lines.step(0.0, lambda _name: "")
    last = check("shift", plant.shown["root/qc/camera/last_shift"])
    assert (last["planned_s"], last["down_s"], last["ts"][11:16]) == (600.0, 600.0, "09:10")
