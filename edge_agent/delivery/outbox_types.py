"""What goes into the outbox and comes out of it, and how its disk can fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_agent.errors import EdgeAgentError

if TYPE_CHECKING:
    from edge_agent.delivery.gaps import Gap
    from edge_agent.types import Verdict


class DiskTrouble(EdgeAgentError):
    """The disk refuses, for now: full, read-only or failing."""


class FileInUse(DiskTrouble):
    """Another agent has the file: its numbers are that one's."""


class FileDamaged(EdgeAgentError):
    """The file is no database any more."""


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict under its number; `at_ns`: when it was handed over, nanoseconds since 1970."""

    seq: int
    at_ns: int
    verdict: Verdict


@dataclass(slots=True)
class Changes:
    """What one transaction does.

    Rows handed over before `expire_before_ns` are given up; no seq up to `used_seq` is given again.
    """

    rows: list[Row] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)
    parked: dict[int, str] = field(default_factory=dict)
    unpark: bool = False
    gaps: list[Gap] = field(default_factory=list)
    gaps_acked: set[int] = field(default_factory=set)
    expire_before_ns: int | None = None
    used_seq: int = 0

    def empty(self) -> bool:
        """Say whether there is nothing to do."""
        return self == Changes()

    def include(self, older: Changes) -> None:
        """Take over what `older` could not do, except its rows."""
        self.acked |= older.acked
        self.parked = older.parked | self.parked
        self.unpark |= older.unpark
        self.gaps = older.gaps + self.gaps
        self.gaps_acked |= older.gaps_acked


@dataclass(frozen=True, slots=True)
class Totals:
    """What is in the file. `seq`: the last that was given, also when its row is gone."""

    seq: int = 0
    depth: int = 0
    bytes: int = 0
    parked: int = 0
