"""A PUBLISH as bytes, packed at once (MQTT 5.0, 2.2.2 and 3.3).

paho copies the message twice, formats a line for its log, and tries every property there is, in
steps that a processor has forgotten by the next picture.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

PUBLISH, QOS_1, RETAIN = 0x30, 0x02, 0x01
CONTENT_TYPE = b"\x03"
CORRELATION_DATA = b"\x09"
USER_PROPERTY = b"\x26"
TEXT_MOST_BYTES = 0xFFFF
SEVEN_BITS = 0x7F


def publish_packet(
    topic: str, payload: bytes, *, mid: int, retain: bool, properties: bytes
) -> bytes:
    """Return the whole packet, at QoS 1 with the number `mid`, or with 0 at QoS 0.

    `properties` as packed by `publish_properties`; b"" for MQTT 3.1.1, which has none.
    """
    name = _text(topic)
    number = mid.to_bytes(2, "big") if mid else b""
    kind = PUBLISH | (QOS_1 if mid else 0) | (RETAIN if retain else 0)
    length = len(name) + len(number) + len(properties) + len(payload)
    head = bytes((kind,)) + _variable_length(length)
    return b"".join((head, name, number, properties, payload))


def publish_properties(
    content_type: str,
    user_properties: Iterable[tuple[str, str]],
    correlation: bytes | None = None,
) -> bytes:
    """Return the property length and the properties, as they go into an MQTT 5 packet."""
    parts = [CONTENT_TYPE + _text(content_type)] if content_type else []
    if correlation is not None:
        parts.append(CORRELATION_DATA + len(correlation).to_bytes(2, "big") + correlation)
    parts += [USER_PROPERTY + _text(name) + _text(value) for name, value in user_properties]
    body = b"".join(parts)
    return _variable_length(len(body)) + body


@functools.lru_cache(maxsize=256)
def _text(text: str) -> bytes:
    # A broker must close the connection over either (MQTT 5.0, 1.5.4): a loss for all messages.
    encoded = text.replace("\x00", "").encode(errors="replace")
    if len(encoded) > TEXT_MOST_BYTES:
        raise ValueError("a text has at most 65535 bytes in MQTT")
    return len(encoded).to_bytes(2, "big") + encoded


def _variable_length(length: int) -> bytes:
    digits = bytearray()
    while length > SEVEN_BITS:
        digits.append(length & SEVEN_BITS | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits)
