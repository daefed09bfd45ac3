"""Statistical process control: limits of two charts, and the Western Electric rules on them.

Sources: Western Electric, Statistical Quality Control Handbook, 1956 (the zone rules, p. 25 ff.);
D. C. Montgomery, Introduction to Statistical Quality Control, 7th ed., 6.4 (individuals), 7.2.1
(fraction nonconforming), 5.3.4 (the rules). All pure.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.production.options import Rule

# Mean range of two values of a normal distribution, in its standard deviations (Montgomery,
# appendix VI, d2 for n = 2).
D2 = 1.128
# No rule looks further back.
MOST_POINTS = 8


@dataclass(frozen=True, slots=True)
class ZoneRule:
    """`enough` of the last `points`, on one side, are beyond `sigmas` from the centre line."""

    enough: int
    points: int
    sigmas: float


RULES: dict[Rule, ZoneRule] = {
    "beyond_limit": ZoneRule(1, 1, 3.0),
    "two_of_three": ZoneRule(2, 3, 2.0),
    "four_of_five": ZoneRule(4, 5, 1.0),
    "eight_in_a_row": ZoneRule(8, 8, 0.0),
}


class Limits(msgspec.Struct, frozen=True):
    """The centre line of a chart and its standard deviation; control limits are 3 of it away."""

    centre: float
    sigma: float


def individuals(values: Sequence[float]) -> Limits:
    """Return the limits of an individuals chart: mean, and mean moving range / 1.128.

    The moving range knows the spread from one point to the next, so that a slow drift within the
    baseline does not widen the limits. At least two values.
    """
    ranges = [abs(b - a) for a, b in itertools.pairwise(values)]
    return Limits(math.fsum(values) / len(values), math.fsum(ranges) / len(ranges) / D2)


def fraction(shares: Sequence[float], parts: int) -> Limits:
    """Return the limits of a p-chart of samples of `parts` each: sigma = sqrt(p (1-p) / n).

    With no reject in the baseline, sigma is that of one reject in all of it: a chart without any
    width would take the first reject for an alarm for ever.
    """
    centre = math.fsum(shares) / len(shares)
    least = 1 / (parts * len(shares))
    p = min(max(centre, least), 1 - least)
    return Limits(centre, math.sqrt(p * (1 - p) / parts))


def has_lower_limit(limits: Limits) -> bool:
    """Say whether a p-chart has a lower limit: none at or below 0 (Montgomery, 7.2.1).

    Without one a sample has so few rejects, less than about 9, that their distribution is lopsided:
    most of a process in control may lie below its centre line, and none is nothing unusual.
    """
    return limits.centre > RULES["beyond_limit"].sigmas * limits.sigma


def broken(
    values: Sequence[float], limits: Limits, rules: Sequence[Rule], sides: Sequence[int] = (1, -1)
) -> tuple[Rule, ...]:
    """Return the rules that the newest of `values` (the last) completes, in the order given.

    The last MOST_POINTS values suffice. `sides`: 1 above the centre line, -1 below it.
    """
    offsets = [value - limits.centre for value in values]
    return tuple(rule for rule in rules if _completes(offsets, RULES[rule], limits.sigma, sides))


def compared(value: float, limits: Limits, rules: Sequence[Rule]) -> float:
    """Return the line that `value` is beyond by these rules: of several the one furthest out."""
    sigmas = max(RULES[rule].sigmas for rule in rules)
    return limits.centre + math.copysign(sigmas * limits.sigma, value - limits.centre)


def _completes(
    offsets: Sequence[float], rule: ZoneRule, sigma: float, sides: Sequence[int]
) -> bool:
    newest = offsets[-rule.points :]
    if len(newest) < rule.enough:
        return False
    for side in sides:
        beyond = [side * offset > rule.sigmas * sigma for offset in newest]
        # The newest point itself must be beyond: an old one alone raises nothing again.
        if beyond[-1] and sum(beyond) >= rule.enough:
            return True
    return False
