"""What a connection receives, and what a handler may do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paho.mqtt.properties as mqtt_properties
import pytest
from paho.mqtt.packettypes import PacketTypes

from edge_agent.errors import BadInput
from edge_agent.mqtt.broker import (
    BrokerOptions,
    Connection,
    Message,
    Subscription,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mosquitto, Recorder, WaitFor

from tests.broker.conftest import CONNACK_311, Connect, Scripted, at


def test_received_messages_go_to_every_handler_whose_topic_matches(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    exact: list[Message] = []
    wild: list[Message] = []
    connection, _ = connect(
        at(mosquitto),
        subscriptions=[
            Subscription("in/1", 1, exact.append),
            Subscription("in/2", 0, wild.append),
            Subscription("in/1", 0, wild.append),
        ],
    )
    wait_for(lambda: connection.connected)
    properties = mqtt_properties.Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic = "answer"
    properties.CorrelationData = b"42"
    mqtt_client.publish("in/1", b"x", properties=properties)
    mqtt_client.publish("in/2", b"y")
    wait_for(lambda: len(wild) == 2)
    assert exact == [
        Message("in/1", b"x", retain=False, response_topic="answer", correlation=b"42")
    ]
    assert [message.topic for message in wild] == ["in/1", "in/2"]


def test_a_retained_message_is_marked_as_such(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    mqtt_client.publish("cmd", b"old", retain=True)
    heard: list[Message] = []
    connect(at(mosquitto), subscriptions=[Subscription("#", 1, heard.append)])
    assert wait_for(lambda: heard)[0].retain


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_received_message_over_the_limit_never_fills_memory(
    protocol: str, mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    connection, trace = connect(
        at(mosquitto, protocol=protocol, max_packet_bytes=100_000),
        subscriptions=[Subscription("in", 1, heard.append)],
    )
    wait_for(lambda: connection.connected)
    mqtt_client.publish("in", b"x" * 30_000_000)
    if protocol == "3.1.1":  # MQTT 5 brokers know the limit and do not send it
        wait_for(lambda: trace.events == ["connected", "lost", "connected"])
        assert connection.counters.totals() == {"received_too_large": 1}
    mqtt_client.publish("in", b"small")
    wait_for(lambda: heard)
    assert [message.payload for message in heard] == [b"small"]


def test_a_handler_that_meets_bad_input_costs_only_that_message(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    heard: list[bytes] = []

    def handle(message: Message) -> None:
        if message.payload == b"bad":
            raise BadInput("truncated")
        heard.append(message.payload)

    connection, trace = connect(at(mosquitto), subscriptions=[Subscription("in", 1, handle)])
    wait_for(lambda: connection.connected)
    mqtt_client.publish("in", b"bad")
    mqtt_client.publish("in", b"good")
    wait_for(lambda: heard == [b"good"])
    assert trace.events == ["connected"]
    assert connection.counters.totals() == {"handler_refused": 1}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_in_a_handler_is_reported_and_the_connection_opens_again(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    heard: list[bytes] = []

    def handle(message: Message) -> None:
        heard.append(message.payload)
        if message.payload == b"bug":
            raise KeyError("bug")

    connection, trace = connect(at(mosquitto), subscriptions=[Subscription("in", 0, handle)])
    wait_for(lambda: connection.connected)
    mqtt_client.publish("in", b"bug", qos=0)
    wait_for(lambda: trace.events == ["connected", "lost", "connected"])
    mqtt_client.publish("in", b"good")
    wait_for(lambda: heard == [b"bug", b"good"])


def test_a_session_that_outlives_the_connection_keeps_messages_for_us(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    subscriptions = [Subscription("cmd", 1, heard.append)]
    options = at(mosquitto)
    first = Connection(options, "same", subscriptions=subscriptions, session_expiry_s=60)
    first.start()
    wait_for(lambda: first.connected)
    first.stop()
    mqtt_client.publish("cmd", b"while away")
    second = Connection(options, "same", subscriptions=subscriptions, session_expiry_s=60)
    second.start()
    wait_for(lambda: heard)
    second.stop()
    assert heard[0].payload == b"while away"


def test_a_refused_subscription_is_named_while_the_rest_works(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    suback = bytes.fromhex("90 04 00 01 01 80")
    server = scripted(CONNACK_311 + suback, keep_open=True)
    subscriptions = [Subscription(topic, 1, lambda _: None) for topic in ("mine", "secret")]
    connection, _ = connect(
        BrokerOptions(port=server.port, protocol="3.1.1"), subscriptions=subscriptions
    )
    wait_for(lambda: connection.connected)
    assert connection.detail == "not allowed to subscribe to secret"


def test_a_subscription_that_is_refused_later_is_named_until_nobody_wants_it(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(CONNACK_311 + bytes.fromhex("90 03 00 01 01"), keep_open=True)
    mine, secret, other = (
        Subscription(topic, 1, lambda _: None) for topic in ("mine", "secret", "other")
    )
    connection, trace = connect(
        BrokerOptions(port=server.port, protocol="3.1.1"), subscriptions=[mine]
    )
    wait_for(lambda: connection.connected)
    assert connection.detail == ""
    connection.resubscribe([mine, secret, other])
    server.say("90 04 00 02 80 01")
    wait_for(lambda: connection.detail == "not allowed to subscribe to secret")
    connection.resubscribe([mine, other])
    assert connection.detail == ""
    assert trace.events == ["connected"]
