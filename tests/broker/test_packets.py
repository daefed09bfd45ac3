"""Pure functions: topics that match, properties as bytes."""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as mqtt
import paho.mqtt.properties as mqtt_properties
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes

from edge_agent.mqtt.packets import publish_packet, publish_properties
from edge_agent.mqtt.routes import matches


@pytest.mark.parametrize(
    ("pattern", "topic", "match"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("a/+/c", "a/b/c", True),
        ("a/+", "a", False),
        ("a/+", "a/", True),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("+/b", "/b", True),
        ("#", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a/b/#", "a", False),
    ],
)
def test_wildcards_match_as_the_specification_says(
    pattern: str, topic: str, *, match: bool
) -> None:
    assert matches(pattern, topic) is match


PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60)


@given(content_type=PLAIN, pairs=st.lists(st.tuples(PLAIN, PLAIN), max_size=8))
def test_packed_properties_are_read_back_by_paho(
    content_type: str, pairs: list[tuple[str, str]]
) -> None:
    read = mqtt_properties.Properties(PacketTypes.PUBLISH)
    read.unpack(publish_properties(content_type, pairs))
    assert getattr(read, "ContentType", "") == content_type
    assert getattr(read, "UserProperty", []) == pairs


def test_text_that_a_broker_would_close_over_is_cleaned() -> None:
    packed = publish_properties("a\x00b", [("\ud800", "x")])
    assert packed == b"\x0c\x03\x00\x02ab\x26\x00\x01?\x00\x01x"


@given(
    topic=PLAIN.filter(lambda text: text and not set(text) & set("+#")),
    # The length takes one byte more from 128, 16,384 and 2,097,152 on.
    length=st.one_of(st.integers(0, 300), st.integers(16_200, 16_500), st.just(2_097_200)),
    mid=st.integers(0, 65_535),
    retain=st.booleans(),
    protocol=st.sampled_from([MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5]),
)
def test_a_publish_is_packed_as_paho_would(
    topic: str, length: int, mid: int, protocol: MQTTProtocolVersion, *, retain: bool
) -> None:
    payload = b"x" * length
    packets: list[bytes] = []
    paho: Any = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
    paho._sock = "is there"
    paho._packet_queue = lambda _command, packet, *_: packets.append(bytes(packet))
    paho._last_mid = mid - 1
    paho.publish(topic, payload, qos=1 if mid else 0, retain=retain)
    paho._sock = None
    properties = b"\x00" if protocol == MQTTProtocolVersion.MQTTv5 else b""
    packet = publish_packet(topic, payload, mid=mid, retain=retain, properties=properties)
    assert packets == [packet]
