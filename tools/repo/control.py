"""When a rollout goes on and when it stops: pure functions, from a document and statuses of slots.

Enough failures halt it. Enough of a ring that confirmed the model take it to the next one; after
the last the model is the default. Else it waits: for gateways, or for a person who looks at them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_agent.modelstore import codes, desired
from edge_agent.modelstore.desired import Gateway, Match

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.modelstore.desired import Desired, Rollout, Rule
    from edge_agent.reporting.model_messages import ModelStatusMessage

BROKE = {"failed", "rolling_back", "rolled_back"}
# The line, the disk, a halt: it says nothing of the model.
NOT_ITS_FAULT = {*codes.PASSING, codes.WITHDRAWN}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When to go on: `share` (0 to 1) of a ring's gateways, and at least `least`, confirmed it.

    When to stop: `failures` gateways gave it up, and `failed_share` (0 to 1) of those that came to
    an end with it.
    """

    share: float = 0.95
    least: int = 1
    failures: int = 3
    failed_share: float = 0.02


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """The newest status of a slot of one gateway. `root`: its topics' common beginning."""

    root: str
    site: str
    line: str
    message: ModelStatusMessage

    @property
    def gateway(self) -> Gateway:
        """Return what rules match, as far as topics tell: neither hardware nor tags."""
        return Gateway(self.message.device, self.site, self.line, frozenset())


@dataclass(frozen=True, slots=True)
class Tally:
    """Gateways of the ring that a rollout has reached; `codes`: why how many gave it up."""

    ring: int
    confirmed: int
    failed: int
    codes: Counter[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What should be done, and the figures that say so."""

    verb: Literal["wait", "promote", "halt"]
    why: str


def tally(document: Desired, rule: Rule, rollout: Rollout, slots: Iterable[SlotStatus]) -> Tally:
    """Count the gateways that `rollout`, which stands in `rule`, has reached.

    They are those that name the rollout in their status, and those that it should have reached by
    site, line and hash. Which hardware or tags a gateway has, topics do not tell: of a rule that
    asks for them only those count that name it. A pinned gateway is not waited for.
    """
    ring = confirmed = 0
    why: Counter[str] = Counter()
    for each in slots:
        message = each.message
        if message.slot != rule.slot:
            continue
        failure = _failure(message, rollout)
        if failure:
            why[failure] += 1
        runs = message.from_ == str(rollout.to)
        if failure or _named(message, rollout) or _reached(document, rule, rollout, each):
            confirmed += runs and not failure
            ring += runs or bool(failure) or not message.pinned
    return Tally(ring, confirmed, why.total(), why)


def decide(rollout: Rollout, found: Tally, thresholds: Thresholds, *, complete: bool) -> Decision:
    """Return what follows. `complete`: all slots are known; a part of them may look like a success.

    An empty ring never goes on by itself: nobody has tried the model.
    """
    stage = f"{rollout.stages[rollout.stage].pct:g} %"
    figures = f"{stage}: {found.confirmed} of {found.ring} confirmed, {found.failed} gave it up"
    if found.codes:
        named = ", ".join(f"{code} {count}" for code, count in sorted(found.codes.items()))
        figures += f" ({named})"
    if rollout.halted:
        return Decision("wait", f"{figures}; halted: `promote --resume` goes on")
    settled = found.confirmed + found.failed
    if found.failed >= max(1, thresholds.failures) and (
        found.failed / settled >= thresholds.failed_share
    ):
        return Decision("halt", figures)
    if not complete:
        return Decision("wait", f"{figures}; listening")
    if found.confirmed >= max(1, thresholds.least) and (
        found.confirmed / found.ring >= thresholds.share
    ):
        return Decision("promote", figures)
    return Decision("wait", figures)


def _named(message: ModelStatusMessage, rollout: Rollout) -> bool:
    return message.rollout_id == rollout.id and message.to == str(rollout.to)


def _failure(message: ModelStatusMessage, rollout: Rollout) -> str:
    """Return the code with which a gateway gave the rollout's model up, or ""."""
    # Without a rollout: it was confirmed, and taken back later.
    ours = message.to == str(rollout.to) and message.rollout_id in {"", rollout.id}
    if not ours or message.state not in BROKE or message.error is None:
        return ""
    return "" if message.error.code in NOT_ITS_FAULT else message.error.code


def _reached(document: Desired, rule: Rule, rollout: Rollout, slot: SlotStatus) -> bool:
    """Return whether the document surely means this gateway."""
    for other in document.rules:
        place = Match(site=other.match.site, line=other.match.line)
        if other.slot != rule.slot or not desired.matches(place, slot.gateway):
            continue
        sure = not other.match.hw and not other.match.tags
        return sure and other == rule and desired.takes_part(rollout, slot.gateway)
    return False
