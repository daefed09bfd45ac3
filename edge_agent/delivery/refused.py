"""When to offer verdicts again that the broker refused, on a connection that stays.

It refuses by topic, most of the time: its rules were changed. So the sign is that it takes what
comes on such a topic by now. Where it was the message itself that it refused (its length, say) that
is no sign at all: it takes twice as long each time until one counts again.
"""

from __future__ import annotations

FIRST_S, MOST_S = 5.0, 3600.0


class RefusedVerdicts:
    """Of one connection. Not for threads."""

    def __init__(self) -> None:
        self._topics: set[str] = set()
        self._sign = False
        self._wait_s = FIRST_S
        self._due_s = 0.0

    def answered(self, topic: str, *, refused: bool) -> None:
        """Note what the broker said to a verdict."""
        if refused:
            self._topics.add(topic)
        elif topic in self._topics:
            self._topics.discard(topic)
            self._sign = True

    def offer_again(self, mono_s: float) -> bool:
        """Say whether to do so now (s, monotonic): once after each sign."""
        if not self._sign or mono_s < self._due_s:
            return False
        self._sign = False
        self._due_s = mono_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, MOST_S)
        return True
