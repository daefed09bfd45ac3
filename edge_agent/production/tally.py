"""Counts parts by their verdicts, each part once: its first verdict and its last one matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from edge_agent.production.recent_parts import RecentParts

if TYPE_CHECKING:
    from edge_agent.types import Outcome, Verdict

# Classes come from a model's labels, but a model may be anything.
MOST_CLASSES = 100
OTHER = "(other)"


class Tally(msgspec.Struct):
    """What was counted in a shift."""

    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    """Parts by their last verdict: pass, fail, uncertain."""
    first_outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    """Parts by their first verdict."""
    errors: int = 0
    """Verdicts `error`: whether there was a part is not known."""
    repeats: int = 0
    """Verdicts on parts that had one already."""
    defects: dict[str, int] = msgspec.field(default_factory=dict)
    """Fails of a first verdict by their class."""
    recent_parts: RecentParts = msgspec.field(default_factory=RecentParts)
    """Whose verdicts are repeats."""

    @property
    def parts(self) -> int:
        """How many parts were judged."""
        return sum(self.outcomes.values())

    @property
    def good(self) -> int:
        """How many of them are good by their last verdict."""
        return self.outcomes.get("pass", 0)

    @property
    def first_good(self) -> int:
        """How many were good at once."""
        return self.first_outcomes.get("pass", 0)

    def add(self, verdict: Verdict) -> bool:
        """Count a verdict; return whether it is the first on its part, and not `error`."""
        if verdict.outcome == "error":
            self.errors += 1
            return False
        before = None
        if verdict.part_id:
            before = self.recent_parts.put(verdict.part_id, verdict.outcome)
        if before is not None:
            self.repeats += 1
            self.outcomes[before] -= 1
            _count(self.outcomes, verdict.outcome)
            return False
        _count(self.outcomes, verdict.outcome)
        _count(self.first_outcomes, verdict.outcome)
        if verdict.outcome == "fail":
            self._count_defect(verdict.label or OTHER)
        return True

    def _count_defect(self, label: str) -> None:
        known = label in self.defects or len(self.defects) < MOST_CLASSES
        _count(self.defects, label if known else OTHER)


def _count(counts: dict[str, int], name: Outcome | str) -> None:
    counts[name] = counts.get(name, 0) + 1
