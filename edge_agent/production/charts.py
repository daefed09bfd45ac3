"""A control chart that is fed part by part: a baseline first, frozen limits and alarms then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from edge_agent.production import spc

if TYPE_CHECKING:
    from edge_agent.production.options import RejectChartOptions, Rule, ScoreChartOptions
    from edge_agent.types import Verdict

Kind = Literal["score", "reject"]

# An alarm is over when so many points in a row break no rule.
CALM_POINTS = 8

WORDS: dict[Rule, str] = {
    "beyond_limit": "a point beyond its control limit",
    "two_of_three": "two of three points beyond 2 sigma",
    "four_of_five": "four of five points beyond 1 sigma",
    "eight_in_a_row": "eight points in a row on one side of the centre line",
}
# Above the centre line, and below it.
THAN_USUAL: dict[Kind, tuple[str, str]] = {
    "score": ("higher than usual", "lower than usual"),
    "reject": ("more than usual", "fewer than usual"),
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """What the newest point says: there is reason for an alarm, or has been none for long."""

    raised: bool
    message: str
    value: float | None
    limit: float | None = None
    """The line that the rule compares the value with."""


class Chart(msgspec.Struct):
    """What is known of one chart; kept on disk. `total`, `parts`: of the point that is filling."""

    total: float = 0.0
    parts: int = 0
    baseline: list[float] = msgspec.field(default_factory=list)
    limits: spc.Limits | None = None
    points: list[float] = msgspec.field(default_factory=list)
    """The newest ones."""
    calm: int = 0
    """How many points in a row have broken no rule."""
    of_parts: int = 0
    model: str = ""
    """What its limits hold for: other points, or another model, make them void."""


ANEW = Alarm(raised=False, message="another model or chart: its limits are set anew", value=None)


def fits(chart: Chart, options: ScoreChartOptions | RejectChartOptions, verdict: Verdict) -> bool:
    """Say whether what the chart knows holds for this verdict."""
    return (chart.of_parts, chart.model) == (options.parts, verdict.model_sha256)


def begin(options: ScoreChartOptions | RejectChartOptions, verdict: Verdict) -> Chart:
    """Return an empty chart for verdicts like this one."""
    return Chart(of_parts=options.parts, model=verdict.model_sha256)


def add(
    chart: Chart, options: ScoreChartOptions | RejectChartOptions, kind: Kind, verdict: Verdict
) -> Alarm | None:
    """Take the first verdict on a part; return what the point says that it completes.

    A `score` chart takes the mean score, a `reject` chart the share of verdicts that are no pass.
    """
    if not math.isfinite(verdict.score):
        return None
    chart.total += verdict.score if kind == "score" else float(verdict.outcome != "pass")
    chart.parts += 1
    if chart.parts < options.parts:
        return None
    value = chart.total / chart.parts
    chart.total, chart.parts = 0.0, 0
    return _point(chart, options, kind, value)


def _point(
    chart: Chart, options: ScoreChartOptions | RejectChartOptions, kind: Kind, value: float
) -> Alarm | None:
    if chart.limits is None:
        chart.baseline.append(value)
        if len(chart.baseline) >= options.baseline:
            limits_of = chart.baseline
            chart.limits = (
                spc.individuals(limits_of)
                if kind == "score"
                else spc.fraction(limits_of, options.parts)
            )
            chart.baseline = []
        return None
    chart.points = [*chart.points, value][-spc.MOST_POINTS :]
    both = kind == "score" or spc.has_lower_limit(chart.limits)
    rules = spc.broken(chart.points, chart.limits, options.rules, (1, -1) if both else (1,))
    chart.calm = 0 if rules else chart.calm + 1
    what = "mean score" if kind == "score" else "share without a pass"
    words = f"{what} of {options.parts} parts"
    if rules:
        reason = " and ".join(WORDS[rule] for rule in rules)
        usual = THAN_USUAL[kind][value < chart.limits.centre]
        return Alarm(
            raised=True,
            message=f"{words} {value:g}, {usual}: {reason} (centre line {chart.limits.centre:g})",
            value=value,
            limit=spc.compared(value, chart.limits, rules),
        )
    if chart.calm >= CALM_POINTS:
        message = f"{words} {value:g}: {CALM_POINTS} points without a sign of drift"
        return Alarm(raised=False, message=message, value=value)
    return None
