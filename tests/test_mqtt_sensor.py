"""Sensor samples over MQTT, through a real broker: from messages to windows."""

from __future__ import annotations

import json
import struct
import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from edge_agent.errors import BadInput, NotConnected
from tests.sources import create, read_all, read_one, source_context, window_shape, windows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.sources.base import Source, SourceContext
    from edge_agent.types import Window
    from tests.conftest import Mosquitto, Recorder, WaitFor


class Bench:
    """A source behind a real broker, and a client that publishes to it."""

    def __init__(self, broker: Mosquitto, client: Recorder) -> None:
        self.client = client
        self._broker = broker
        self._source: Source | None = None
        self._context: SourceContext | None = None

    @property
    def source(self) -> Source:
        assert self._source is not None
        return self._source

    @property
    def totals(self) -> dict[str, int]:
        assert self._context is not None
        return self._context.counters.totals()

    @property
    def silent_from_s(self) -> float:
        assert self._context is not None
        return self._context.counters.silent_from_s

    def open(self, shape: WindowPreprocess | None = None, **options: object) -> None:
        self._context = source_context(self._broker, window=shape or window_shape())
        self._source = create(self._context, kind="mqtt_sensor", qos=1, **options)
        self._source.connect()

    def send(self, topic: str, *messages: object) -> None:
        for message in messages:
            payload = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.client.client.publish(topic, payload, qos=1)

    def sync(self, topic: str, wait_for: WaitFor) -> None:
        """Return when all that was sent to `topic` before has been received."""
        self.client.publish(topic, b"!")
        wait_for(lambda: self.totals.get("dropped_malformed"))

    def windows(self, count: int) -> list[Window]:
        return windows([read_one(self.source) for _ in range(count)])


@pytest.fixture
def bench(mosquitto: Mosquitto, mqtt_client: Recorder) -> Iterator[Bench]:
    made = Bench(mosquitto, mqtt_client)
    yield made
    if made._source is not None:
        made._source.close()


def values(window: Window, column: int = 0) -> list[float]:
    listed: list[float] = window.samples[:, column].tolist()
    return listed


def event(number: int, **channels: object) -> dict[str, object]:
    """Return message `number` of a 10 Hz sensor with a clock of its own."""
    return {"ts": 1_700_000_000_000 + number * 100, **channels}


EVENT: dict[str, Any] = {"clock": "event", "time": "/ts"}


# ---------------------------------------------------------------------- from messages to windows


def test_scalars_become_windows(bench: Bench) -> None:
    before_ns = time.time_ns()
    bench.open(topic="t", channels={"x": {}})
    bench.send("t", *range(8))
    first, second = bench.windows(2)
    assert values(first) == [0, 1, 2, 3]
    assert values(second) == [4, 5, 6, 7]
    assert first.channels == ("x",)
    assert first.rate_hz == 10.0
    assert (first.index, second.index) == (0, 1)
    assert (first.first_sample, second.first_sample) == (0, 4)
    assert before_ns <= first.captured_ns <= time.time_ns()
    assert first.captured_mono_ns <= time.monotonic_ns()
    assert first.origin == "t"


def test_a_sample_is_heard_of_before_it_makes_a_window(bench: Bench, wait_for: WaitFor) -> None:
    bench.open(topic="t", channels={"x": {}})
    assert bench.silent_from_s == 0
    bench.send("t", 1)
    wait_for(lambda: bench.silent_from_s)


def test_objects_bring_several_channels_and_their_time(bench: Bench) -> None:
    bench.open(
        window_shape("y", "x"),
        topic="t",
        channels={"x": {"pointer": "/x"}, "y": {"pointer": "/deep/y"}, "z": {"pointer": "/z"}},
        **EVENT,
    )
    bench.send("t", *(event(i, x=i, deep={"y": -i}) for i in range(4)))
    [window] = bench.windows(1)
    assert values(window, 0) == [0, -1, -2, -3]
    assert values(window, 1) == [0, 1, 2, 3]
    assert window.captured_ns == 1_700_000_000_300_000_000


def test_arrays_are_consecutive_samples(bench: Bench) -> None:
    bench.open(topic="t", channels={"x": {"pointer": "/v"}}, **EVENT)
    bench.send("t", event(2, v=[0, 1, 2]), event(5, v=[3, 4, 5]), event(7, v=[6, 7]))
    first, second = bench.windows(2)
    assert values(first) + values(second) == list(range(8))
    assert first.captured_ns == 1_700_000_000_300_000_000


def test_the_time_of_an_array_may_be_that_of_its_first_sample(bench: Bench) -> None:
    bench.open(topic="t", channels={"x": {"pointer": "/v"}}, block_time="first", **EVENT)
    bench.send("t", event(0, v=[0, 1, 2]), event(3, v=[3, 4]))
    [window] = bench.windows(1)
    assert values(window) == [0, 1, 2, 3]
    assert window.captured_ns == 1_700_000_000_300_000_000


