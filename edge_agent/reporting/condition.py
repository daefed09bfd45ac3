"""The condition of a machine, by its verdicts, and the alert that follows from it.

verdict     health      alert
pass        good        cleared, if one is raised
uncertain   uncertain   as it was
fail        bad         raised, if none is
error       unknown     as it was
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
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
class Alert:
    """One stretch of bad condition; times in UTC nanoseconds."""

    id: str
    raised_ns: int
    cleared_ns: int | None
    verdict: Verdict
    """What raised it, or cleared it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a machine is, since when, and its latest alert."""

    health: Health
    since_ns: int
    verdict: Verdict
    alert: Alert | None = None


def after(verdict: Verdict, before: Condition | None) -> Condition:
    """Return the condition once `verdict` is known."""
    health = HEALTH[verdict.outcome]
    same = before is not None and before.health == health
    since_ns = before.since_ns if before is not None and same else verdict.decided_ns
    alert = before.alert if before is not None else None
    raised = alert is not None and alert.cleared_ns is None
    if health == "bad" and not raised:
        alert = Alert(str(uuid.uuid4()), verdict.decided_ns, None, verdict)
    elif health == "good" and alert is not None and raised:
        alert = replace(alert, cleared_ns=verdict.decided_ns, verdict=verdict)
    return Condition(health, since_ns, verdict, alert)
