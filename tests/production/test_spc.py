"""Control charts: limits and rules on numbers computed by hand, and on real recordings."""

from __future__ import annotations

import csv
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.production import charts, spc
from edge_agent.production.charts import Alarm, Chart
from edge_agent.production.options import RejectChartOptions, Rule, ScoreChartOptions
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = spc.Limits(centre=10.0, sigma=1.0)
ALL: tuple[Rule, ...] = ("beyond_limit", "two_of_three", "four_of_five", "eight_in_a_row")


def control_limit(limits: spc.Limits, side: int) -> float:
    return spc.compared(limits.centre + side * 99, limits, ["beyond_limit"])


def test_limits_of_individuals_come_from_the_moving_range() -> None:
    """33.75 33.05 34.00 33.81 33.46, by hand.

    Mean 168.07 / 5 = 33.614. Ranges 0.70 0.95 0.19 0.35: mean 0.5475; / 1.128 = 0.485372.
    """
    limits = spc.individuals([33.75, 33.05, 34.00, 33.81, 33.46])
    assert limits.centre == pytest.approx(33.614)
    assert limits.sigma == pytest.approx(0.485372, abs=1e-6)
    assert control_limit(limits, 1) == pytest.approx(35.070117, abs=1e-6)
    assert control_limit(limits, -1) == pytest.approx(32.157883, abs=1e-6)


def test_limits_of_a_share_are_those_of_the_binomial_distribution() -> None:
    """Samples of 50 with 12, 15, 8, 10 and 5 rejects: 50 of 250, p = 0.2.

    sigma = sqrt(0.2 * 0.8 / 50) = 0.0565685; limits 0.2 + and - 0.1697056.
    """
    limits = spc.fraction([12 / 50, 15 / 50, 8 / 50, 10 / 50, 5 / 50], 50)
    assert limits.centre == pytest.approx(0.2)
    assert control_limit(limits, 1) == pytest.approx(0.369706, abs=1e-6)
    assert control_limit(limits, -1) == pytest.approx(0.030294, abs=1e-6)


def test_a_baseline_without_rejects_has_a_width_all_the_same() -> None:
    # As if one of 20 * 50 had been one: p = 0.001, sigma = sqrt(0.001 * 0.999 / 50) = 0.00447.
    limits = spc.fraction([0.0] * 20, 50)
    assert limits.centre == 0.0
    assert limits.sigma == pytest.approx(0.00447, abs=1e-5)


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ([10, 10, 13.1], ["beyond_limit"]),
        ([10, 10, 6.9], ["beyond_limit"]),
        ([10, 10, 13.0], []),
        ([12.1, 10, 12.1], ["two_of_three"]),
        ([12.1, 10, 7.9], []),  # not on one side
        ([12.1, 10, 10, 12.1], []),  # two of four
        ([12.1, 12.1, 10], []),  # the newest is in no zone: nothing new
        ([11.1, 11.1, 10, 11.1, 11.1], ["four_of_five"]),
        ([11.1, 11.1, 10, 10, 11.1], []),
        ([8.9, 8.9, 8.9, 8.9], ["four_of_five"]),
        ([10.1] * 8, ["eight_in_a_row"]),
        ([10.1] * 7, []),
        ([10.1] * 7 + [9.9], []),
        ([10.1] * 7 + [10.0], []),  # on the centre line is on no side
        ([9.9] * 8, ["eight_in_a_row"]),
        ([11.1] * 8, ["four_of_five", "eight_in_a_row"]),
        ([13.1, 13.1], ["beyond_limit", "two_of_three"]),
        ([10.0], []),
    ],
)
def test_the_western_electric_rules(values: list[float], rules: list[str]) -> None:
    assert list(spc.broken(values, LIMITS, ALL)) == rules


def test_a_rule_that_was_not_chosen_raises_nothing() -> None:
    assert spc.broken([10.1] * 8, LIMITS, ("beyond_limit",)) == ()


