"""Where the scores are going: `fail` before a limit is reached, while there is time to act."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.lazy import lazy_module
from edge_agent.options import StrictOptions
from edge_agent.rules.base import series_of
from edge_agent.types import Decision

if TYPE_CHECKING:
    import numpy as np

    from edge_agent.rules.base import Rule
    from edge_agent.types import Item, Prediction
else:
    np = lazy_module("numpy")


class Options(StrictOptions):
    """`fail` when the score is beyond `fail_at`, or its trend gets there within `horizon_s`.

    `uncertain` when the trend gets there within `uncertain_horizon_s`. The trend counts once
    `n` scores of one series have been seen.
    """

    kind: Literal["trend"]
    fail_at: float
    direction: Literal["above", "below"] = "above"
    """The side of `fail_at` on which scores are bad."""
    n: Annotated[int, Field(ge=3, le=200)]
    """How many of the last scores make the trend."""
    horizon_s: Annotated[float, Field(gt=0)]
    uncertain_horizon_s: Annotated[float, Field(gt=0)] | None = None
    """At least `horizon_s`; left out: nothing is `uncertain`."""

    @model_validator(mode="after")
    def _horizons_in_order(self) -> Options:
        if self.uncertain_horizon_s is not None and self.uncertain_horizon_s < self.horizon_s:
            raise ValueError("uncertain_horizon_s must be at least horizon_s")
        return self


def create(options: Options) -> Rule:
    """Return the rule in its first state."""
    return _Trend(options)


class _Trend:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._seen: deque[tuple[int, float]] = deque(maxlen=options.n)
        self._series = 0

    def decide(self, prediction: Prediction, item: Item) -> Decision:
        if series_of(item) != self._series:
            self._series = series_of(item)
            self._seen.clear()
        self._seen.append((item.captured_ns, prediction.score))
        options = self._options
        within_s = self._crossing_s(prediction.score)
        if within_s <= options.horizon_s:
            return Decision("fail", options.fail_at)
        if options.uncertain_horizon_s is not None and within_s <= options.uncertain_horizon_s:
            return Decision("uncertain", options.fail_at)
        return Decision("pass", options.fail_at)

    def _crossing_s(self, score: float) -> float:
        """Return in how many seconds from now `fail_at` is reached; infinity for never."""
        sign = 1 if self._options.direction == "above" else -1
        if sign * (score - self._options.fail_at) >= 0:
            return 0.0
        if len(self._seen) < self._options.n:
            return float("inf")
        now_ns = self._seen[-1][0]
        times_s = [(captured_ns - now_ns) / 1e9 for captured_ns, _ in self._seen]
        slope, level = theil_sen(times_s, [score for _, score in self._seen])
        if sign * slope <= 0:
            return float("inf")
        return max(0.0, (self._options.fail_at - level) / slope)


def theil_sen(times_s: list[float], scores: list[float]) -> tuple[float, float]:
    """Return the slope per second and the value at time 0 of a line that ignores outliers.

    The slope is the median of the slopes between all pairs of points at different times, the
    value the median of what each point leaves over: Sen, J. Am. Stat. Assoc. 63 (1968) 1379.
    Up to 29 % of the points may be wild. Without two different times the slope is 0.
    """
    x, y = np.asarray(times_s), np.asarray(scores)
    first, second = np.triu_indices(len(x), 1)
    steps = x[second] - x[first]
    apart = steps != 0
    if not apart.any():
        return 0.0, float(np.median(y))
    slope = float(np.median((y[second] - y[first])[apart] / steps[apart]))
    return slope, float(np.median(y - slope * x))
