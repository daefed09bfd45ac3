"""What a rule is: it remembers what it has seen, and decides.

Its Options call their limits `fail_at` and `pass_at`, as inference/limits.py looks for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edge_agent.types import Window

if TYPE_CHECKING:
    from edge_agent.types import Decision, Item, Prediction


class Rule(Protocol):
    """From a prediction to an outcome. One rule belongs to one pipeline."""

    def decide(self, prediction: Prediction, item: Item) -> Decision:
        """Return the outcome for this item."""


def series_of(item: Item) -> int:
    """Return the series that `item` belongs to: a rule forgets everything when it changes."""
    return item.series if isinstance(item, Window) else 0
