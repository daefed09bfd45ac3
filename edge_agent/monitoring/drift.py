"""Holds the newest figures of a pipeline against its reference: one alert, with hysteresis.

learning --enough items--> watching --a distance >= raise_at--> raised
raised --every distance < clear_at--> watching
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_agent.monitoring.reference import distance, median, quantiles_of, slack_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.monitoring.options import DriftOptions
    from edge_agent.monitoring.reference import Quantiles

# The share of the rule's limit by which a score may stray for nothing.
SCORE_SLACK = 0.02
# Judged at every so many items: a distance costs some 20 us, and one item changes it by little.
JUDGED_EVERY = 5


@dataclass(frozen=True, slots=True)
class Reference:
    """The quantiles of each figure, from how many items, and what share of them failed."""

    items: int
    figures: Mapping[str, Quantiles]
    reject_rate: float | None = None
    origin: Literal["bundle", "learned"] = "bundle"

    def usual(self, name: str) -> float | None:
        """Return the median of a figure, if it is known."""
        known = self.figures.get(name)
        return median(known) if known is not None else None


@dataclass(frozen=True, slots=True)
class Distance:
    """How far one figure is from its reference."""

    figure: str
    distance: float
    usual: float
    now: float

    def __str__(self) -> str:
        return f"{self.figure} {self.now:.3g}, usually {self.usual:.3g}"


class Drift:
    """The newest items of one pipeline. One thread uses it."""

    def __init__(self, options: DriftOptions, reference: Reference) -> None:
        self._options = options
        self.reference = reference
        self._windows = {name: deque[float](maxlen=options.window) for name in reference.figures}
        self._items = 0
        self._score_slack = 0.0
        self.raised: bool | None = None
        """None: there have not been enough items to say."""
        self.distances: tuple[Distance, ...] = ()
        """The furthest first."""

    def add(self, figures: Mapping[str, float], threshold: float = 0.0) -> bool:
        """Take the figures of one item; return whether `raised` has changed.

        `threshold`: what the rule compares the figure `score` with.
        """
        for name, value in figures.items():
            window = self._windows.get(name)
            if window is not None:
                window.append(value)
        self._items += 1
        self._score_slack = SCORE_SLACK * abs(threshold)
        if self._items < self._options.window or self._items % JUDGED_EVERY:
            return False
        self.distances = self._judged()
        furthest = max((each.distance for each in self.distances), default=0.0)
        before, after = self.raised, furthest >= self._options.raise_at
        if before and furthest >= self._options.clear_at:
            after = True
        self.raised = after
        return after != before

    def _judged(self) -> tuple[Distance, ...]:
        found = []
        for name, window in self._windows.items():
            # A figure that was not always there (a plain picture has no sharpness) waits.
            if len(window) < self._options.window // 2:
                continue
            known = self.reference.figures[name]
            slack = slack_of(name, known, self._score_slack if name == "score" else 0.0)
            middle = sorted(window)[len(window) // 2]
            found.append(Distance(name, distance(window, known, slack), median(known), middle))
        return tuple(sorted(found, key=lambda each: -each.distance))


class Learning:
    """Collects the figures of the first items, and makes a reference of them."""

    def __init__(self, items: int) -> None:
        self._wanted = items
        self._values: dict[str, list[float]] = {}
        self._rejects = 0
        self.items = 0

    def add(self, figures: Mapping[str, float], *, reject: bool) -> Reference | None:
        """Take one item; return the reference once there are enough."""
        for name, value in figures.items():
            self._values.setdefault(name, []).append(value)
        self.items += 1
        self._rejects += reject
        if self.items < self._wanted:
            return None
        usable = {
            name: quantiles_of(values)
            for name, values in self._values.items()
            if len(values) >= max(2, self._wanted // 2)
        }
        # Laplace's rule of succession: none in 500 is not never.
        rate = (self._rejects + 1) / (self.items + 2)
        return Reference(self.items, usable, rate, "learned")
