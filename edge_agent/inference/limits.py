"""The limits that rules share, the judgement of one score against them, and which none reaches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.options import StrictOptions
from edge_agent.types import Decision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.types import Outcome

# The least and the greatest score of a task: of one that gives probabilities, and of any other.
PROBABILITY = (0.0, 1.0)
ANY_SCORE = (-math.inf, math.inf)

_BADNESS: dict[Outcome, int] = {"pass": 0, "uncertain": 1, "fail": 2, "error": 3}


class Limits(StrictOptions):
    """Where `fail` begins and where `pass` ends; `uncertain` lies between.

    A score at a limit counts as beyond it. With `direction: below` low scores are the bad ones.
    """

    fail_at: float
    pass_at: float | None = None
    """Where `pass` ends; left out: at `fail_at`, so that nothing is `uncertain`."""
    direction: Literal["above", "below"] = "above"
    """The side on which scores are bad: above for defects, below for remaining life."""
    hysteresis: Annotated[float, Field(ge=0)] = 0.0
    """How far a score must come back across a limit before the outcome gets better."""

    @model_validator(mode="after")
    def _pass_comes_first(self) -> Limits:
        if self.pass_at is not None and _sign(self) * (self.fail_at - self.pass_at) < 0:
            side = "at most" if self.direction == "above" else "at least"
            raise ValueError(f"pass_at must be {side} fail_at for direction {self.direction!r}")
        return self


def judge(limits: Limits, score: float, before: Outcome = "pass") -> Decision:
    """Return the outcome of `score` after the outcome `before`, and the limit that decided it.

    The outcome gets worse at the limit itself, and better only `hysteresis` short of it.
    """
    sign = _sign(limits)
    pass_at = limits.fail_at if limits.pass_at is None else limits.pass_at
    fail_limit = limits.fail_at - sign * _slack(limits, before, "fail")
    pass_limit = pass_at - sign * _slack(limits, before, "uncertain")
    if sign * (score - fail_limit) >= 0:
        return Decision("fail", fail_limit)
    if sign * (score - pass_limit) >= 0:
        return Decision("uncertain", pass_limit)
    return Decision("pass", pass_limit)


def out_of_reach(rule: object, scores: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Yield each limit of a rule that no score reaches: its field's name, and why.

    `scores`: the least and the greatest that there are. A limit at either is within reach.
    """
    low, high = scores
    for name in ("fail_at", "pass_at"):
        limit = getattr(rule, name, None)
        if limit is not None and not low <= limit <= high:
            yield name, f"{limit:g} is out of reach: the scores of this model are {_words(scores)}"


def _words(scores: tuple[float, float]) -> str:
    low, high = scores
    if math.isfinite(low) and math.isfinite(high):
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if math.isfinite(low) else f"at most {high:g}"


def _sign(limits: Limits) -> int:
    return 1 if limits.direction == "above" else -1


def _slack(limits: Limits, before: Outcome, outcome: Outcome) -> float:
    return limits.hysteresis if _BADNESS[before] >= _BADNESS[outcome] else 0.0
