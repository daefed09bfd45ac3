"""The condition of a machine, by its verdicts, and what that does to its alert.

verdict     health      alert
pass        good        cleared, if one stands
uncertain   uncertain   as it was
fail        bad         raised, if none stands
error       unknown     as it was
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edge_agent.types import Outcome, Verdict

Health = Literal["good", "uncertain", "bad", "unknown"]

HEALTH: dict[Outcome, Health] = {
    "pass": "good",
    "uncertain": "uncertain",
    "fail": "bad",
    "error": "unknown",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """How a machine is, and since when (UTC nanoseconds)."""

    health: Health
    since_ns: int
    verdict: Verdict


def after(verdict: Verdict, before: Condition | None) -> Condition:
    """Return the condition once `verdict` is known."""
    health = HEALTH[verdict.outcome]
    same = before is not None and before.health == health
    since_ns = before.since_ns if before is not None and same else verdict.decided_ns
    return Condition(health, since_ns, verdict)
