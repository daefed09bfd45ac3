"""Verdicts that neither the broker nor the disk has yet: in memory, in order, bounded."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice, takewhile
from typing import TYPE_CHECKING

from edge_agent.delivery.gaps import Losses

if TYPE_CHECKING:
    from edge_agent.types import Verdict


@dataclass(frozen=True, slots=True)
class Waiting:
    """`ordinal`: the n-th verdict of this run, from 1; `at_ns`: when it was handed over."""

    ordinal: int
    at_ns: int
    verdict: Verdict


class Intake:
    """Not safe for threads: the outbox holds its lock. `lost` holds ordinals; passes go first."""

    def __init__(self, *, most: int, dropped_at_once: int) -> None:
        self.lost = Losses()
        self.newest = 0
        """The last ordinal that was given."""
        self._most = most
        self._dropped_at_once = dropped_at_once
        self._waiting: dict[int, Waiting] = {}  # in the order of ordinals
        self._taken: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, verdict: Verdict, at_ns: int) -> int:
        """Add a verdict; return how many were dropped to make room."""
        self.newest += 1
        self._waiting[self.newest] = Waiting(self.newest, at_ns, verdict)
        return self._drop() if len(self._waiting) > self._most else 0

    def forget(self, ordinal: int) -> bool:
        """Remove one that the broker has; False when it is not here, or just being written."""
        if ordinal in self._taken:
            return False
        return self._waiting.pop(ordinal, None) is not None

    def stays(self, ordinal: int) -> bool:
        """Say whether it is here and not taken."""
        return ordinal in self._waiting and ordinal not in self._taken

    def oldest(self) -> Waiting | None:
        """Return the first one."""
        return next(iter(self._waiting.values()), None)

    def after(self, ordinal: int) -> list[Waiting]:
        """Return those behind `ordinal`."""
        # From the newest on: mostly it is the last one that is asked for.
        newest_first = takewhile(
            lambda one: one.ordinal > ordinal, reversed(self._waiting.values())
        )
        return list(newest_first)[::-1]

    def take(self, most: int, *, until_ns: int | None = None) -> list[Waiting]:
        """Return the first ones; they stay, and are not dropped, until `done` or `put_back`.

        `until_ns`: only those that were handed over by then.
        """
        taken = list(islice(self._waiting.values(), most))
        if until_ns is not None:
            taken = list(takewhile(lambda one: one.at_ns <= until_ns, taken))
        self._taken = {one.ordinal for one in taken}
        return taken

    def done(self) -> None:
        """Remove what was taken."""
        for ordinal in self._taken:
            del self._waiting[ordinal]
        self._taken = set()

    def put_back(self) -> None:
        """Treat what was taken like the rest again."""
        self._taken = set()

    def _drop(self) -> int:
        free = (one for one in self._waiting.values() if one.ordinal not in self._taken)
        ranked = sorted(free, key=lambda one: (one.verdict.outcome != "pass", one.ordinal))
        dropped = ranked[: self._dropped_at_once]
        for one in sorted(dropped, key=lambda one: one.ordinal):
            self.lost.add(one.ordinal, one.verdict.outcome)
            del self._waiting[one.ordinal]
        return len(dropped)
