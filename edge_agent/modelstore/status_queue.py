"""Statuses of slots on their way out, one after the other, so that each state is seen.

Of a retained topic the publisher keeps the newest alone: two in a moment would be one.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

APART_S = 0.3
MOST = 50


class StatusQueue:
    """One thread uses it."""

    def __init__(self, show: Callable[[str, bytes], None]) -> None:
        self._show = show
        self._unsent: dict[str, deque[bytes]] = {}
        self._due_s: dict[str, float] = {}

    def put(self, slot: str, payload: bytes) -> None:
        """Take a slot's next status."""
        self._unsent.setdefault(slot, deque(maxlen=MOST)).append(payload)

    def end(self, slot: str) -> None:
        """Say that the slot is no more; what was not published yet is forgotten."""
        self._unsent.pop(slot, None)
        self._show(slot, b"")

    def send(self, mono_s: float) -> None:
        """Publish what is due."""
        for slot, payloads in self._unsent.items():
            if payloads and mono_s >= self._due_s.get(slot, 0.0):
                self._due_s[slot] = mono_s + APART_S
                self._show(slot, payloads.popleft())

    def flush(self) -> None:
        """Publish the newest of each slot: there is no time for the others."""
        for slot, payloads in self._unsent.items():
            if payloads:
                self._show(slot, payloads.pop())
                payloads.clear()
