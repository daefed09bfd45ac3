"""Verdicts on their way to the disk: in memory, in order, bounded; passes go first."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from edge_agent.gaps import Losses

if TYPE_CHECKING:
    from edge_agent.types import Verdict


@dataclass(frozen=True, slots=True)
class Waiting:
    """`ordinal`: the n-th verdict of this run, from 1; `at_ns`: when it was handed over."""

    ordinal: int
    at_ns: int
    verdict: Verdict


class Intake:
    """Not safe for threads: the outbox holds its lock. `lost` holds ordinals."""

    def __init__(self, *, most: int, dropped_at_once: int) -> None:
        self.lost = Losses()
        self._most = most
        self._dropped_at_once = dropped_at_once
        self._waiting: deque[Waiting] = deque()
        self._taken = 0
        self._ordinal = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, verdict: Verdict, at_ns: int) -> int:
        """Add a verdict; return how many were dropped to make room."""
        self._ordinal += 1
        self._waiting.append(Waiting(self._ordinal, at_ns, verdict))
        return self._drop() if len(self._waiting) > self._most else 0

    def take(self, most: int) -> list[Waiting]:
        """Return the first ones; they stay, and are not dropped, until `done` or `put_back`."""
        self._taken = min(most, len(self._waiting))
        return list(islice(self._waiting, self._taken))

    def done(self) -> None:
        """Remove what was taken."""
        for _ in range(self._taken):
            self._waiting.popleft()
        self._taken = 0

    def put_back(self) -> None:
        """Treat what was taken like the rest again."""
        self._taken = 0

    def _drop(self) -> int:
        free = list(islice(self._waiting, self._taken, None))
        ranked = sorted(free, key=lambda one: (one.verdict.outcome != "pass", one.ordinal))
        dropped = ranked[: self._dropped_at_once]
        ordinals = {one.ordinal for one in dropped}
        for one in sorted(dropped, key=lambda one: one.ordinal):
            self.lost.add(one.ordinal, one.verdict.outcome)
        self._waiting = deque(one for one in self._waiting if one.ordinal not in ordinals)
        return len(dropped)
