"""LeakyQueue: bounded, never blocks who puts, drops the oldest, and counts what it drops."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from edge_agent.errors import EndOfStream

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class LeakyQueue(Generic[T]):
    """Hands items from receiving threads to one that may be slower; capacity 1: newest wins."""

    def __init__(
        self,
        capacity: int,
        on_drop: Callable[[int], None],
        weigh: Callable[[T], int] | None = None,
        most_weight: int = 0,
    ) -> None:
        """`on_drop` is told how many items were dropped, in the thread of whoever put.

        `weigh`: together the items weigh at most `most_weight`; one alone may weigh more.
        """
        if capacity < 1:
            raise ValueError(f"capacity must be 1 or more: {capacity}")
        self._capacity = capacity
        self._on_drop = on_drop
        self._weigh = weigh
        self._most_weight = most_weight
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> None:
        """Add `item`; the oldest is dropped when there is no room. A closed queue drops `item`."""
        with self._changed:
            dropped = 1 if self._closed else 0
            if not self._closed:
                self._items.append(item)
                while len(self._items) > self._capacity or self._too_heavy():
                    self._items.popleft()
                    dropped += 1
                self._changed.notify()
        # Not under the lock: a callback may take locks of its own.
        if dropped:
            self._on_drop(dropped)

    def get(self, timeout_s: float) -> T | None:
        """Return the oldest item, or None when none came within `timeout_s`.

        Raises EndOfStream once the queue is closed and empty.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            if self._items:
                return self._items.popleft()
            if self._closed:
                raise EndOfStream("closed")
            return None

    def close(self) -> None:
        """Take nothing more. What is inside is still handed out, then `get` raises EndOfStream."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _too_heavy(self) -> bool:
        if self._weigh is None or len(self._items) == 1:
            return False
        return sum(map(self._weigh, self._items)) > self._most_weight

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)