def test_plain_numbers_are_one_sample_whatever_the_number_of_channels(bench: Bench) -> None:
    topics = {"x": "a", "y": "b", "z": "b"}
    channels = {name: {"topic": of, "pointer": f"/{name}"} for name, of in topics.items()}
    bench.open(window_shape("x", "y", "z"), channels=channels, block_time="first", **EVENT)
    for number in range(4):
        bench.send("a", event(number, x=number))
        bench.send("b", event(number, y=number, z=number))
    [window] = bench.windows(1)
    assert window.samples.tolist() == [[number] * 3 for number in range(4)]
    assert window.captured_ns == 1_700_000_000_300_000_000


def test_raw_blocks_bring_interleaved_columns(bench: Bench) -> None:
    bench.open(
        window_shape("z", "x"), topic="t", format="float32", columns=["x", "y", "z"], clock="index"
    )
    for start in (0, 2):
        rows = [(start, 10, -start), (start + 1, 10, -start - 1)]
        bench.send("t", b"".join(struct.pack("<3f", *row) for row in rows))
    [window] = bench.windows(1)
    assert values(window, 0) == [0, -1, -2, -3]
    assert values(window, 1) == [0, 1, 2, 3]


def test_messagepack_brings_time_and_a_block(bench: Bench) -> None:
    bench.open(
        window_shape("x", "y"),
        topic="t",
        format="msgpack",
        columns=["x", "y"],
        pointer="/rows",
        time_unit="ns",
        **EVENT,
    )
    rows = np.arange(8, dtype="<f4")
    bench.send("t", msgspec.msgpack.encode({"ts": 10**18, "rows": rows.tobytes()}))
    [window] = bench.windows(1)
    assert window.samples.tolist() == rows.reshape(4, 2).tolist()
    assert window.captured_ns == 10**18


def test_channels_on_several_topics_are_joined_by_their_times(bench: Bench) -> None:
    bench.open(
        window_shape("x", "y"),
        channels={"x": {"topic": "a", "pointer": "/v"}, "y": {"topic": "b", "pointer": "/v"}},
        **EVENT,
    )
    for i in range(6):
        if i != 1:
            bench.send("a", event(i, v=i))
        bench.send("b", event(i, v=-i))
    [window] = bench.windows(1)
    assert values(window, 0) == [2, 3, 4, 5]
    assert values(window, 1) == [-2, -3, -4, -5]
    assert window.series == 1
    assert bench.totals == {"samples_unmatched": 1, "gaps": 1}
    assert window.origin == "a, b"


def test_raw_topics_without_times_are_joined_by_arrival(bench: Bench) -> None:
    bench.open(
        window_shape("x", "y", rate_hz=1.0),
        format="float32",
        channels={"x": {"topic": "a"}, "y": {"topic": "b"}},
    )
    bench.send("a", struct.pack("<4f", 0, 1, 2, 3))
    bench.send("b", struct.pack("<4f", 4, 5, 6, 7))
    [window] = bench.windows(1)
    assert window.samples.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]


def test_cycles_count_as_steps_and_another_machine_begins_a_series(bench: Bench) -> None:
    bench.open(
        window_shape(hop=1, pad="edge"),
        topic="t",
        clock="index",
        part_id="/unit",
        channels={"x": {"pointer": "/s"}},
    )
    bench.send("t", *({"unit": unit, "s": 10 * unit + i} for unit in (1, 2) for i in range(2)))
    made = bench.windows(4)
    assert [values(window) for window in made] == [
        [10, 10, 10, 10],
        [10, 10, 10, 11],
        [20, 20, 20, 20],
        [20, 20, 20, 21],
    ]
    assert [window.part_id for window in made] == ["1", "1", "2", "2"]
    assert [window.series for window in made] == [0, 0, 1, 1]
    assert [window.first_sample for window in made] == [-3, -2, -3, -2]


# ---------------------------------------------------------------------- what goes wrong


def test_a_gap_begins_a_new_series(bench: Bench) -> None:
    bench.open(topic="t", channels={"x": {"pointer": "/v"}}, **EVENT)
    bench.send("t", *(event(i, v=i) for i in (0, 1, 2, 5, 6, 7, 8)))
    [window] = bench.windows(1)
    assert values(window) == [5, 6, 7, 8]
    assert window.series == 1


def test_late_and_repeated_messages_are_counted(bench: Bench, wait_for: WaitFor) -> None:
    bench.open(topic="t", channels={"x": {"pointer": "/v"}}, **EVENT)
    bench.send("t", *(event(i, v=i) for i in (0, 1, 1, 0, 2, 3)))
    assert values(bench.windows(1)[0]) == [0, 1, 2, 3]
    wait_for(lambda: bench.totals == {"samples_late": 1, "samples_duplicate": 1})


