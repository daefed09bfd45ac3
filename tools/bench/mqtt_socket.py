"""A client of MQTT 3.1.1 on a bare socket: what drives the load must cost next to nothing.

QoS 0 both ways, no keepalive; enough for a broker on loopback that is there for this alone.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, SUBSCRIBE, SUBACK = 0x10, 0x20, 0x30, 0x82, 0x90
RECEIVE_BYTES = 1 << 18
ANSWER_S = 10.0


@dataclass(frozen=True, slots=True)
class Received:
    """One PUBLISH, and when it was read (time.perf_counter)."""

    topic: str
    payload: bytes
    at_s: float


class MqttSocket:
    """One connection. One thread uses it."""

    def __init__(self, host: str, port: int, client_id: str) -> None:
        self._socket = socket.create_connection((host, port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._waiting: list[Received] = []
        clean_session = 2
        body = _text("MQTT") + bytes((4, clean_session, 0, 0)) + _text(client_id)
        self._socket.sendall(bytes((CONNECT,)) + _length(len(body)) + body)
        self._await(CONNACK)

    def subscribe(self, *patterns: str) -> None:
        """Subscribe, and wait until the broker has agreed."""
        body = b"\x00\x01" + b"".join(_text(pattern) + b"\x00" for pattern in patterns)
        self._socket.sendall(bytes((SUBSCRIBE,)) + _length(len(body)) + body)
        self._await(SUBACK)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send one message."""
        self.send(packet(topic, payload))

    def send(self, packets: bytes) -> None:
        """Send what `packet` has made, any number of them."""
        self._socket.sendall(packets)

    def receive(self, timeout_s: float) -> list[Received]:
        """Return what has come, or what comes first within `timeout_s`."""
        if not self._waiting and select.select([self._socket], [], [], max(0.0, timeout_s))[0]:
            self._read()
        received, self._waiting = self._waiting, []
        return received

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _await(self, kind: int) -> None:
        deadline_s = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline_s:
            if select.select([self._socket], [], [], ANSWER_S)[0] and kind in self._read():
                return
        raise TimeoutError(f"the broker sent no packet of kind {kind:#x}")

    def _read(self) -> list[int]:
        """Read once; return the kinds of packets that are complete, keep what was published."""
        chunk = self._socket.recv(RECEIVE_BYTES)
        if not chunk:
            raise ConnectionError("the broker closed the connection")
        at_s = time.perf_counter()
        self._buffer += chunk
        kinds: list[int] = []
        begin = 0
        while (ends := _packet_at(self._buffer, begin)) is not None:
            body, end = ends
            kinds.append(self._buffer[begin] & 0xF0)
            if kinds[-1] == PUBLISH:
                topic_end = body + 2 + int.from_bytes(self._buffer[body : body + 2], "big")
                topic = self._buffer[body + 2 : topic_end].decode()
                self._waiting.append(Received(topic, bytes(self._buffer[topic_end:end]), at_s))
            begin = end
        del self._buffer[:begin]
        return kinds


def packet(topic: str, payload: bytes) -> bytes:
    """Return a PUBLISH at QoS 0."""
    head = _text(topic)
    return b"".join((bytes((PUBLISH,)), _length(len(head) + len(payload)), head, payload))


def _packet_at(buffer: bytearray, begin: int) -> tuple[int, int] | None:
    """Return where the body of the packet at `begin` begins and ends; None: it is not all there."""
    length = shift = 0
    for place in range(begin + 1, min(begin + 5, len(buffer))):
        length |= (buffer[place] & 0x7F) << shift
        shift += 7
        if not buffer[place] & 0x80:
            end = place + 1 + length
            return (place + 1, end) if end <= len(buffer) else None
    return None


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _length(length: int) -> bytes:
    digits = bytearray()
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits)
