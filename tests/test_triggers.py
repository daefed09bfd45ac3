"""Items and triggers find each other."""

from __future__ import annotations

import numpy as np

from edge_agent.line.triggers import HELD_ITEMS, TriggerQueue
from edge_agent.processes.wire import Trigger
from edge_agent.types import Frame

PIXELS = np.zeros((2, 2, 3), np.uint8)
MS = 1_000_000


def frame(mono_ms: float, part_id: str | None = None) -> Frame:
    return Frame(PIXELS, 0, int(mono_ms * MS), 0, part_id)


def trigger(part_id: str, since_ms: float, deadline_ms: float = 1000) -> Trigger:
    return Trigger(part_id, "camera", part_id, int(since_ms * MS), int(deadline_ms * MS))


def queue(now_ms: float = 0, lookback_ms: float = 0) -> TriggerQueue:
    return TriggerQueue(int(lookback_ms * MS), lambda: int(now_ms * MS))


def test_the_first_item_after_the_trigger_answers_it() -> None:
    triggers = queue()
    triggers.put(trigger("A", since_ms=10))
    early, late = frame(9), frame(11)
    triggers.offer(early)
    assert triggers.match() is None
    triggers.offer(late)
    found = triggers.match()
    assert found is not None
    assert found[0].id == "A"
    assert found[1] is late


def test_an_item_shortly_before_the_trigger_answers_it_where_the_config_allows_that() -> None:
    triggers = queue(lookback_ms=5)
    triggers.offer(frame(4))
    triggers.offer(frame(6))
    triggers.put(trigger("A", since_ms=10))
    found = triggers.match()
    assert found is not None
    assert found[1].captured_mono_ns == 6 * MS


def test_each_of_two_overlapping_triggers_gets_an_item_of_its_own() -> None:
    triggers = queue()
    triggers.put(trigger("A", since_ms=10))
    triggers.put(trigger("B", since_ms=11))
    triggers.offer(frame(12))
    first = triggers.match()
    assert first is not None
    assert first[0].id == "A"
    assert triggers.match() is None
    triggers.offer(frame(13))
    second = triggers.match()
    assert second is not None
    assert second[0].id == "B"


def test_an_item_that_names_a_part_answers_only_that_part() -> None:
    triggers = queue()
    triggers.put(trigger("A", since_ms=0))
    triggers.put(trigger("B", since_ms=0))
    triggers.offer(frame(1, part_id="B"))
    found = triggers.match()
    assert found is not None
    assert found[0].id == "B"
    assert triggers.match() is None


def test_a_trigger_past_its_deadline_takes_no_item_from_the_next() -> None:
    triggers = queue(now_ms=50)
    triggers.put(trigger("late", since_ms=0, deadline_ms=40))
    triggers.put(trigger("next", since_ms=45))
    triggers.offer(frame(49))
    found = triggers.match()
    assert found is not None
    assert found[0].id == "next"


def test_items_that_nobody_asks_for_push_each_other_out() -> None:
    triggers = queue()
    assert [triggers.offer(frame(n)) for n in range(HELD_ITEMS + 1)] == [False] * HELD_ITEMS + [
        True
    ]
