"""Retained messages that all have to be heard, and not only the newest of a topic."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class InOrder:
    """Each message waits until the broker has the one before it on its topic. Not for threads.

    What is shown stays until something newer of its topic is: it is sent again at each
    connection, so that what waits behind it comes to its turn.
    """

    def __init__(self, waiting: Mapping[str, list[bytes]]) -> None:
        """Take what the run before left `waiting`, by topic; nothing is shown before `begin`."""
        self._show: Callable[[str, bytes], None] = _nowhere
        self._waiting = {topic: deque(found) for topic, found in waiting.items() if found}

    @property
    def waiting(self) -> dict[str, list[bytes]]:
        """Return what the broker does not have yet, by topic, the first to come first."""
        return {topic: list(payloads) for topic, payloads in self._waiting.items()}

    def begin(self, show: Callable[[str, bytes], None]) -> None:
        """Show what waits, and from now on what comes."""
        self._show = show
        for topic, payloads in self._waiting.items():
            self._show(topic, payloads[0])

    def put(self, topic: str, payload: bytes) -> None:
        """Take a message, unless it says what the one before it says."""
        waiting = self._waiting.setdefault(topic, deque())
        if waiting and waiting[-1] == payload:
            return
        waiting.append(payload)
        if len(waiting) == 1:
            self._show(topic, payload)

    def withdraw(self, topic: str, payload: bytes) -> bool:
        """Take back a message that was never shown; return whether that could be done."""
        waiting = self._waiting.get(topic)
        if waiting is None or payload not in list(waiting)[1:]:
            return False
        waiting.remove(payload)
        return True

    def taken(self, topic: str, payload: bytes) -> bool:
        """Note that the broker has a message; return whether it was the first in its order."""
        waiting = self._waiting.get(topic)
        if waiting is None or waiting[0] != payload:
            return False
        waiting.popleft()
        if waiting:
            self._show(topic, waiting[0])
        else:
            del self._waiting[topic]
        return True


def _nowhere(topic: str, payload: bytes) -> None:
    pass
