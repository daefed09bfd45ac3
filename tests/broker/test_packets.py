"""Pure functions: topics that match, properties as bytes."""

from __future__ import annotations

import paho.mqtt.properties as mqtt_properties
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes

from edge_agent.mqtt.properties import publish_properties
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
    packed = publish_properties(content_type, pairs)
    if packed is None:
        assert not content_type
        assert not pairs
        return
    read = mqtt_properties.Properties(PacketTypes.PUBLISH)
    read.unpack(packed.pack())
    assert getattr(read, "ContentType", "") == content_type
    assert getattr(read, "UserProperty", []) == pairs


def test_text_that_a_broker_would_close_over_is_cleaned() -> None:
    packed = publish_properties("a\x00b", [("\ud800", "x")])
    assert packed is not None
    assert packed.pack() == b"\x0c\x03\x00\x02ab\x26\x00\x01?\x00\x01x"
