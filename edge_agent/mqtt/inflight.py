"""Which messages the broker has not answered yet, by the number that the MQTT library gave them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """The broker's word on one publish; `reason` None: accepted, else why not."""

    token: Any
    reason: str | None


class InFlight:
    """Safe to use from the thread that publishes and the one that hears the broker.

    The answer can be here before the publishing thread knows its message's number. No lock may be
    held across the publish itself: paho takes locks in it that it also holds around callbacks.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[Any, int]] = {}
        self._early: dict[int, str | None] = {}
        self._unacknowledged = 0

    @property
    def unacknowledged(self) -> int:
        """How many messages of QoS 1 the broker has yet to acknowledge."""
        return self._unacknowledged

    def reserve(self, qos: int, most: int) -> bool:
        """Make room for one message; False when `most` of QoS 1 are out already."""
        with self._lock:
            if self._unacknowledged >= most:
                return False
            self._unacknowledged += qos
            return True

    def sent(self, mid: int, qos: int, token: Any) -> Answer | None:  # noqa: ANN401
        """Note the number of a message that was sent; return the answer if it is here already."""
        with self._lock:
            if mid not in self._early:
                self._waiting[mid] = (token, qos)
                return None
            self._unacknowledged -= qos
            return Answer(token, self._early.pop(mid))

    def answered(self, mid: int, reason: str | None) -> Answer | None:
        """Take the broker's word; return None when `sent` will return the answer."""
        with self._lock:
            if mid not in self._waiting:
                self._early[mid] = reason
                return None
            token, qos = self._waiting.pop(mid)
            self._unacknowledged -= qos
            return Answer(token, reason)
