"""Publishes a recording over MQTT, as the sensors that it was made from would have."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from edge_agent.clock import NS_PER_MS
from edge_agent.errors import BadInput, EdgeAgentError, NotConnected
from edge_agent.lazy import lazy_module
from edge_agent.line.pacing import Schedule, is_due
from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_advice import advice
from edge_agent.sensing.recordings import (
    RecordingLayout,
    is_number,
    read_recording,
    without_numbers,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.mqtt.broker_options import BrokerOptions
    from edge_agent.sensing.recordings import Block
else:
    np = lazy_module("numpy")

# Messages under way to the broker: enough to keep it busy, few enough to lose when it goes away.
WINDOW = 100
# The file has a header, and no column of times or units.
AS_IT_SAYS = RecordingLayout()
CONNECT_TIMEOUT_S = 10.0
ACK_TIMEOUT_S = 10.0
NO_NUMBERS = "no column has a number, like 0.5, in its first row"
# A part of a second: how soon a stop is noticed.
POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Replay:
    """What to publish, and how.

    `format`: json, one object per message, {"ts": ms, "unit": ..., column: number, ...}, with
    arrays instead of numbers when `rows_per_message` is above 1; raw, interleaved little-endian
    float32; msgpack, {"ts": ns, "unit": ..., "columns": [...], "rows": float32 as in raw}. "ts" is
    the time of the last row: the recording's own or, where it has none, counted at `rate_hz` from
    now. `speed` 1 is real time, 0 as fast as the broker takes it. `columns` None: all numbers.
    """

    file: Path
    topic: str
    layout: RecordingLayout = AS_IT_SAYS
    columns: tuple[str, ...] | None = None
    format: Literal["json", "raw", "msgpack"] = "json"
    rate_hz: float = 1.0
    rows_per_message: int = 1
    speed: float = 1.0
    loop: bool = False


def answer(options: argparse.Namespace, broker: BrokerOptions, stop: threading.Event) -> int:
    """Do what the command line asks for; see `replay`. Raises EdgeAgentError."""
    if options.time is None and options.time_unit != "s":
        raise EdgeAgentError("--time-unit: name the column of the time as well: --time COLUMN")
    layout = RecordingLayout(
        columns=tuple(options.names or ()),
        delimiter=options.delimiter,
        time=options.time,
        time_unit=options.time_unit,
        unit=options.unit,
    )
    what = Replay(
        file=options.file,
        topic=options.topic,
        layout=layout,
        columns=tuple(options.columns) if options.columns else None,
        format=options.format,
        rate_hz=options.rate,
        rows_per_message=options.rows,
        speed=options.speed,
        loop=options.loop,
    )
    return replay(what, broker, stop)


def replay(options: Replay, broker: BrokerOptions, stop: threading.Event) -> int:
    """Publish the recording at QoS 1; return how many messages the broker has accepted.

    Ends at the end of the recording or when `stop` is set, and then waits for the broker's answer
    to what is under way: what was published is counted, and not cut off. Raises NotConnected when
    the broker or the file is away, and BadInput for what cannot be read.
    """
    _look(options)
    sender = _Sender(broker)
    try:
        sender.connect(stop)
        for due_s, payload in _due(options):
            while not stop.is_set() and not is_due(due_s, POLL_S, stop):
                pass
            if stop.is_set():
                break
            sender.send(options.topic, payload, stop)
        sender.drain()
        return sender.accepted
    finally:
        sender.close()


def _look(options: Replay) -> None:
    """Raise BadInput or NotConnected where there is nothing to publish."""
    for block in read_recording(options.file, options.layout, options.columns):
        if not block.columns:
            raise BadInput("recording", f"{options.file.name}: {NO_NUMBERS}")
        if len(block.values):
            return
    raise BadInput("recording", f"{options.file.name}: there is no row in it")


def _due(options: Replay) -> Iterator[tuple[float, bytes]]:
    """Yield each message with the moment on `time.monotonic` when it is due."""
    encode = _encoder(options)
    schedule = Schedule(options.speed)
    wall_ns, rows, published = time.time_ns(), 0, True
    unit, said = None, set[str]()
    while published:
        published = False
        for block in read_recording(options.file, options.layout, options.columns):
            if block.unit != unit:
                unit = block.unit
                schedule.restart()
            if not rows:
                _say_doubts(options, block)
            _say_gaps(options, block, rows, said)
            for start in range(0, len(block.values), options.rows_per_message):
                part = slice(start, start + options.rows_per_message)
                values = block.values[part]
                rows += len(values)
                time_ns = wall_ns + round((rows - 1) * 1e9 / options.rate_hz)
                if block.times_ns is not None:
                    time_ns = int(block.times_ns[part][-1])
                schedule.start_at(time_ns)
                yield schedule.due_s(time_ns), encode(block, values, time_ns)
                published = options.loop


def _say_doubts(options: Replay, first: Block) -> None:
    """Say which columns are left out unasked, and that names may be values."""
    name, layout = options.file.name, options.layout
    if options.columns is None and (left_out := without_numbers(options.file, layout)):
        words = f"no number in their first row: {', '.join(left_out)}; --columns takes them"
        sys.stderr.write(f"{name}: left out, {words}\n")
    if not layout.columns and all(map(is_number, first.columns)):
        words = "are numbers: if they are values, say --names"
        sys.stderr.write(f"{name}: the names of its columns, its first row, {words}\n")


def _say_gaps(options: Replay, block: Block, rows_before: int, said: set[str]) -> None:
    """Say of each column once that it has a cell that is no number, and what is sent for it."""
    instead = "null" if options.format == "json" else "NaN"
    for column, values in zip(block.columns, block.values.T, strict=True):
        missing = np.flatnonzero(np.isnan(values))
        if column not in said and len(missing):
            said.add(column)
            sys.stderr.write(
                f"{options.file.name}: column {column!r} has no number in its row"
                f" {rows_before + int(missing[0]) + 1}; such cells are sent as {instead}\n"
            )


def _encoder(options: Replay) -> Callable[[Block, NDArray[np.float64], int], bytes]:
    match options.format:
        case "json":
            return _json_rows if options.rows_per_message > 1 else _json_row
        case "raw":
            return lambda _block, values, _time_ns: _float32(values)
        case "msgpack":
            return _msgpack


def _json_row(block: Block, values: NDArray[np.float64], time_ns: int) -> bytes:
    row: list[float] = values[0].tolist()
    return _json(block, time_ns, row)


def _json_rows(block: Block, values: NDArray[np.float64], time_ns: int) -> bytes:
    columns: list[list[float]] = values.T.tolist()
    return _json(block, time_ns, columns)


def _json(block: Block, time_ns: int, values: Sequence[object]) -> bytes:
    fields = dict(zip(block.columns, values, strict=True))
    return msgspec.json.encode(_head(block, time_ns / NS_PER_MS) | fields)


def _msgpack(block: Block, values: NDArray[np.float64], time_ns: int) -> bytes:
    tail = {"columns": block.columns, "rows": _float32(values)}
    return msgspec.msgpack.encode(_head(block, time_ns) | tail)


def _head(block: Block, ts: float) -> dict[str, Any]:
    return {"ts": ts} if block.unit is None else {"ts": ts, "unit": block.unit}


def _float32(values: NDArray[np.float64]) -> bytes:
    return values.astype("<f4").tobytes()


class _Sender:
    """Publishes at QoS 1 with a bounded number of messages under way."""

    def __init__(self, broker: BrokerOptions) -> None:
        self.accepted = 0
        self._under_way = 0
        self._refused = ""
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._connected = threading.Event()
        self._lost = threading.Event()
        self._connection = Connection(
            broker,
            f"edge-agent-replay-{uuid.uuid4().hex[:8]}",
            on_connected=self._connected.set,
            on_lost=self._lost.set,
            on_acked=self._acked,
        )

    def connect(self, stop: threading.Event) -> None:
        """Wait for the broker. Raises NotConnected."""
        self._connection.start()
        deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._connected.wait(POLL_S) and not stop.is_set():
            if time.monotonic() > deadline_s:
                detail = self._connection.detail
                raise NotConnected(f"broker: {detail}; {advice(detail)}")

    def send(self, topic: str, payload: bytes, stop: threading.Event) -> None:
        """Publish, waiting while too much is under way. Raises NotConnected."""
        deadline_s = time.monotonic() + ACK_TIMEOUT_S
        while not stop.is_set():
            self._answered.clear()
            self._check(deadline_s)
            if self._under_way < WINDOW and self._publish(topic, payload):
                return
            self._answered.wait(POLL_S)

    def drain(self) -> None:
        """Wait until the broker has answered for everything. Raises NotConnected."""
        deadline_s = time.monotonic() + ACK_TIMEOUT_S
        while self._under_way:
            self._answered.clear()
            self._check(deadline_s)
            if self._under_way:
                self._answered.wait(POLL_S)
        self._check(deadline_s)

    def close(self) -> None:
        """End the connection."""
        self._connection.stop()

    def _publish(self, topic: str, payload: bytes) -> bool:
        with self._lock:
            self._under_way += 1
        if self._connection.publish(topic, payload, qos=1, token=self):
            return True
        with self._lock:  # the broker wants no more before it has answered
            self._under_way -= 1
        return False

    def _acked(self, _token: object, refused: str | None) -> None:
        with self._lock:
            self._under_way -= 1
            self.accepted += refused is None
            self._refused = self._refused or (refused or "")
        self._answered.set()

    def _check(self, deadline_s: float) -> None:
        if self._refused:
            raise NotConnected(f"broker: {self._refused}")
        if self._lost.is_set():
            raise NotConnected(f"broker: {self._connection.detail}; what was under way may be lost")
        if time.monotonic() > deadline_s:
            raise NotConnected("broker: no answer")