def test_a_sensor_that_turns_into_nan_is_an_error_once_and_no_window(bench: Bench) -> None:
    bench.open(topic="t", clock="index", channels={"x": {}})
    bench.send("t", 0, 1, *[None] * 20, 2, 3, 4, 5)
    with pytest.raises(BadInput, match="nan: x"):
        read_one(bench.source)
    [window] = bench.windows(1)
    assert values(window) == [2, 3, 4, 5]
    assert bench.totals == {"samples_nan": 20}


def test_the_wrong_rate_is_an_error_that_names_both_rates(bench: Bench) -> None:
    bench.open(topic="t", channels={"x": {"pointer": "/v"}}, **EVENT)
    bench.send("t", *(event(10 * i, v=i) for i in range(10)))
    with pytest.raises(BadInput, match="at 1 Hz, the model was made for 10"):
        read_one(bench.source)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"[" * 1_000_000, "malformed"),
        (b'{"v": "hot"}', "type"),
        (b'{"w": 1}', "missing"),
        (b'{"v": []}', "shape"),
        (b'{"v": [' + b"1," * 200 + b"1]}", "too_many_samples"),
        (b" " * 1_000_001, "too_large"),
    ],
)
def test_a_message_that_is_no_sample_is_dropped_by_reason_and_the_series_goes_on(
    bench: Bench, payload: bytes, reason: str
) -> None:
    bench.open(
        topic="t",
        clock="index",
        channels={"x": {"pointer": "/v"}},
        max_bytes=1_000_000,
        max_samples=200,
    )
    bench.send("t", {"v": 0}, {"v": 1}, payload, {"v": 2}, {"v": 3})
    assert values(bench.windows(1)[0]) == [0, 1, 2, 3]
    assert bench.totals == {f"dropped_{reason}": 1}


def test_a_retained_sample_belongs_to_no_series(bench: Bench, wait_for: WaitFor) -> None:
    bench.client.publish("t", b"99", retain=True)
    bench.open(topic="t", channels={"x": {}})
    wait_for(lambda: bench.totals == {"dropped_retained": 1})
    bench.send("t", 0, 1, 2, 3)
    assert values(bench.windows(1)[0]) == [0, 1, 2, 3]


def test_windows_that_nobody_reads_make_room_for_newer_ones(
    bench: Bench, wait_for: WaitFor
) -> None:
    bench.open(topic="t", clock="index", channels={"x": {}}, queue=2)
    bench.send("t", *range(20))
    wait_for(lambda: bench.totals == {"dropped_overtaken": 3})
    assert [values(window)[0] for window in bench.windows(2)] == [12, 16]


def test_windows_complete_before_a_stop_are_still_handed_out(
    bench: Bench, wait_for: WaitFor
) -> None:
    bench.open(topic="t", clock="index", channels={"x": {}})
    bench.send("t", *range(10))
    bench.sync("t", wait_for)
    bench.source.close()
    assert [values(window)[0] for window in windows(read_all(bench.source))] == [0, 4]


def test_what_was_missed_while_the_broker_was_away_is_a_gap(
    mosquitto: Mosquitto, bench: Bench, wait_for: WaitFor
) -> None:
    bench.open(window_shape(rate_hz=0.01), topic="t", channels={"x": {}})
    bench.send("t", 0, 1, 2)
    bench.sync("t", wait_for)
    mosquitto.stop()
    with pytest.raises(NotConnected):
        read_all(bench.source, 2)
    mosquitto.start()

    def connects() -> bool:
        try:
            bench.source.connect()
        except NotConnected:
            return False
        return True

    wait_for(connects)
    wait_for(bench.client.client.is_connected)
    bench.send("t", 3, 4, 5, 6)
    [window] = bench.windows(1)
    assert values(window) == [3, 4, 5, 6]
    assert window.series == 1


def test_the_turbofan_cycles_come_through_the_broker_as_they_are(
    bench: Bench, shared_data: Path
) -> None:
    table = np.loadtxt(shared_data / "cmapss" / "train_FD001.txt", max_rows=250)
    bench.open(
        window_shape("s2", "s11", samples=30, hop=1, rate_hz=1, pad="edge"),
        topic="engine",
        clock="index",
        part_id="/unit",
        channels={"s2": {"pointer": "/s2"}, "s11": {"pointer": "/s11"}},
        queue=250,
    )
    bench.send("engine", *({"unit": int(r[0]), "s2": r[6], "s11": r[15]} for r in table))
    made = bench.windows(250)
    assert [window.part_id for window in made] == [str(int(row[0])) for row in table]
    for window, row in zip(made, table, strict=True):
        assert window.samples[-1].tolist() == row[[6, 15]].astype(np.float32).tolist()
