"""Each score on its own against two limits, with hysteresis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edge_agent.inference.limits import Limits, judge
from edge_agent.rules.base import series_of

if TYPE_CHECKING:
    from edge_agent.rules.base import Rule
    from edge_agent.types import Decision, Item, Outcome, Prediction


class Options(Limits):
    """`fail` at or beyond `fail_at`, `pass` short of `pass_at`, `uncertain` between."""

    kind: Literal["threshold"]


def create(options: Options) -> Rule:
    """Return the rule in its first state."""
    return _Threshold(options)


class _Threshold:
    def __init__(self, options: Options) -> None:
        self._options = options
        self._before: Outcome = "pass"
        self._series = 0

    def decide(self, prediction: Prediction, item: Item) -> Decision:
        if series_of(item) != self._series:
            self._series = series_of(item)
            self._before = "pass"
        decision = judge(self._options, prediction.score, self._before)
        self._before = decision.outcome
        return decision
