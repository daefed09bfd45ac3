"""Sensor samples over MQTT: channels from one or several topics, joined in time, cut to windows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from edge_agent import pointer
from edge_agent.errors import BadInput, ConfigError, FieldError
from edge_agent.lazy import lazy_module
from edge_agent.mqtt.ingest import Ingest
from edge_agent.options import StrictOptions, Topic
from edge_agent.sensing.joining import Joiner, JoinRule
from edge_agent.sensing.sensor_payload import Fields, Format, Layout, Table, decoder
from edge_agent.sensing.sensor_stream import SensorStream
from edge_agent.sensing.timestamps import TimeUnit
from edge_agent.sensing.windowing import Clock, Timing, Windower

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.metrics import Counters
    from edge_agent.mqtt.broker import Message
    from edge_agent.sensing.sensor_payload import Decoder, Rows
    from edge_agent.sources.base import Capture, SourceContext
    from edge_agent.types import Window
else:
    np = lazy_module("numpy")


def _checked_pointer(text: str) -> str:
    pointer.parse(text)
    return text


Pointer = Annotated[str, Field(max_length=1024), AfterValidator(_checked_pointer)]
ChannelName = Annotated[str, Field(min_length=1, max_length=128)]
Milliseconds = Annotated[float, Field(gt=0, le=86_400_000)]


class Channel(StrictOptions):
    """Where one channel's samples come from."""

    topic: Topic | None = None
    """By default the source's own topic."""
    pointer: Pointer = ""
    """JSON pointer (RFC 6901) to a number or an array of consecutive samples."""


class Options(StrictOptions):
    """Sensor samples over MQTT.

    Either `channels`, each with its place in the messages, or `columns` for messages that are
    tables: rows of one number per column.
    """

    kind: Literal["mqtt_sensor"]
    topic: Topic | None = None
    """For all channels that name none of their own, and for `columns`."""
    format: Format = "json"
    """float32: nothing but interleaved little-endian numbers. msgpack: as json; an array may also
    be a bin of float32."""
    channels: Annotated[dict[ChannelName, Channel], Field(max_length=1024)] = {}  # noqa: RUF012  pydantic copies it
    columns: Annotated[tuple[ChannelName, ...], Field(max_length=1024)] = ()
    """The columns of a table, in the order of the messages; those the model lacks are skipped."""
    pointer: Pointer = ""
    """Where in the message the table stands."""
    clock: Clock = "arrival"
    """event: samples carry their `time`; arrival: they count from when they come; index: every
    sample is one step (a cycle, a shot) whatever the time."""
    time: Pointer | None = None
    """JSON pointer to the time of the message's samples; for clock = "event"."""
    time_unit: TimeUnit = "ms"
    block_time: Literal["first", "last"] = "last"
    """Which sample of an array the time belongs to."""
    tolerance_ms: Milliseconds | None = None
    """How far from its due time a sample may be, and how far samples of one row may be apart; by
    default half a sample period (and for whole messages half of what they span)."""
    pause_ms: Milliseconds | None = None
    """With clock = "arrival": a longer pause is a gap; by default 1 s or three messages."""
    wait_ms: Milliseconds | None = None
    """How long a sample waits for those of other topics; by default 1 s or two periods."""
    rate_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """How far the rate may be from the model's, as a fraction; for clock = "event"."""
    part_id: Pointer | None = None
    """JSON pointer to the machine or part; another one begins a new series."""
    qos: Literal[0, 1] = 0
    queue: Annotated[int, Field(ge=1, le=1024)] = 4
    """Windows that may wait for the model; when one more comes the oldest is dropped."""
    max_bytes: Annotated[int, Field(ge=1, le=1 << 26)] = 1 << 20
    """Larger messages are dropped unread."""
    max_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 100_000
    """The most samples of one channel in one message."""

    @model_validator(mode="after")
    def _places(self) -> Options:
        if bool(self.channels) == bool(self.columns):
            raise ValueError("either channels or columns must be given")
        places = [(channel.topic or self.topic, channel.pointer) for channel in self._all()]
        if any(topic is None for topic, _ in places):
            raise ValueError("topic must be given for every channel, or for all")
        if self.channels and len({*places}) < len(places):
            raise ValueError("two channels have the same topic and pointer")
        if len({*self.columns}) < len(self.columns):
            raise ValueError("two columns have the same name")
        several = len({topic for topic, _ in places}) > 1
        if several and (self.clock == "index" or self.part_id is not None):
            raise ValueError("clock = 'index' and part_id need all channels on one topic")
        return self

    @model_validator(mode="after")
    def _times(self) -> Options:
        if (self.clock == "event") != (self.time is not None):
            raise ValueError("clock = 'event' and time belong together")
        plain = self.time is None and self.part_id is None and not self.pointer
        if self.format == "float32" and not (
            plain and not any(channel.pointer for channel in self.channels.values())
        ):
            raise ValueError("float32 messages have no place for time, part_id or a pointer")
        return self

    def _all(self) -> list[Channel]:
        return list(self.channels.values()) or [Channel()]


@dataclass(frozen=True, slots=True)
class _Topic:
    """One subscription: how to read its messages, and which of the joined columns they fill."""

    name: str
    layout: Layout
    columns: tuple[int, ...]


