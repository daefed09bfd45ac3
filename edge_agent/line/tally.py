"""What is counted of a model on its way in, and when that is enough to judge it. No clocks."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

# Before so many items a share says little: two errors among the first three are not two thirds.
FIRST_ITEMS = 20
RUNS_KEPT = 500
RUNS_JUDGED = 20


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a manifest allows; shares 0..1. `p50_ms`: half of the runs must be faster."""

    max_error_rate: float
    max_disagree: float = 1.0
    p50_ms: float | None = None


@dataclass(slots=True)
class Tally:
    """Of one phase. One thread adds."""

    items: int = 0
    errors: int = 0
    disagreements: int = 0
    last_error: str = ""
    _runs_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RUNS_KEPT))

    def decided(self, run_ms: float, *, agrees: bool = True) -> None:
        """Count an item that was decided."""
        self.items += 1
        self.disagreements += not agrees
        self._runs_ms.append(run_ms)

    def erred(self, why: str) -> None:
        """Count an item that ended in an error."""
        self.items += 1
        self.errors += 1
        self.last_error = why

    @property
    def p50_ms(self) -> float:
        """The median of the latest runs; 0 before the first."""
        runs = list(self._runs_ms)
        return statistics.median(runs) if runs else 0.0

    def breach(self, bounds: Bounds, min_items: int) -> tuple[str, str] | None:
        """Return code and sentence of what is out of bounds by now, as early as that is certain."""
        least = max(self.items, min_items, FIRST_ITEMS)
        if self.errors > bounds.max_error_rate * max(self.items, FIRST_ITEMS):
            return "errs", f"{self.errors} errors in {self.items} items: {self.last_error}"
        if self.disagreements > bounds.max_disagree * least:
            share = f"{self.disagreements} of {self.items} items"
            return "disagrees", f"it decided {share} otherwise than the model that runs"
        limit = bounds.p50_ms
        if limit is not None and len(self._runs_ms) >= RUNS_JUDGED and self.p50_ms > limit:
            text = f"half of its runs took {self.p50_ms:.2f} ms or longer; {limit:g} are allowed"
            return "slow", text
        return None
