"""Pictures over MQTT, through a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.errors import BadInput, EndOfStream, NotConnected
from edge_agent.sources.mqtt_image import Options
from tests.sources import create, frames, read_all, read_one, source_context

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, Recorder, WaitFor


def jpeg(grey: int = 100) -> bytes:
    encoded: bytes = cv2.imencode(".jpg", np.full((80, 160, 3), grey, np.uint8))[1].tobytes()
    return encoded


def test_a_picture_is_decoded_and_knows_its_topic_and_part(
    mosquitto: Mosquitto, mqtt_client: Recorder
) -> None:
    source = create(
        source_context(mosquitto), kind="mqtt_image", topic="cell/+/cam", part_id_level=1
    )
    source.connect()
    mqtt_client.publish("cell/part-7/cam", jpeg())
    [item] = frames([read_one(source)])
    assert item.pixels.shape == (80, 160, 3)
    assert item.part_id == "part-7"
    assert item.origin == "cell/part-7/cam"
    source.close()


def test_by_default_the_newest_picture_wins_and_the_others_are_counted(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    context = source_context(mosquitto)
    source = create(context, kind="mqtt_image", topic="cam", qos=1)
    source.connect()
    for grey in range(10, 60, 10):
        mqtt_client.publish("cam", jpeg(grey))
    wait_for(lambda: context.counters.totals().get("dropped_overtaken") == 4)
    [item] = frames([read_one(source)])
    assert round(float(item.pixels.mean())) == 50
    assert item.index == 4
    assert source.read(0) is None
    source.close()


def test_a_deeper_queue_keeps_every_picture_in_order(
    mosquitto: Mosquitto, mqtt_client: Recorder
) -> None:
    context = source_context(mosquitto)
    source = create(context, kind="mqtt_image", topic="cam", qos=1, queue=5)
    source.connect()
    for grey in range(10, 60, 10):
        mqtt_client.publish("cam", jpeg(grey))
    items = frames([read_one(source) for _ in range(5)])
    assert [round(float(item.pixels.mean())) for item in items] == [10, 20, 30, 40, 50]
    assert context.counters.totals() == {}
    source.close()


@pytest.mark.parametrize(
    ("payload", "reason"),
    [(b"no picture", "undecodable"), (jpeg()[:-20], "truncated")],
)
def test_garbage_is_reported_with_its_topic_and_the_next_picture_comes(
    mosquitto: Mosquitto, mqtt_client: Recorder, payload: bytes, reason: str
) -> None:
    source = create(source_context(mosquitto), kind="mqtt_image", topic="cam", qos=1, queue=2)
    source.connect()
    mqtt_client.publish("cam", payload)
    mqtt_client.publish("cam", jpeg())
    with pytest.raises(BadInput, match=f"{reason}: cam: ") as error:
        read_one(source)
    assert error.value.reason == reason
    assert read_one(source).index == 1
    source.close()


def test_empty_large_and_retained_messages_are_dropped_and_counted(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    context = source_context(mosquitto)
    mqtt_client.publish("cam/old", jpeg(), retain=True)
    source = create(context, kind="mqtt_image", topic="cam/#", qos=1, max_bytes=2000)
    source.connect()
    mqtt_client.publish("cam/new", b"")
    mqtt_client.publish("cam/new", bytes(2001))
    counted = {"dropped_retained": 1, "dropped_empty": 1, "dropped_too_large": 1}
    wait_for(lambda: context.counters.totals() == counted)
    mqtt_client.publish("cam/new", jpeg())
    assert read_one(source).index == 3
    source.close()


def test_a_picture_bomb_is_refused_before_it_is_decoded(
    mosquitto: Mosquitto, mqtt_client: Recorder
) -> None:
    ihdr = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (100_000).to_bytes(4, "big") * 2
    source = create(source_context(mosquitto), kind="mqtt_image", topic="cam", qos=1)
    source.connect()
    mqtt_client.publish("cam", ihdr + b"\x08\x02\0\0\0" + bytes(200))
    with pytest.raises(BadInput) as error:
        read_one(source)
    assert error.value.reason == "too_large"
    source.close()


def test_pictures_that_arrived_before_a_stop_are_still_handed_out(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    context = source_context(mosquitto)
    source = create(context, kind="mqtt_image", topic="cam", qos=1, queue=3)
    source.connect()
    for _ in range(4):
        mqtt_client.publish("cam", jpeg())
    wait_for(lambda: context.counters.totals() == {"dropped_overtaken": 1})
    source.close()
    assert [item.index for item in read_all(source)] == [1, 2, 3]


def test_a_broker_that_goes_and_returns_is_waited_for(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    source = create(source_context(mosquitto), kind="mqtt_image", topic="cam", qos=1)
    source.connect()
    mosquitto.stop()
    with pytest.raises(NotConnected, match="broker"):
        read_all(source, 2)
    with pytest.raises(NotConnected):
        source.connect()
    mosquitto.start()
    wait_for(lambda: _connects(source))
    wait_for(mqtt_client.client.is_connected)
    mqtt_client.publish("cam", jpeg())
    assert read_one(source).index == 0
    source.close()


def _connects(source: object) -> bool:
    try:
        source.connect()  # type: ignore[attr-defined]
    except NotConnected:
        return False
    return True


def test_closing_before_connecting_is_an_end_and_no_error(mosquitto: Mosquitto) -> None:
    source = create(source_context(mosquitto), kind="mqtt_image", topic="cam")
    source.close()
    source.connect()
    with pytest.raises(EndOfStream):
        source.read(0)


@pytest.mark.parametrize("topic", ["", "a/#/b", "a/b+", "a#", "x" * 1025, "a\0b"])
def test_topics_that_no_broker_takes_are_refused(topic: str) -> None:
    with pytest.raises(ValidationError, match="topic"):
        Options.model_validate({"kind": "mqtt_image", "topic": topic})


@pytest.mark.parametrize("topic", ["a", "#", "+", "a/+/b/#", "/a//b", "$SYS/x"])
def test_topic_filters_are_taken(topic: str) -> None:
    assert Options.model_validate({"kind": "mqtt_image", "topic": topic}).topic == topic
