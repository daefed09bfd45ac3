"""Pictures over MQTT: one JPEG, PNG or other picture file per message."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge_agent.errors import BadInput
from edge_agent.mqtt.ingest import Ingest
from edge_agent.options import StrictOptions, TopicFilter
from edge_agent.pictures import image
from edge_agent.sources.base import gives_pictures
from edge_agent.types import Frame

if TYPE_CHECKING:
    from edge_agent.mqtt.broker import Message
    from edge_agent.sources.base import Capture, SourceContext


class Options(StrictOptions):
    """Pictures over MQTT."""

    kind: Literal["mqtt_image"]
    topic: TopicFilter
    """May hold the wildcards + and #."""
    qos: Literal[0, 1] = 0
    queue: Annotated[int, Field(ge=1, le=1024)] = 1
    """Pictures that may wait; when one more comes the oldest is dropped. 1: the newest wins."""
    part_id_level: Annotated[int, Field(ge=0, le=127)] | None = None
    """The level of the topic, counted from 0, that names the part."""
    max_bytes: Annotated[int, Field(ge=1, le=1 << 28)] = 16 << 20
    """Larger messages are dropped unread."""


@dataclass(frozen=True, slots=True)
class _Arrived:
    payload: bytes
    topic: str
    index: int
    wall_ns: int
    mono_ns: int


class MqttImageSource:
    """Receives in the network's thread, decodes in the reader's: what is overtaken costs nothing.

    Counts `dropped_empty`, `dropped_too_large`, `dropped_retained` and `dropped_overtaken`.
    """

    capture: Capture = "inline"

    def __init__(self, options: Options, context: SourceContext) -> None:
        self._options = options
        self._counters = context.counters
        self._index = 0
        self._ingest: Ingest[_Arrived] = Ingest(
            context, {options.topic: self._receive}, qos=options.qos, depth=options.queue
        )

    def connect(self) -> None:
        """Subscribe. Raises NotConnected."""
        self._ingest.connect()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next picture. Raises NotConnected, BadInput and EndOfStream."""
        arrived = self._ingest.read(timeout_s)
        if arrived is None:
            return None
        part_id = _level(arrived.topic, self._options.part_id_level)
        try:
            pixels = image.decode(arrived.payload)
        except BadInput as error:
            raise BadInput(error.reason, f"{arrived.topic}: {error.detail}", part_id) from None
        return Frame(
            pixels=pixels,
            captured_ns=arrived.wall_ns,
            captured_mono_ns=arrived.mono_ns,
            index=arrived.index,
            part_id=part_id,
            origin=arrived.topic,
        )

    def close(self) -> None:
        """Receive nothing more; pictures that arrived are still handed out."""
        self._ingest.close()

    def _receive(self, message: Message) -> None:
        arrived = _Arrived(
            message.payload, message.topic, self._index, time.time_ns(), time.monotonic_ns()
        )
        self._index += 1
        if message.retain:
            # The broker keeps it from some time ago: that part is long gone.
            self._counters.add("dropped_retained")
        elif not message.payload:
            self._counters.add("dropped_empty")
        elif len(message.payload) > self._options.max_bytes:
            self._counters.add("dropped_too_large")
        else:
            self._ingest.put(arrived)


def create(options: Options, context: SourceContext) -> MqttImageSource:
    """Build the source; connects to nothing yet. Raises ConfigError."""
    gives_pictures(context)
    return MqttImageSource(options, context)


def _level(topic: str, level: int | None) -> str | None:
    levels = topic.split("/")
    return levels[level] if level is not None and level < len(levels) else None
