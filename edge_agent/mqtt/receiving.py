"""What is received, read in large pieces, and the plainest of messages taken on a short way.

paho asks the kernel many times for one message, copies it again and again, and builds a table of
all properties there are: 60 us for a sensor's message where 10 do, and for a picture 300 us that
its verdict comes later. Here bytes are read into one buffer; a PUBLISH at QoS 0 without properties
(pictures, samples) is taken from it at once; every other packet is handed to paho, whole.
"""

from __future__ import annotations

import logging
import ssl
import time
from typing import TYPE_CHECKING, Any

from edge_agent.errors import EdgeAgentError, NotConnected
from edge_agent.mqtt.broker_options import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.metrics import Counters
    from edge_agent.mqtt.routes import Routes

log = logging.getLogger(__name__)

READ_BYTES = 1 << 17
# MQTT 5.0, 2.1.1: kind and flags, a length of one to four bytes; 3.3: PUBLISH.
KIND_BITS, PUBLISH, QOS_BITS, RETAIN_BIT = 0xF0, 0x30, 0x06, 0x01
# 3.4: the number of the message, and a reason code, without which it says success.
PUBACK, PUBACK_BYTES = 0x40, 2
LENGTH_BYTES_MOST = 4
SUCCESS = 0  # paho's MQTT_ERR_SUCCESS


class Receiving:
    """Stands between one paho client and its socket. Used by the thread that runs the client."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401  paho has its home elsewhere
        routes: Routes,
        counters: Counters,
        acked: Callable[[int, int], None],
        *,
        speaks_5: bool,
        most_bytes: int,
    ) -> None:
        """`acked(mid, code)`: an answer to a publish. Over `most_bytes` ends the connection."""
        self._client = client
        self._routes = routes
        self._counters = counters
        self._acked = acked
        self._speaks_5 = speaks_5
        self._most_bytes = most_bytes
        self._space = bytearray(READ_BYTES)
        self._begin = self._end = 0  # of what was read and not taken yet
        self._for_paho = b""
        self._trouble: OSError | None = None
        # paho offers no public way to either; it looks both up on the client at each use.
        self._read_by_paho: Callable[[], Any] = client.loop_read
        client.loop_read = self._read
        client._sock_recv = self._give  # noqa: SLF001

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

    def _read(self, _max_packets: int = 1) -> Any:  # noqa: ANN401  paho's result
        """Read once, and take all packets that are complete. Raises NotConnected: too long."""
        try:
            with memoryview(self._space) as view:
                count = self._client.socket().recv_into(view[self._end :])
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return SUCCESS
        except (OSError, AttributeError) as error:  # AttributeError: closed meanwhile
            self._trouble = error if isinstance(error, OSError) else ConnectionError(str(error))
            return self._read_by_paho()
        if not count:
            self._trouble = ConnectionError("closed")
            return self._read_by_paho()
        self._end += count
        return self._take_packets()

    def _take_packets(self) -> Any:  # noqa: ANN401  paho's result
        result = SUCCESS
        while result == SUCCESS and (body := self._body()) is not None:
            begin, end = body
            if end > self._end:
                self._make_room(end - self._begin)
                return result
            kind = self._space[self._begin]
            if not self._take(kind, begin, end):
                self._for_paho = bytes(self._space[self._begin : end])
                result = self._read_by_paho()
            self._begin = end
        if self._begin == self._end:
            self._begin = self._end = 0
            if len(self._space) > READ_BYTES:
                self._space = bytearray(READ_BYTES)  # one long message is no reason to keep so much
        elif self._begin:
            self._make_room(0)
        return result

    def _body(self) -> tuple[int, int] | None:
        """Return where the body of the next packet begins and ends; None: not known yet."""
        length = shift = 0
        at = self._begin + 1
        while at < self._end:
            digit = self._space[at]
            length |= (digit & 0x7F) << shift
            shift += 7
            at += 1
            if digit < 0x80:  # noqa: PLR2004  the last byte of the length
                if length > self._most_bytes:
                    self._counters.add("received_too_large")
                    raise NotConnected(f"a message larger than {self._most_bytes} bytes came")
                return at, at + length
            if shift > 7 * (LENGTH_BYTES_MOST - 1):
                raise NotConnected("what came is not MQTT")
        return None

    def _take(self, kind: int, begin: int, end: int) -> bool:
        """Take a packet if it is of the common sorts; return whether it was."""
        if kind & KIND_BITS == PUBLISH:
            return self._take_plain(kind, begin, end)
        return kind == PUBACK and self._take_puback(begin, end)

    def _take_puback(self, begin: int, end: int) -> bool:
        """Pass on the answer to what paho knows nothing of (sending.py)."""
        if end - begin < PUBACK_BYTES:
            return False
        space = self._space
        self._client._last_bytes_received = time.monotonic()  # noqa: SLF001  for paho's keepalive
        code = space[begin + PUBACK_BYTES] if end - begin > PUBACK_BYTES else SUCCESS
        self._acked(space[begin] << 8 | space[begin + 1], code)
        return True

    def _take_plain(self, kind: int, begin: int, end: int) -> bool:
        """Pass a PUBLISH on if it is of the plain sort; return whether it was."""
        space = self._space
        topic_begin = begin + 2
        topic_end = topic_begin + (space[begin] << 8 | space[begin + 1]) if begin + 2 <= end else 0
        payload_begin = topic_end + 1 if self._speaks_5 else topic_end
        if kind & QOS_BITS or topic_end <= topic_begin or payload_begin > end:
            return False
        if self._speaks_5 and space[topic_end]:  # the length of the properties
            return False
        with memoryview(space) as view:
            topic, payload = bytes(view[topic_begin:topic_end]), bytes(view[payload_begin:end])
        self._client._last_bytes_received = time.monotonic()  # noqa: SLF001  for paho's keepalive
        self.pass_on(topic, payload, bool(kind & RETAIN_BIT))
        return True

    def _make_room(self, packet_bytes: int) -> None:
        """Move what is left to the front of a buffer that holds one packet of this length."""
        if not self._begin and packet_bytes <= len(self._space):
            return
        left = self._space[self._begin : self._end]
        if packet_bytes > len(self._space):
            self._space = bytearray(packet_bytes)
        self._space[: len(left)] = left
        self._begin, self._end = 0, len(left)

    def _give(self, most: int) -> bytes:
        """Give paho what it asks for; it is only asked to read where there is a packet for it."""
        if self._trouble is not None:
            raise self._trouble
        if not self._for_paho:
            raise BlockingIOError
        given, self._for_paho = self._for_paho[:most], self._for_paho[most:]
        return given
