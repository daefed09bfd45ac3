"""A day with known answers: two shifts, a break, stops, an error, repeats, a restart.

recorded_day.csv, in words. A part every 5 minutes is planned to take 4 (`ideal_cycle_s` 240); no
part for more than 10 minutes (`down_after_s` 600) is a stop. Local time of Vienna, in winter.

early, 06:00 to 14:00 with a break from 10:00 to 10:30: planned 7.5 h = 27,000 s.
    06:05-08:00 24 parts, 08:45-09:55 15 parts, 10:35-12:00 18 parts, 12:07-13:52 22 parts: 79.
    First verdicts: 3 scratch, 2 dent, 1 burr fail, one is uncertain: 79 - 7 = 72 good at once.
    P-0010 (scratch) and P-0030 (dent) come again and pass: 74 good in the end. P-0003 comes again
    and fails again: 3 repeats.
    Down: 08:00 to 08:45, 2,700 s. 09:55 to 10:35 is 5 + 5 minutes without the break, not more
    than 10: not down. 12:00 to 12:07 is no stop, but the camera was away from 12:02 to 12:06,
    240 s. Together 2,940 s in 2 stops. APT = 27,000 - 2,940 = 24,060 s.
    availability = 24,060 / 27,000            = 0.891111
    performance  = 240 * 79 / 24,060          = 0.788030
    quality      = 74 / 79                    = 0.936709
    OEE          = 240 * 74 / 27,000          = 0.657778 (APT and PQ cancel out)
    Cycle: 78 stretches from part to part, less the one of 45 and the one of 7 minutes: 76, of
    which one has 600 s and 75 have 300 s: 23,100 s / 76 = 303.947 s.
late, 14:00 to 22:00: planned 28,800 s.
    14:05-15:00 12 parts, 15:25-21:55 79 parts: 91, one of them a scratch. The agent was off from
    15:00:30 to 15:20; no part was seen from 15:00 to 15:25: 1,500 s down, 1 stop.
    availability = 27,300 / 28,800 = 0.947917; performance = 240 * 91 / 27,300 = 0.8;
    quality = 90 / 91 = 0.989011; OEE = 240 * 90 / 28,800 = 0.75.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.production.options import (
    BreakOptions,
    LineOptions,
    ProductionOptions,
    RejectChartOptions,
    ShiftOptions,
)
from tools.recorded_day import Day, replay

FILE = Path(__file__).with_name("recorded_day.csv")
PLANT = ProductionOptions(
    timezone="Europe/Vienna",
    shifts=(
        ShiftOptions(
            name="early",
            start="06:00",
            end="14:00",
            breaks=(BreakOptions(start="10:00", end="10:30"),),
        ),
        ShiftOptions(name="late", start="14:00", end="22:00"),
    ),
)
LINE = LineOptions(ideal_cycle_s=240.0, down_after_s=600.0)


@pytest.fixture(scope="module")
def day() -> Day:
    return replay(FILE, PLANT, LINE)


def test_both_shifts_are_closed_at_their_ends(day: Day) -> None:
    ends = [(shift.shift.name, shift.shift.date, shift.closed) for shift in day.shifts]
    assert ends == [("early", "2026-01-14", True), ("late", "2026-01-14", True)]
    assert day.open_shift is None


def test_each_part_is_counted_once(day: Day) -> None:
    early, late = (shift.tally for shift in day.shifts)
    assert (early.parts, early.good, early.first_good) == (79, 74, 72)
    assert (early.repeats, early.errors) == (3, 1)
    assert (late.parts, late.good, late.first_good, late.repeats) == (91, 90, 90, 0)


def test_rejects_are_sorted_by_their_class(day: Day) -> None:
    bars = [(bar.label, bar.count) for bar in day.shifts[0].pareto]
    assert bars == [("scratch", 3), ("dent", 2), ("burr", 1)]
    assert [bar.cumulative for bar in day.shifts[0].pareto] == pytest.approx([3 / 6, 5 / 6, 1.0])


def test_the_line_was_down_as_long_as_computed_by_hand(day: Day) -> None:
    early, late = day.shifts
    assert (early.planned_s, early.down_s, early.stops) == (27_000, 2_940, 2)
    assert (late.planned_s, late.down_s, late.stops) == (28_800, 1_500, 1)
    assert early.cycle_s == pytest.approx(23_100 / 76)
    assert late.cycle_s == pytest.approx(300)


def test_oee_is_as_computed_by_hand(day: Day) -> None:
    early, late = (shift.oee for shift in day.shifts)
    assert early.availability == pytest.approx(0.891111, abs=1e-6)
    assert early.performance == pytest.approx(0.788030, abs=1e-6)
    assert early.quality == pytest.approx(0.936709, abs=1e-6)
    assert early.oee == pytest.approx(0.657778, abs=1e-6)
    assert late.availability == pytest.approx(0.947917, abs=1e-6)
    assert late.performance == pytest.approx(0.8)
    assert late.quality == pytest.approx(0.989011, abs=1e-6)
    assert late.oee == pytest.approx(0.75)


def test_a_chart_of_rejects_knows_the_share_of_its_baseline() -> None:
    """Points of 10 parts: the first 10 points hold 100 parts with 6 fails and 1 uncertain."""
    chart = RejectChartOptions(parts=10, baseline=10)
    day = replay(FILE, PLANT, LINE.model_copy(update={"reject_chart": chart}))
    # p = 0.07, sigma = sqrt(0.07 * 0.93 / 10) = 0.0807, upper limit 0.312: never reached.
    assert day.alerts == []


def test_the_command_prints_the_figures() -> None:
    arguments = (
        "--timezone Europe/Vienna --shift early,06:00,14:00,10:00-10:30 --shift late,14:00,22:00 "
        "--ideal-cycle 240 --down-after 600"
    )
    done = subprocess.run(
        [sys.executable, "-m", "tools.recorded_day", str(FILE), *arguments.split()],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "quality 0.936709, OEE 0.657778" in done.stdout
    assert "scratch: 3 (50.0%, up to here 50.0%)" in done.stdout
