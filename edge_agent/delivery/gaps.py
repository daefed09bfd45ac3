"""Verdicts that were given up: which, how many of each kind, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.types import Outcome

Reason = Literal["bytes", "age", "memory", "unreadable", "new_file", "crash"]

# So that a record stays a small message however scattered the losses are.
RANGES_PER_GAP = 500
# Single losses that are kept before neighbours are joined.
RUNS_BEFORE_JOIN = 10_000


@dataclass(frozen=True, slots=True)
class Gap:
    """One record. `ranges`: first and last missing seq of each run, in order.

    Not `exact`: some of the ranges may have been delivered or never used; all counts are 0.
    """

    reason: Reason
    exact: bool
    at_ns: int
    passes: int
    fails: int
    uncertain: int
    errors: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class _Run:
    first: int
    last: int
    passes: int = 0
    fails: int = 0
    uncertain: int = 0
    errors: int = 0

    def count(self, outcome: Outcome) -> None:
        self.passes += outcome == "pass"
        self.fails += outcome == "fail"
        self.uncertain += outcome == "uncertain"
        self.errors += outcome == "error"

    def join(self, later: _Run) -> None:
        self.last = max(self.last, later.last)
        self.passes += later.passes
        self.fails += later.fails
        self.uncertain += later.uncertain
        self.errors += later.errors


class Losses:
    """Collects losses until they can be recorded; memory grows with holes, not with losses."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._join_at = RUNS_BEFORE_JOIN

    def __bool__(self) -> bool:
        return bool(self._runs)

    def add(self, seq: int, outcome: Outcome) -> None:
        """Note that `seq` is lost; each only once, in any order."""
        if not self._runs or self._runs[-1].last != seq - 1:
            self._runs.append(_Run(seq, seq))
        self._runs[-1].last = seq
        self._runs[-1].count(outcome)
        if len(self._runs) > self._join_at:
            self._runs = _joined(self._runs)
            self._join_at = max(RUNS_BEFORE_JOIN, 2 * len(self._runs))

    def merge(self, others: Losses) -> None:
        """Take over the losses of `others`."""
        self._runs = _joined([*self._runs, *others._runs])

    def gaps(self, reason: Reason, *, at_ns: int, offset: int = 0) -> list[Gap]:
        """Return all as records; `offset` is added to every seq."""
        runs = _joined(self._runs)
        parts = (runs[at : at + RANGES_PER_GAP] for at in range(0, len(runs), RANGES_PER_GAP))
        return [_gap(part, reason, at_ns, offset) for part in parts]


def _joined(runs: Iterable[_Run]) -> list[_Run]:
    joined: list[_Run] = []
    for run in sorted(runs, key=lambda run: run.first):
        if joined and run.first == joined[-1].last + 1:
            joined[-1].join(run)
        else:
            joined.append(run)
    return joined


def _gap(runs: list[_Run], reason: Reason, at_ns: int, offset: int) -> Gap:
    return Gap(
        reason=reason,
        exact=True,
        at_ns=at_ns,
        passes=sum(run.passes for run in runs),
        fails=sum(run.fails for run in runs),
        uncertain=sum(run.uncertain for run in runs),
        errors=sum(run.errors for run in runs),
        ranges=tuple((run.first + offset, run.last + offset) for run in runs),
    )
