"""Samples of several topics become rows by their times, and never by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.metrics import Counters
from edge_agent.sensing.joining import Joiner, JoinRule
from edge_agent.sensing.windowing import LATE_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.sensing.joining import Rows

MS = 1_000_000
PERIOD = 100 * MS


class Bench:
    """A joiner of `topics` one-column streams, and the rows it made: (time in ms, values)."""

    def __init__(
        self, topics: int = 2, *, tolerance_ms: int = 0, whole_messages: bool = False
    ) -> None:
        self.counters = Counters()
        rule = JoinRule(PERIOD, 1000 * MS, tolerance_ms * MS, whole_messages)
        self.joiner = Joiner([(topic,) for topic in range(topics)], rule, self.counters)
        self.rows: list[tuple[int, list[float]]] = []

    def sample(self, topic: int, value: float, time_ms: int) -> None:
        self._keep(self.joiner.push_row(topic, [value], time_ms * MS))

    def block(self, topic: int, values: Sequence[float], last_ms: int) -> None:
        rows = np.array(values, np.float32)[:, None]
        self._keep(self.joiner.push(topic, rows, last_ms * MS))

    def _keep(self, joined: Sequence[tuple[Sequence[float] | Rows, int]]) -> None:
        for rows, last_ns in joined:
            block = np.atleast_2d(np.asarray(rows)).tolist()
            for back, row in enumerate(reversed(block)):
                self.rows.insert(len(self.rows) - back, (last_ns // MS - back * 100, row))

    @property
    def values(self) -> list[list[float]]:
        return [values for _, values in self.rows]


def test_samples_of_the_same_time_become_a_row_in_the_order_of_the_columns() -> None:
    counters = Counters()
    joiner = Joiner([(2, 0), (1,)], JoinRule(PERIOD, 1000 * MS), counters)
    assert joiner.push_row(0, [30, 10], 0) == ()
    [(row, time_ns)] = joiner.push_row(1, [20], 0)
    assert list(row) == [10, 20, 30]
    assert time_ns == 0
    block = np.array([[3, 1], [33, 11]], np.float32)
    assert joiner.push(0, block, 2 * PERIOD) == []
    [(rows, _)] = joiner.push(1, np.array([[2], [22]], np.float32), 2 * PERIOD)
    assert np.asarray(rows).tolist() == [[1, 2, 3], [11, 22, 33]]


def test_samples_within_the_tolerance_are_joined_at_the_time_of_the_newest() -> None:
    b = Bench(tolerance_ms=30)
    b.sample(0, 1, 1000)
    b.sample(1, 2, 1030)
    assert b.rows == [(1030, [1, 2])]


def test_samples_beyond_the_tolerance_are_not_joined_but_counted() -> None:
    b = Bench(tolerance_ms=30)
    b.sample(0, 1, 1000)
    b.sample(1, 2, 1031)
    b.sample(0, 3, 1100)
    b.sample(1, 4, 1100)
    assert b.rows == [(1100, [3, 4])]
    assert b.counters.totals() == {"samples_unmatched": 2}


def test_a_missing_sample_costs_its_row_and_no_other() -> None:
    b = Bench()
    for i in range(6):
        b.sample(0, i, i * 100)
        if i != 2:
            b.sample(1, i, i * 100)
    assert b.values == [[0, 0], [1, 1], [3, 3], [4, 4], [5, 5]]
    assert b.counters.totals() == {"samples_unmatched": 1}


def test_a_topic_that_lags_behind_is_waited_for() -> None:
    b = Bench()
    for i in range(5):
        b.sample(0, i, i * 100)
    for i in range(5):
        b.sample(1, i, i * 100)
    assert b.values == [[i, i] for i in range(5)]


def test_a_silent_topic_is_not_waited_for_for_ever() -> None:
    b = Bench()
    for i in range(1000):
        b.sample(0, i, i * 100)
    assert b.rows == []
    assert b.counters.totals()["samples_unmatched"] == 989
    b.sample(1, 999, 99_900)
    assert b.values == [[999, 999]]


def test_a_sample_waits_no_longer_than_allowed() -> None:
    b = Bench()
    b.sample(0, 1, 0)
    b.sample(0, 2, 1000)
    assert b.counters.totals() == {}
    b.sample(0, 3, 1100)
    assert b.counters.totals() == {"samples_unmatched": 1}


def test_times_that_hardly_move_on_cannot_fill_the_memory() -> None:
    b = Bench()
    for i in range(1000):
        b.joiner.push(0, np.zeros((1, 1), np.float32), i)
    assert b.counters.totals()["samples_unmatched"] == 989


def test_late_and_repeated_samples_are_counted_and_dropped() -> None:
    b = Bench()
    for i in (0, 1, 1, 0, 2):
        b.sample(0, i, i * 100)
        b.sample(1, i, i * 100)
    assert b.values == [[0, 0], [1, 1], [2, 2]]
    assert b.counters.totals() == {"samples_duplicate": 2, "samples_late": 2}


def test_a_clock_set_back_starts_afresh() -> None:
    b = Bench()
    far = 10 * LATE_NS // MS
    for start in (far, 0):
        for i in range(3):
            b.sample(0, i, start + i * 100)
            b.sample(1, i, start + i * 100)
    assert [time_ms for time_ms, _ in b.rows[:3]] == [far, far + 100, far + 200]
    assert b.rows[-2:] == [(100, [1, 1]), (200, [2, 2])]


def test_blocks_of_different_lengths_are_joined_sample_by_sample() -> None:
    b = Bench()
    b.block(0, range(10), 900)
    b.block(1, range(4), 300)
    b.block(1, range(4, 7), 600)
    b.block(1, range(7, 12), 1100)
    assert b.rows == [(i * 100, [i, i]) for i in range(10)]


def test_blocks_that_begin_at_different_times_are_aligned() -> None:
    b = Bench()
    b.block(0, range(10), 900)
    b.block(1, range(5, 15), 1400)
    assert b.rows == [(i * 100, [i, i]) for i in range(5, 10)]
    assert b.counters.totals() == {"samples_unmatched": 5}


def test_single_samples_join_with_blocks() -> None:
    b = Bench()
    b.sample(0, 0, 0)
    b.block(1, range(4), 300)
    for i in range(1, 4):
        b.sample(0, i, i * 100)
    assert b.values == [[i, i] for i in range(4)]


def test_by_arrival_messages_are_matched_as_a_whole() -> None:
    b = Bench(whole_messages=True)
    for message in range(5):
        b.block(0, [message] * 10, message * 1000 + 200)
        if message != 2:
            b.block(1, [message] * 10, message * 1000 + 40)
    assert {tuple(values) for values in b.values} == {(0, 0), (1, 1), (3, 3), (4, 4)}
    assert len(b.rows) == 40
    assert b.counters.totals() == {"samples_unmatched": 10}


def test_a_number_beyond_float32_is_infinite_and_no_warning() -> None:
    b = Bench()
    b.sample(0, 1e300, 0)
    b.sample(0, 1, 100)
    b.sample(1, 1, 0)
    assert b.values == [[float("inf"), 1]]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4), st.booleans()), max_size=80),
)
def test_whatever_is_lost_or_cut_up_a_row_holds_samples_of_one_instant(
    plan: list[tuple[int, int, bool]],
) -> None:
    """Each sample's value is the number of its period; each stream may lose any message."""
    b = Bench(3)
    at = [0, 0, 0]
    sent = [0, 0, 0]
    for topic, count, lost in plan:
        values = [float(each) for each in range(at[topic], at[topic] + count)]
        at[topic] += count
        if lost:
            continue
        sent[topic] += count
        if count == 1:
            b.sample(topic, values[0], at[topic] * 100 - 100)
        else:
            b.block(topic, values, at[topic] * 100 - 100)
    for time_ms, values in b.rows:
        assert values == [time_ms / 100] * 3
    waiting = sum(sent) - 3 * len(b.rows) - sum(b.counters.totals().values())
    assert 0 <= waiting <= 3 * 14
