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

    def __init__(self, capacity: int, on_drop: Callable[[int], None]) -> None:
        """`on_drop` is told how many items were dropped, in the thread of whoever put."""
        if capacity < 1:
            raise ValueError(f"capacity must be 1 or more: {capacity}")
        self._capacity = capacity
        self._on_drop = on_drop
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: T) -> None:
        """Add `item`; the oldest is dropped when there is no room. A closed queue drops `item`."""
        with self._changed:
            refused = self._closed
            full = len(self._items) >= self._capacity
            if not refused:
                if full:
                    self._items.popleft()
                self._items.append(item)
                self._changed.notify()
        # Not under the lock: a callback may take locks of its own.
        if refused or full:
            self._on_drop(1)

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

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)