def feed(
    chart: Chart, options: ScoreChartOptions, scores: list[float], *, stands: bool = False
) -> list[Alarm]:
    """Return what changed: that an alarm was raised, or is over."""
    found: list[Alarm] = []
    for number, score in enumerate(scores):
        alarm = charts.add(chart, options, "score", verdict(number, score=score))
        if alarm is not None and alarm.raised != (found[-1].raised if found else stands):
            found.append(alarm)
    return found


def test_a_chart_learns_its_limits_raises_an_alarm_and_ends_it_after_eight_calm_points() -> None:
    options = ScoreChartOptions(parts=2, baseline=10, rules=("beyond_limit",))
    chart = Chart()
    # Points 1.0 and 2.0 by turns: centre 1.5, moving range 1.0, sigma 0.8865, limit 4.16.
    assert feed(chart, options, [0.0, 2.0, 1.0, 3.0] * 5) == []
    assert chart.limits == spc.Limits(1.5, pytest.approx(1 / 1.128))  # type: ignore[arg-type]
    (raised,) = feed(chart, options, [4.0, 4.4, 4.0, 5.0])
    assert raised.raised
    assert raised.value == pytest.approx(4.2)
    assert raised.limit == pytest.approx(1.5 + 3 / 1.128)
    assert feed(chart, options, [1.5] * 15, stands=True) == []
    (cleared,) = feed(chart, options, [1.5], stands=True)
    assert not cleared.raised


@pytest.mark.parametrize(
    ("scores", "line"),
    [
        ([1.6] * 8, 1.5),  # eight in a row: the centre line
        ([1.4] * 8, 1.5),
        ([2.5] * 4, 1.5 + 1 / 1.128),
        ([0.5] * 4, 1.5 - 1 / 1.128),
        ([3.5, 3.5], 1.5 + 2 / 1.128),
        ([1.5, -2.0], 1.5 - 3 / 1.128),
        ([1.6] * 7 + [5.0], 1.5 + 3 / 1.128),  # two rules at once: the line furthest out
    ],
)
def test_an_alarm_names_the_line_that_its_rule_compares_with(
    scores: list[float], line: float
) -> None:
    options = ScoreChartOptions(parts=1, baseline=10, rules=ALL)
    chart = Chart()
    feed(chart, options, [1.0, 2.0] * 5)
    (alarm,) = feed(chart, options, scores)
    assert alarm.limit == pytest.approx(line)
    (over,) = feed(chart, options, [1.5] * 8, stands=True)
    assert over.limit is None


def test_limits_stay_as_they_are_once_they_are_set() -> None:
    options = ScoreChartOptions(parts=1, baseline=10)
    chart = Chart()
    feed(chart, options, [1.0, 2.0] * 5)
    before = chart.limits
    feed(chart, options, [100.0] * 50)
    assert chart.limits is before


def test_a_score_that_is_no_number_is_left_out() -> None:
    options = ScoreChartOptions(parts=2, baseline=10)
    chart = Chart()
    feed(chart, options, [1.0, math.nan, math.inf, 3.0])
    assert chart.baseline == [2.0]


def test_a_chart_of_rejects_takes_all_that_did_not_pass() -> None:
    options = RejectChartOptions(parts=5, baseline=10)
    chart = Chart()
    for outcome in ("pass", "fail", "pass", "uncertain", "pass"):
        charts.add(chart, options, "reject", verdict(1, outcome))
    assert chart.baseline == [0.4]


def test_another_model_sets_the_limits_anew() -> None:
    options = ScoreChartOptions(parts=2)
    chart = charts.begin(options, verdict(model_sha256="a"))
    assert charts.fits(chart, options, verdict(model_sha256="a"))
    assert not charts.fits(chart, options, verdict(model_sha256="b"))
    assert not charts.fits(chart, ScoreChartOptions(parts=3), verdict(model_sha256="a"))


