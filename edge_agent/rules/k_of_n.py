"""Several bad scores out of the last few, so that one outlier does not stop a line."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.inference.limits import Limits, judge
from edge_agent.rules.base import series_of
from edge_agent.types import Decision

if TYPE_CHECKING:
    from edge_agent.rules.base import Rule
    from edge_agent.types import Item, Outcome, Prediction


class Options(Limits):
    """`fail` when at least `k` of the last `n` scores are `fail` by the limits.

    `uncertain` when it takes the uncertain ones among them to reach `k`. Scores of before the
    start or of another series count as `pass`.
    """

    kind: Literal["k_of_n"]
    k: Annotated[int, Field(ge=1)]
    n: Annotated[int, Field(ge=1, le=10_000)]

    @model_validator(mode="after")
    def _k_fits_in_n(self) -> Options:
        if self.k > self.n:
            raise ValueError(f"k must be at most n, {self.n}")
        return self


def create(options: Options) -> Rule:
    """Return the rule in its first state."""
    return _KOfN(options)


class _KOfN:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._recent: deque[Outcome] = deque(maxlen=options.n)
        self._series = 0

    def decide(self, prediction: Prediction, item: Item) -> Decision:
        if series_of(item) != self._series:
            self._series = series_of(item)
            self._recent.clear()
        before = self._recent[-1] if self._recent else "pass"
        single = judge(self._options, prediction.score, before)
        self._recent.append(single.outcome)
        return Decision(self._outcome(), single.threshold)

    def _outcome(self) -> Outcome:
        failed = self._recent.count("fail")
        if failed >= self._options.k:
            return "fail"
        if failed + self._recent.count("uncertain") >= self._options.k:
            return "uncertain"
        return "pass"
