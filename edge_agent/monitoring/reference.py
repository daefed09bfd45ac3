"""What is usual, as quantiles, and how far from it the newest values are.

The distance is that of Kolmogorov and Smirnov, the largest difference of two distribution
functions: D = max |F(x) - G(x)| (Massey, "The Kolmogorov-Smirnov Test for Goodness of Fit", Journal
of the American Statistical Association 46, 1951), taken at the quantiles of the reference. 0: the
same; 1: nothing overlaps. It asks for ranks alone, so that it is the same for grey values, scores
and accelerations; and it is used as a measure of how far, not as a test: pictures that follow each
other are too alike for probabilities to mean anything.

Two things that are not in the book keep it quiet where nothing of use has changed. A difference
less than `slack` counts as none: a camera of the simulator gives the same brightness to the last
bit. And between quantiles nothing is looked at.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from statistics import quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Quantiles 0, 5, ... 100 %: a tail of 5 % is as fine as a window of 100 items shows it.
STEPS = 20

Quantiles = tuple[float, ...]

# What is less than this is no drift, whatever the ranks say. In each figure's own unit.
SLACK: Mapping[str, float] = {
    "brightness": 3.0,
    "contrast": 2.0,
    "sharpness": 0.02,
    "balance_x": 0.01,
    "balance_y": 0.01,
}
# For all others, as a share of the spread of the reference.
SLACK_OF_SPREAD = 0.1


def quantiles_of(values: Sequence[float]) -> Quantiles:
    """Return the quantiles 0, 5, ... 100 % of at least two values."""
    ordered = sorted(values)
    inner = quantiles(ordered, n=STEPS, method="inclusive")
    return (ordered[0], *inner, ordered[-1])


def slack_of(name: str, reference: Quantiles, least: float = 0.0) -> float:
    """Return by how much values of the figure `name` may stray for nothing.

    `least`: what is at least allowed, in the figure's unit.
    """
    spread = reference[-2] - reference[1]
    return max(SLACK.get(name, 0.0), SLACK_OF_SPREAD * spread, least)


def distance(values: Sequence[float], reference: Quantiles, slack: float = 0.0) -> float:
    """Return how far `values` are from the reference, 0..1.

    `reference`: 21 quantiles, rising. Values no further than `slack` from a quantile count as on
    whichever side of it suits the reference.
    """
    ordered = sorted(values)
    count = len(ordered)
    furthest = 0.0
    for edge in reference:
        # Of a reference that is 0 in nine of ten items, these two are 0 and 0.9 at 0.
        below = bisect_left(reference, edge) / STEPS
        at_most = (bisect_right(reference, edge) - 1) / STEPS
        risen = at_most - bisect_right(ordered, edge + slack) / count
        fallen = bisect_left(ordered, edge - slack) / count - below
        furthest = max(furthest, risen, fallen)
    return furthest


def median(reference: Quantiles) -> float:
    """Return the middle quantile."""
    return reference[STEPS // 2]
