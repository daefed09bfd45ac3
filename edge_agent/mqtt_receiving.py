"""What is received, read in large pieces, and the plainest of messages taken on a short way.

paho asks the kernel three times and builds a table of all properties there are for every message:
60 us where 10 do. Here bytes are read 64 kB at a time, and a PUBLISH at QoS 0 without properties
(pictures, samples) is taken apart at once; paho sees to all others.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from edge_agent.broker_options import Message
from edge_agent.errors import EdgeAgentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.metrics import Counters
    from edge_agent.topic_routes import Routes

log = logging.getLogger(__name__)

READ_BYTES = 1 << 16
# MQTT 5.0, 3.3.1 and 3.3.2: flags in the first byte; the topic follows its length.
QOS_BITS, RETAIN_BIT = 0x06, 0x01
TOPIC_BEGIN = 2
SUCCESS = 0  # paho's MQTT_ERR_SUCCESS


class Receiving:
    """Stands between one paho client and its socket. Used by the thread that runs the client."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401  paho has its home elsewhere
        routes: Routes,
        counters: Counters,
        *,
        speaks_5: bool,
    ) -> None:
        self._client = client
        self._routes = routes
        self._counters = counters
        self._speaks_5 = speaks_5
        # paho offers no public way to either; it looks both up on the client at each use.
        self._read_socket: Callable[[int], bytes] = client._sock_recv  # noqa: SLF001
        self._handle: Callable[[], Any] = client._handle_publish  # noqa: SLF001
        self._buffer = b""
        self._at = 0
        client._sock_recv = self._read  # noqa: SLF001
        client._handle_publish = self._publish  # noqa: SLF001

    @property
    def pending(self) -> bool:
        """Whether something was read that paho has not asked for yet: no socket shows it."""
        return self._at < len(self._buffer)

    def pass_on(
        self,
        raw_topic: bytes,
        payload: bytes,
        retain: bool,  # noqa: FBT001  as in the packet
        response_topic: str | None = None,
        correlation: bytes | None = None,
    ) -> None:
        """Hand one message to whoever subscribed to its topic."""
        try:
            topic = raw_topic.decode()
        except UnicodeDecodeError:
            self._counters.add("received_bad_topic")
            return
        received = Message(topic, payload, retain, response_topic, correlation)
        for handle in self._routes.handlers(topic):
            try:
                handle(received)
            except EdgeAgentError as error:
                self._counters.add("handler_refused")
                log.debug("broker: %s: message refused: %s", topic, error)

    def _read(self, most: int) -> bytes:
        """Return up to `most` bytes, b"" at the end; raise what paho's own does."""
        if self._at >= len(self._buffer):
            self._buffer, self._at = b"", 0  # what follows may raise
            self._buffer = self._read_socket(max(most, READ_BYTES))
        begin = self._at
        self._at = min(begin + most, len(self._buffer))
        return self._buffer[begin : self._at]

    def _publish(self) -> Any:  # noqa: ANN401  paho's result
        received = self._client._in_packet  # noqa: SLF001
        command, packet = received["command"], received["packet"]
        topic_end = 2 + int.from_bytes(packet[:2], "big")
        begin = topic_end + 1 if self._speaks_5 else topic_end
        plain = (
            not command & QOS_BITS
            and topic_end > TOPIC_BEGIN
            and begin <= len(packet)
            and (begin == topic_end or not packet[topic_end])  # the length of the properties
        )
        if not plain:
            return self._handle()
        retain = bool(command & RETAIN_BIT)
        self.pass_on(
            bytes(packet[TOPIC_BEGIN:topic_end]), bytes(memoryview(packet)[begin:]), retain
        )
        return SUCCESS