def reject_alarms(baseline: list[int], points: list[int], parts: int) -> list[Alarm]:
    """Return what each point says; points by how many of their parts are rejects."""
    options = RejectChartOptions(parts=parts, baseline=len(baseline))
    chart, found = Chart(), []
    for rejects in [*baseline, *points]:
        for number in range(parts):
            judged = verdict(number, "fail" if number < rejects else "pass")
            found.append(charts.add(chart, options, "reject", judged))
    return [alarm for alarm in found if alarm is not None and alarm.raised]


def test_no_reject_is_no_news_where_the_chart_has_no_lower_limit() -> None:
    # p = 0.02, sigma = sqrt(0.02 * 0.98 / 50) = 0.0198: p - 3 sigma < 0.
    assert reject_alarms([0, 2] * 5, [0] * 40, 50) == []
    (raised,) = reject_alarms([0, 2] * 5, [0] * 8 + [5], 50)
    assert raised.message == (
        "share without a pass of 50 parts 0.1, more than usual: a point beyond its control limit "
        "(centre line 0.02)"
    )


def test_fewer_rejects_than_usual_are_said_to_be_fewer() -> None:
    # p = 0.4, sigma = sqrt(0.4 * 0.6 / 50) = 0.0693: the lower limit is 0.192.
    (raised,) = reject_alarms([19, 21] * 5, [19] * 8, 50)
    assert raised.message == (
        "share without a pass of 50 parts 0.38, fewer than usual: eight points in a row on one "
        "side of the centre line (centre line 0.4)"
    )
    (raised,) = reject_alarms([19, 21] * 5, [9], 50)
    assert "0.18, fewer than usual: a point beyond" in raised.message
    assert raised.limit == pytest.approx(0.4 - 3 * math.sqrt(0.4 * 0.6 / 50))


@pytest.mark.parametrize(("score", "words"), [(9.0, "higher"), (-9.0, "lower")])
def test_a_mean_score_is_said_to_be_higher_or_lower(score: float, words: str) -> None:
    chart, options = Chart(), ScoreChartOptions(parts=1, baseline=10)
    feed(chart, options, [1.0, 2.0] * 5)
    (raised,) = feed(chart, options, [score])
    assert f"{score:g}, {words} than usual: a point beyond its control limit" in raised.message


def test_a_chart_on_a_real_pump_finds_the_valve_that_closes(shared_data: Path) -> None:
    """SKAB, valve1/0.csv, water flow: the mean of 10 samples, limits from the first 40 such.

    Limits and points as numpy computes them; the recording says when the valve was closed.
    """
    file = shared_data / "skab" / "data" / "valve1" / "0.csv"
    with file.open(newline="") as rows:
        read = list(csv.DictReader(rows, delimiter=";"))
    flow = [float(row["Volume Flow RateRMS"]) for row in read]
    whole = len(flow) // 10 * 10
    points = np.array(flow[:whole]).reshape(-1, 10).mean(axis=1)
    closed = np.array([float(row["anomaly"]) for row in read[:whole]]).reshape(-1, 10).max(axis=1)
    centre, sigma = points[:40].mean(), np.abs(np.diff(points[:40])).mean() / 1.128
    outside = np.abs(points - centre) > 3 * sigma

    chart = Chart()
    options = ScoreChartOptions(parts=10, baseline=40, rules=("beyond_limit",))
    alarms = feed(chart, options, flow)
    assert chart.limits is not None
    assert chart.limits.centre == pytest.approx(centre)
    assert chart.limits.sigma == pytest.approx(sigma)
    assert (round(centre, 4), round(sigma, 4)) == (32.16, 0.0908)
    assert alarms[0].raised
    assert alarms[0].value == pytest.approx(points[outside][0])
    assert outside[closed == 1].mean() > 0.6
    assert outside[closed == 0].mean() < 0.05
