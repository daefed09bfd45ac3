"""LeakyQueue: what it hands out, what it drops, and how it ends."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import EndOfStream
from edge_agent.leaky import LeakyQueue

if TYPE_CHECKING:
    from tests.conftest import WaitFor


def queue_and_drops(capacity: int) -> tuple[LeakyQueue[int], list[int]]:
    drops: list[int] = []
    return LeakyQueue(capacity, drops.append), drops


def test_items_come_out_in_the_order_they_went_in() -> None:
    queue, drops = queue_and_drops(3)
    for item in (1, 2, 3):
        queue.put(item)
    assert [queue.get(0) for _ in range(3)] == [1, 2, 3]
    assert drops == []


def test_with_capacity_one_the_newest_wins_and_the_others_are_counted() -> None:
    queue, drops = queue_and_drops(1)
    for item in range(5):
        queue.put(item)
    assert queue.get(0) == 4
    assert sum(drops) == 4
    assert queue.get(0) is None


def test_get_returns_none_when_nothing_comes_in_time() -> None:
    queue, _ = queue_and_drops(1)
    began = time.monotonic()
    assert queue.get(0.05) is None
    assert time.monotonic() - began >= 0.05


def test_a_waiting_get_wakes_up_when_an_item_is_put(wait_for: WaitFor) -> None:
    queue, _ = queue_and_drops(1)
    got: list[int | None] = []
    thread = threading.Thread(target=lambda: got.append(queue.get(30)))
    thread.start()
    queue.put(7)
    wait_for(lambda: got == [7])
    thread.join()


def test_a_waiting_get_wakes_up_when_the_queue_is_closed() -> None:
    queue, _ = queue_and_drops(1)
    ended = threading.Event()

    def read() -> None:
        with pytest.raises(EndOfStream):
            queue.get(30)
        ended.set()

    thread = threading.Thread(target=read)
    thread.start()
    queue.close()
    assert ended.wait(60)
    thread.join()


def test_a_closed_queue_hands_out_what_is_inside_and_then_ends() -> None:
    queue, drops = queue_and_drops(2)
    queue.put(1)
    queue.put(2)
    queue.close()
    assert len(queue) == 2
    assert [queue.get(0), queue.get(0)] == [1, 2]
    for _ in range(2):
        with pytest.raises(EndOfStream):
            queue.get(0)
    assert drops == []


def test_what_is_put_after_closing_is_dropped_and_counted() -> None:
    queue, drops = queue_and_drops(2)
    queue.close()
    queue.put(1)
    assert sum(drops) == 1
    with pytest.raises(EndOfStream):
        queue.get(0)


def test_a_capacity_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        queue_and_drops(0)


def test_on_drop_may_use_the_queue_itself() -> None:
    depths: list[int] = []
    queue: LeakyQueue[int] = LeakyQueue(1, lambda _: depths.append(len(queue)))
    queue.put(1)
    queue.put(2)
    assert depths == [1]


def test_nothing_is_lost_uncounted_between_many_putters_and_a_slow_getter() -> None:
    lock = threading.Lock()
    dropped = [0]

    def count(drops: int) -> None:
        with lock:
            dropped[0] += drops

    queue: LeakyQueue[int] = LeakyQueue(3, count)

    def put_many() -> None:
        for item in range(2000):
            queue.put(item)

    putters = [threading.Thread(target=put_many) for _ in range(4)]
    for thread in putters:
        thread.start()
    received = 0
    while any(thread.is_alive() for thread in putters):
        received += queue.get(0.001) is not None
    while len(queue):
        received += queue.get(0) is not None
    assert received + dropped[0] == 8000


@given(
    capacity=st.integers(1, 4),
    most_weight=st.integers(0, 30),
    steps=st.lists(st.one_of(st.integers(0, 9), st.none()), max_size=60),
)
def test_it_behaves_as_a_list_cut_to_its_last_items(
    capacity: int, most_weight: int, steps: list[int | None]
) -> None:
    drops: list[int] = []
    queue: LeakyQueue[int] = LeakyQueue(capacity, drops.append, lambda item: item, most_weight)
    model: list[int] = []
    put = got = 0
    for step in steps:
        if step is None:
            expected = model.pop(0) if model else None
            assert queue.get(0) == expected
            got += expected is not None
        else:
            queue.put(step)
            put += 1
            model = [*model, step][-capacity:]
            while len(model) > 1 and sum(model) > most_weight:
                del model[0]
    assert put == got + len(model) + sum(drops)
