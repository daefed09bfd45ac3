"""Whether fails come more often than expected: an exact binomial tail over the newest items."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.monitoring.options import RejectOptions


class RejectRate:
    """The newest outcomes of one pipeline. One thread uses it.

    Items that follow each other may fail together (a bad batch): that is what it is to tell.
    """

    def __init__(self, options: RejectOptions, expected: float) -> None:
        self._options = options
        self.expected = expected
        self._rejects: deque[bool] = deque(maxlen=options.window)
        self._count = 0
        self.raised: bool | None = None
        """None: there have not been enough items to say."""

    @property
    def rate(self) -> float:
        """The share of fails among the newest items."""
        return self._count / max(1, len(self._rejects))

    def add(self, *, reject: bool) -> bool:
        """Take one outcome; return whether `raised` has changed."""
        if len(self._rejects) == self._rejects.maxlen:
            self._count -= self._rejects[0]
        self._rejects.append(reject)
        self._count += reject
        full = len(self._rejects) == self._rejects.maxlen
        before = self.raised
        chance = tail(self._count, len(self._rejects), self.expected)
        if chance < self._options.raise_below:
            self.raised = True
        elif not before:
            self.raised = False if full else before
        elif chance > self._options.clear_above and full:
            self.raised = False
        return self.raised != before


def tail(rejects: int, items: int, expected: float) -> float:
    """Return how probable at least `rejects` of `items` are, each with probability `expected`.

    1 - sum over i < rejects of C(items, i) p^i (1 - p)^(items - i), summed from the tail's side.
    """
    if rejects <= items * expected:
        return 1.0  # not worth a sum: it is not small
    log_p, log_q = math.log(expected), math.log1p(-expected)
    total = 0.0
    for count in range(rejects, items + 1):
        ways = math.lgamma(items + 1) - math.lgamma(count + 1) - math.lgamma(items - count + 1)
        term = math.exp(ways + count * log_p + (items - count) * log_q)
        total += term
        if term < total * 1e-12:
            break
    return min(1.0, total)
