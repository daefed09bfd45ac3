"""A clock that is set while a shift runs, or was wrong when the agent started: figures stay true.

A part comes every 10 s, which is the ideal cycle: of a line that always ran OEE is 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_agent.production.line import Line, LineState, ShiftFigures
from edge_agent.production.lines import Lines
from edge_agent.reporting.topics import Topics
from tests.alerts import Told
from tests.production.test_line import CALENDAR, LINE, Plant, S, ended, now, ns
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

CYCLE_S = 10


class Run:
    """One run of the agent, on a gateway whose clock the test turns; `before`: the last run."""

    def __init__(self, clock: str, before: Run | None = None) -> None:
        state = LineState()
        if before is not None:
            state = msgspec.json.decode(msgspec.json.encode(before.line.state), type=LineState)
        self.line: Line = Line(LINE, CALENDAR, state)
        self.utc_ns, self.mono_ns = ns(clock), 0
        self.closed = self.line.tick(self.utc_ns, 0)

    def wait(self, seconds: float) -> list[ShiftFigures]:
        self._pass(seconds)
        return self.line.tick(self.utc_ns, self.mono_ns)

    def work(self, seconds: int) -> None:
        for _ in range(seconds // CYCLE_S):
            self._pass(CYCLE_S)
            self.line.part(verdict(), self.utc_ns, self.mono_ns)

    def trouble(self, *, in_error: bool) -> None:
        self.line.trouble(self.utc_ns, self.mono_ns, in_error=in_error)

    def set_clock(self, clock: str) -> list[ShiftFigures]:
        return self.step(ns(clock) - self.utc_ns)

    def step(self, by_ns: int) -> list[ShiftFigures]:
        self.utc_ns += by_ns
        return self.line.tick(self.utc_ns, self.mono_ns)

    @property
    def figures(self) -> ShiftFigures:
        return now(self.line, self.utc_ns)

    def _pass(self, seconds: float) -> None:
        self.utc_ns += int(seconds * S)
        self.mono_ns += int(seconds * S)


# -------------------------------------------------------------- a small step at a shift's boundary


def test_a_small_step_back_just_after_a_change_of_shift_leaves_both_as_they_are() -> None:
    run = Run("13:50:00")
    run.work(590)
    (early,) = run.wait(10.5)
    assert (early.shift.name, early.tally.parts, early.planned_s) == ("early", 59, 600)
    assert run.step(-S) == []
    figures = run.figures
    assert (figures.shift.name, figures.planned_s, figures.closed) == ("late", 0, False)
    assert figures.from_ns == figures.at_ns == ns("14:00:00")
    assert run.wait(1) == []
    run.work(10)
    assert (run.figures.tally.parts, run.figures.planned_s, run.figures.down_s) == (1, 10.5, 0)


def test_a_part_that_comes_in_the_second_that_is_there_twice_counts_for_the_new_shift() -> None:
    run = Run("13:59:00")
    run.wait(60.5)
    run.utc_ns -= S
    assert ended(run.line.part(verdict(), run.utc_ns, run.mono_ns)) == []
    run.work(10)
    figures = run.figures
    # It is 14:00:09.5.
    assert (figures.shift.name, figures.tally.parts, figures.planned_s) == ("late", 2, 9.5)
    assert (figures.down_s, figures.cycle_s) == (0, 9.5)


def test_a_shift_that_is_over_is_not_begun_again_where_none_comes_after_it() -> None:
    run = Run("21:59:00")
    assert ended(run.wait(60.5)) == ["late"]
    assert run.step(-S) == []
    assert run.line.figures(run.utc_ns) is None
    assert run.wait(1) == []


def test_small_steps_back_one_after_the_other_close_no_shift() -> None:
    run = Run("13:59:00")
    run.wait(60.5)
    assert [run.step(-S * 3 // 2) for _ in range(3)] == [[], [], []]
    assert run.wait(4) == []
    assert run.figures.shift.name == "late"
    assert run.wait(1) == []


def test_a_restart_in_the_second_that_is_there_twice_goes_on_with_the_new_shift() -> None:
    run = Run("13:59:00")
    run.wait(61)
    run = Run("13:59:59", run)
    assert run.closed == []
    assert (run.figures.shift.name, run.figures.from_ns) == ("late", ns("14:00:00"))


def test_a_restart_in_the_second_that_is_there_twice_begins_no_shift_that_is_over() -> None:
    run = Run("21:59:00")
    run.wait(61)
    run = Run("21:59:59", run)
    assert run.line.figures(run.utc_ns) is None
    assert run.wait(2) == []


def test_all_lines_read_the_clocks_while_nobody_else_counts(tmp_path: Path) -> None:
    alone: list[bool] = []

    def clock() -> int:
        alone.append(lines._lock.locked())
        return ns("09:00:00")

    told = Told(tmp_path)
    topics = Topics("root", "gw1")
    folder = tmp_path / "lines"
    lines = Lines(topics, lambda *_: None, told.alerts, folder, utc_ns=clock, mono_ns=clock)
    lines.step(0.0, lambda _name: "")
    lines.figures()
    lines.close()
    told.alerts.close()
    assert alone == [True] * 4, "two by a step, one by each of the others"


# ------------------------------------------------------------------------ set within a shift


@pytest.mark.parametrize("clock", ["10:00:10", "08:00:10", "09:00:13", "09:00:07"])
def test_a_line_that_is_new_in_a_shift_counts_the_time_that_it_ran(clock: str) -> None:
    run = Run("09:00:00")
    run.work(10)
    run.set_clock(clock)
    run.work(1790)
    figures = run.figures
    assert (figures.planned_s, figures.down_s, figures.stops) == (1800, 0, 0)
    assert (figures.tally.parts, figures.cycle_s, figures.oee.oee) == (180, 10, 1)
    assert figures.from_ns == ns(clock) - 10 * S


def test_a_shift_that_began_in_this_run_counts_the_time_that_was_measured_in_it() -> None:
    run = Run("05:50:00")
    run.work(70 * 60)
    run.set_clock("08:00:00")  # it was 07:00: what was counted since 06:00 was made since 07:00
    run.work(30 * 60)
    figures = run.figures
    assert (figures.from_ns, figures.planned_s) == (ns("07:00:00"), 5400)
    # From 06:00:00, by the clock of then, to 08:30:00: the part on the stroke is in.
    assert (figures.tally.parts, figures.down_s) == (541, 0)
    assert figures.oee.oee == pytest.approx(541 / 540)


def test_a_clock_that_is_set_back_over_the_start_of_the_shift_and_put_right_loses_nothing() -> None:
    run = Run("06:20:00")
    run.work(50 * 60)
    run.set_clock("06:30:00")  # it was 07:10
    figures = run.figures
    assert (figures.from_ns, figures.planned_s) == (ns("06:00:00"), 1800), "no more than there was"
    run.set_clock("07:10:00")
    run.work(10 * 60)
    figures = run.figures
    assert (figures.from_ns, figures.planned_s) == (ns("06:20:00"), 3600)
    assert (figures.tally.parts, figures.down_s, figures.oee.oee) == (360, 0, 1)


def test_a_stop_is_as_long_as_it_was_although_the_clock_is_set_in_it() -> None:
    run = Run("09:00:00")
    run.work(600)
    run.wait(200)
    run.set_clock("11:00:00")
    run.wait(90)
    run.work(10)
    run.set_clock("09:30:00")
    run.work(600)
    figures = run.figures
    assert (figures.planned_s, figures.down_s, figures.stops) == (1500, 300, 1)


def test_an_error_is_as_long_as_it_was_although_the_clock_is_set_in_it() -> None:
    run = Run("09:00:00")
    run.work(600)
    run.wait(10)
    run.trouble(in_error=True)
    run.set_clock("12:00:00")
    run.wait(20)
    run.trouble(in_error=False)
    run.work(10)
    assert (run.figures.planned_s, run.figures.down_s, run.figures.stops) == (640, 20, 1)


@pytest.mark.parametrize("leaves", [False, True])
def test_other_options_do_not_make_an_earlier_run_of_what_this_one_measured(
    tmp_path: Path, *, leaves: bool
) -> None:
    plant = Plant(tmp_path)
    plant.configure(ideal_cycle_s=20.0, down_after_s=60.0)
    plant.make(*[0.0] * 2)
    plant.at_ns += 10 * S
    if leaves:
        plant.configure(cameras=0)
    plant.configure(ideal_cycle_s=10.0, down_after_s=60.0)
    plant.at_ns += 10 * S
    plant.lines.step(0.0, lambda _name: "")
    plant.set_by_ns = 3600 * S
    plant.lines.step(100.0, lambda _name: "")
    plant.at_ns += 10 * S
    plant.make(0.0)
    figures = plant.lines.figures()["camera"]
    assert (figures.from_ns, figures.at_ns) == (ns("10:00:00"), ns("10:00:30"))
    assert (figures.planned_s, figures.down_s, figures.oee.oee) == (30, 0, 1)


# ------------------------------------------------------------------------ set over a boundary


def test_a_clock_that_is_set_into_a_shift_from_between_two_begins_it_without_a_past() -> None:
    run = Run("05:00:00")
    run.work(600)
    assert run.set_clock("09:00:00") == []
    run.work(600)
    figures = run.figures
    assert (figures.from_ns, figures.planned_s, figures.down_s) == (ns("09:00:00"), 600, 0)
    assert (figures.tally.parts, figures.oee.oee) == (60, 1)


def test_a_clock_that_is_set_over_the_end_and_back_closes_each_shift_with_what_it_had() -> None:
    run = Run("13:00:00")
    run.work(1800)
    (early,) = run.set_clock("15:00:00")
    run.work(600)
    (late,) = run.set_clock("13:40:00")
    run.work(600)
    for figures, name, seconds in (
        (early, "early", 1800),
        (late, "late", 600),
        (run.figures, "early", 600),
    ):
        assert (figures.shift.name, figures.planned_s, figures.down_s) == (name, seconds, 0)
        assert (figures.tally.parts, figures.oee.oee) == (seconds // CYCLE_S, 1)


# ---------------------------------------------------------- a wrong clock after a power cut


def before_the_power_cut() -> Run:
    """From 09:00:00 to 09:59:50, when the last part came."""
    run = Run("09:00:00")
    run.work(3590)
    return run


def test_a_clock_that_was_behind_at_the_start_hides_no_stop_once_it_is_set() -> None:
    run = Run("09:30:00", before_the_power_cut())
    run.wait(31)
    run.set_clock("10:05:00")
    run.work(10)
    run.wait(1480)
    run.work(10)
    figures = run.figures
    # Off from 09:59:50 until the part of 10:05:10, and nothing from there to 10:30:00.
    assert (figures.from_ns, figures.at_ns) == (ns("09:00:00"), ns("10:30:00"))
    assert (figures.planned_s, figures.down_s, figures.stops) == (5400, 320 + 1490, 2)


def test_parts_by_a_clock_that_is_behind_make_no_stop_and_the_power_cut_is_one() -> None:
    run = Run("09:30:00", before_the_power_cut())
    run.work(1200)
    run.set_clock("10:24:30")  # it was 09:50:00: the start was at 10:04:30
    run.work(330)
    figures = run.figures
    # Off from 09:59:50 until the part of 10:04:40.
    assert (figures.planned_s, figures.down_s, figures.stops) == (5400, 290, 1)
    assert figures.tally.parts == 359 + 120 + 33


def test_a_stop_by_a_clock_that_is_behind_is_counted_before_it_is_set() -> None:
    run = Run("09:30:00", before_the_power_cut())
    run.work(10)
    run.wait(600)
    figures = run.figures
    assert (figures.is_down, figures.down_s, figures.stops) == (True, 600, 1)


def test_a_clock_that_passed_what_it_was_behind_before_it_is_set_hides_no_stop() -> None:
    run = Run("09:30:00", before_the_power_cut())
    run.wait(2100)  # 10:05:00, later than the last part
    run.set_clock("10:39:30")
    run.work(10)
    figures = run.figures
    assert (figures.planned_s, figures.down_s, figures.stops) == (5980, 2390, 1)


@pytest.mark.parametrize(
    ("clock", "planned_s", "down_s", "stops"),
    [
        pytest.param("10:02:20", 3740, 140, 1, id="a shorter stop"),
        pytest.param("10:00:30", 3630, 0, 0, id="none"),
        pytest.param("12:00:20", 10820, 7220, 1, id="a longer one"),
    ],
)
def test_a_clock_that_was_ahead_at_the_start_makes_no_longer_stop_than_there_was(
    clock: str, planned_s: float, down_s: float, stops: int
) -> None:
    run = Run("11:00:00", before_the_power_cut())
    run.work(20)
    # The first part came at 11:00:10 by it, and stands 10 s before the new time.
    assert (run.figures.down_s, run.figures.stops) == (3620, 1)
    run.set_clock(clock)
    run.work(10)
    figures = run.figures
    assert (figures.planned_s, figures.down_s, figures.stops) == (planned_s + 10, down_s, stops)
    run.set_clock("11:00:30")
    assert (run.figures.planned_s, run.figures.stops) == (7230, 1), "and it is set once more"
    assert run.figures.down_s == 3620


def test_two_runs_by_the_same_wrong_clock_are_put_right_together() -> None:
    ahead = Run("10:30:00")
    ahead.work(1800)
    run = Run("11:02:00", ahead)
    run.work(480)
    run.set_clock("10:10:00")  # it was 11:10:00
    run.work(600)
    figures = run.figures
    assert (figures.from_ns, figures.planned_s) == (ns("09:30:00"), 3000)
    assert (figures.down_s, figures.stops, figures.tally.parts) == (130, 1, 288)


def test_a_shift_of_before_a_power_cut_is_not_closed_earlier_than_it_was_seen() -> None:
    run = Run("09:30:00", before_the_power_cut())
    run.wait(30)
    (early,) = run.set_clock("14:20:00")
    assert (early.at_ns, early.planned_s, early.down_s) == (ns("09:59:50"), 3590, 0)
    assert (early.tally.parts, early.oee.oee) == (359, 1)
    assert (run.figures.from_ns, run.figures.planned_s) == (ns("14:20:00"), 0)


def test_an_error_of_before_a_power_cut_does_not_move_with_the_clock() -> None:
    run = before_the_power_cut()
    run.trouble(in_error=True)
    run = Run("09:59:55", run)
    run.set_clock("10:00:20")
    run.work(10)
    # In error from 09:59:50 until the part of 10:00:30.
    assert (run.figures.planned_s, run.figures.down_s, run.figures.stops) == (3630, 40, 1)