class MqttSensorSource:
    """Decodes, joins and cuts in the network's thread; the reader gets whole windows.

    Counts messages as `dropped_<reason>` (BadInput's reasons of sensor_payload, `too_large`,
    `retained`), windows as `dropped_overtaken`, and samples as windowing.py and joining.py say.
    """

    capture: Capture = "inline"

    def __init__(self, options: Options, context: SourceContext, shape: WindowPreprocess) -> None:
        self._options = options
        self._counters = context.counters
        # By an index there is no time at which the next sample would be due.
        self._heard = context.heard if options.clock != "index" else {}
        topics = _topics(options, shape)
        self._stream = SensorStream(
            shape,
            Windower(shape, _timing(options), context.counters),
            _joiner(options, topics, shape, context.counters),
            utc=options.clock == "event",
            origin=", ".join(topic.name for topic in topics),
        )
        self._topics = tuple(topic.name for topic in topics)
        self._first_ns_per_row = 1e9 / shape.rate_hz if options.block_time == "first" else 0.0
        handlers = {
            topic.name: partial(self._receive, number, decoder(topic.layout))
            for number, topic in enumerate(topics)
        }
        self._ingest: Ingest[Window] = Ingest(
            context, handlers, qos=options.qos, depth=options.queue, on_lost=self._lost
        )

    def connect(self) -> None:
        """Subscribe. Raises NotConnected."""
        self._ingest.connect()
        # From now on every topic is expected to speak.
        self._heard.update(dict.fromkeys(self._topics, time.monotonic()))

    def read(self, timeout_s: float) -> Window | None:
        """Return the next window. Raises NotConnected, BadInput (`nan`, `rate`), EndOfStream."""
        return self._ingest.read(timeout_s)

    def close(self) -> None:
        """Receive nothing more; windows that are complete are still handed out."""
        self._ingest.close()

    # ------------------------------------------------------------------ on the network's thread

    def _receive(self, topic: int, decode: Decoder, message: Message) -> None:
        payload = message.payload
        if message.retain:
            # The broker keeps it from some time ago: it belongs to no series.
            self._counters.add("dropped_retained")
            return
        if len(payload) > self._options.max_bytes:
            self._counters.add("dropped_too_large")
            self._counters.fault(f"{message.topic}: a message of {len(payload)} bytes")
            return
        try:
            values, time_ns, part_id = decode(payload)
        except BadInput as error:
            self._counters.add(f"dropped_{error.reason}")
            self._counters.fault(f"{message.topic}: {error}")
            return
        if time_ns is None:
            time_ns = time.monotonic_ns()
        elif self._first_ns_per_row:
            time_ns += round((_rows_in(values) - 1) * self._first_ns_per_row)
        self._heard[message.topic] = self._counters.silent_from_s = time.monotonic()
        for done in self._stream.push(topic, values, time_ns, part_id):
            self._ingest.put(done)

    def _lost(self) -> None:
        # Times of arrival cannot show what was missed while the connection was away.
        if self._options.clock == "arrival":
            for done in self._stream.new_series():
                self._ingest.put(done)


def _rows_in(values: Sequence[float] | Rows) -> int:
    """Return how many there are: plain numbers are one, with a number for each channel."""
    return len(values) if isinstance(values, np.ndarray) else 1


def create(options: Options, context: SourceContext) -> MqttSensorSource:
    """Build the source; connects to nothing yet.

    Raises ConfigError when the model wants pictures or a channel that the options lack.
    """
    if context.window is None:
        raise ConfigError([FieldError("/source/kind", "kind", "the model takes pictures")])
    known = options.columns or tuple(options.channels)
    missing = [name for name in context.window.channels if name not in known]
    if missing:
        message = f"the model takes {', '.join(missing)}; there are {', '.join(known)}"
        field = "columns" if options.columns else "channels"
        raise ConfigError([FieldError(f"/source/{field}", "missing", message)])
    return MqttSensorSource(options, context, context.window)


def _topics(options: Options, shape: WindowPreprocess) -> list[_Topic]:
    """Return the topics of the model's channels, and what to read from each."""
    if options.columns:
        picked = tuple(options.columns.index(name) for name in shape.channels)
        table = Table(len(options.columns), picked, options.pointer)
        everything = tuple(range(len(picked)))
        return [_Topic(str(options.topic), _layout(options, table), everything)]
    by_topic: dict[str, list[int]] = {}
    for column, name in enumerate(shape.channels):
        by_topic.setdefault(str(options.channels[name].topic or options.topic), []).append(column)
    return [
        _Topic(topic, _layout(options, _fields(options, shape, columns)), tuple(columns))
        for topic, columns in by_topic.items()
    ]


def _fields(options: Options, shape: WindowPreprocess, columns: list[int]) -> Fields | Table:
    if options.format == "float32":
        return Table(1, (0,))
    return Fields(tuple(options.channels[shape.channels[each]].pointer for each in columns))


def _layout(options: Options, values: Fields | Table) -> Layout:
    return Layout(
        format=options.format,
        values=values,
        time=options.time,
        time_unit=options.time_unit,
        part_id=options.part_id,
        max_samples=options.max_samples,
    )


def _timing(options: Options) -> Timing:
    return Timing(
        clock=options.clock,
        tolerance_ns=_nanoseconds(options.tolerance_ms),
        pause_ns=_nanoseconds(options.pause_ms),
        rate_tolerance=options.rate_tolerance,
    )


def _joiner(
    options: Options, topics: list[_Topic], shape: WindowPreprocess, counters: Counters
) -> Joiner | None:
    if len(topics) == 1:
        return None
    period_ns = round(1e9 / shape.rate_hz)
    rule = JoinRule(
        period_ns=period_ns,
        wait_ns=_nanoseconds(options.wait_ms) or max(1_000_000_000, 2 * period_ns),
        tolerance_ns=_nanoseconds(options.tolerance_ms),
        whole_messages=options.clock == "arrival",
    )
    return Joiner([topic.columns for topic in topics], rule, counters)


def _nanoseconds(milliseconds: float | None) -> int:
    return round((milliseconds or 0.0) * 1e6)
