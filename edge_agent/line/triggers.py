"""Pairs triggers with items: one item answers one trigger, in order of arrival."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.processes.wire import Trigger
    from edge_agent.types import Item

# Items that no trigger has asked for yet: enough for a burst of pictures that overtakes its
# triggers, few enough to hold 4K pictures.
HELD_ITEMS = 4


class TriggerQueue:
    """Triggers that wait for an item, and the latest items that wait for a trigger.

    The deadline is kept by the agent; here a trigger past it is only forgotten.
    """

    def __init__(self, lookback_ns: int, mono_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._lookback_ns = lookback_ns
        self._mono_ns = mono_ns
        self._lock = threading.Lock()
        self._triggers: deque[Trigger] = deque()
        self._items: deque[Item] = deque(maxlen=HELD_ITEMS)

    def put(self, trigger: Trigger) -> None:
        """Add a trigger; any thread."""
        with self._lock:
            self._triggers.append(trigger)

    def offer(self, item: Item) -> bool:
        """Add an item; return whether an item that was never asked for was pushed out."""
        pushed_out = len(self._items) == HELD_ITEMS
        self._items.append(item)
        return pushed_out

    def match(self) -> tuple[Trigger, Item] | None:
        """Return the oldest trigger that an item answers, with the item, and forget both.

        An item that names a part answers only the trigger for that part.
        """
        with self._lock:
            now = self._mono_ns()
            while self._triggers and self._triggers[0].deadline_mono_ns <= now:
                self._triggers.popleft()
            for trigger in self._triggers:
                for item in self._items:
                    if self._answers(item, trigger):
                        self._triggers.remove(trigger)
                        self._items.remove(item)
                        return trigger, item
        return None

    def _answers(self, item: Item, trigger: Trigger) -> bool:
        in_time = item.captured_mono_ns >= trigger.since_mono_ns - self._lookback_ns
        return in_time and item.part_id in {None, trigger.part_id}
