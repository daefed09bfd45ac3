"""From decoded samples to the windows of one pipeline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.errors import BadInput
from edge_agent.metrics import Counters
from edge_agent.sensing.joining import Joiner, JoinRule
from edge_agent.sensing.sensor_stream import SensorStream
from edge_agent.sensing.windowing import Timing, Windower
from edge_agent.types import Window
from tests.sources import window_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.sensing.windowing import Clock

PERIOD = 100_000_000


def stream(
    clock: Clock = "index", *, channels: tuple[str, ...] = ("x",), joined: bool = False, **rest: Any
) -> SensorStream:
    counters = Counters()
    shape = window_shape(*channels, **rest)
    columns = [(column,) for column in range(len(channels))]
    joiner = Joiner(columns, JoinRule(PERIOD, 10 * PERIOD), counters) if joined else None
    windower = Windower(shape, Timing(clock), counters)
    return SensorStream(shape, windower, joiner, utc=clock == "event", origin="here")


def windows(done: Sequence[Window | BadInput]) -> list[Window]:
    assert all(isinstance(each, Window) for each in done)
    return [each for each in done if isinstance(each, Window)]


def test_rows_one_by_one_and_in_blocks_make_the_same_series() -> None:
    made = stream()
    assert made.push(0, [0.0], 0, None) == ()
    block = np.arange(1, 8, dtype=np.float32)[:, None]
    first, second = windows(made.push(0, block, 0, None))
    assert first.samples[:, 0].tolist() == [0, 1, 2, 3]
    assert second.samples[:, 0].tolist() == [4, 5, 6, 7]
    assert [first.index, second.index] == [0, 1]
    assert first.origin == "here"


def test_times_of_the_samples_themselves_are_kept() -> None:
    made = stream("event")
    for i in range(3):
        made.push(0, [0.0], i * PERIOD, None)
    [window] = windows(made.push(0, [0.0], 3 * PERIOD, None))
    assert window.captured_ns == 3 * PERIOD
    assert abs(window.captured_mono_ns - time.monotonic_ns()) < 10**10


def test_times_of_arrival_become_the_time_of_day() -> None:
    made = stream("arrival", samples=1, hop=1)
    [window] = windows(made.push(0, [0.0], time.monotonic_ns() - 5 * 10**9, None))
    assert abs(time.time_ns() - 5 * 10**9 - window.captured_ns) < 10**9


def test_another_part_begins_a_series_and_leaves_the_first_its_name() -> None:
    made = stream(samples=2, hop=2)
    made.push(0, [1.0], 0, "a")
    assert made.push(0, [2.0], 0, "b") == ()
    [window] = windows(made.push(0, [3.0], 0, "b"))
    assert window.samples[:, 0].tolist() == [2, 3]
    assert window.part_id == "b"
    assert window.series == 1
    made.push(0, [4.0], 0, "c")
    [window] = windows(made.push(0, [5.0], 0, "c"))
    assert (window.part_id, window.series) == ("c", 2)


def test_a_bad_sample_at_the_end_of_a_part_is_reported_when_the_next_begins() -> None:
    made = stream()
    made.push(0, [1.0], 0, "a")
    made.push(0, [float("nan")], 0, "a")
    [error] = made.push(0, [2.0], 0, "b")
    assert isinstance(error, BadInput)
    assert error.reason == "nan"


def test_topics_are_joined_before_they_are_cut() -> None:
    made = stream("event", channels=("x", "y"), joined=True, samples=2, hop=2)
    for i in range(2):
        assert made.push(0, [float(i)], i * PERIOD, None) == []
        done = made.push(1, [10.0 + i], i * PERIOD, None)
    [window] = windows(done)
    assert window.samples.tolist() == [[0, 10], [1, 11]]


def test_joined_blocks_are_cut_all_the_same() -> None:
    made = stream("event", channels=("x", "y"), joined=True, samples=2, hop=2)
    block = np.arange(4, dtype=np.float32)[:, None]
    assert made.push(0, block, 3 * PERIOD, None) == []
    first, second = windows(made.push(1, block + 10, 3 * PERIOD, None))
    assert first.samples.tolist() == [[0, 10], [1, 11]]
    assert second.samples.tolist() == [[2, 12], [3, 13]]
    assert [first.captured_ns, second.captured_ns] == [PERIOD, 3 * PERIOD]


def test_a_new_series_can_be_asked_for() -> None:
    made = stream(samples=2, hop=2)
    made.push(0, [1.0], 0, None)
    assert made.new_series() == []
    made.push(0, [2.0], 0, None)
    [window] = windows(made.push(0, [3.0], 0, None))
    assert window.samples[:, 0].tolist() == [2, 3]
