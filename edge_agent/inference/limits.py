"""The two limits that every rule shares, and the judgement of one score against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.options import StrictOptions
from edge_agent.types import Decision

if TYPE_CHECKING:
    from edge_agent.types import Outcome

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


def _sign(limits: Limits) -> int:
    return 1 if limits.direction == "above" else -1


def _slack(limits: Limits, before: Outcome, outcome: Outcome) -> float:
    return limits.hysteresis if _BADNESS[before] >= _BADNESS[outcome] else 0.0
