"""Messages come whole and in order, whichever of the two ways they take."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.mqtt.broker import BrokerOptions, Connection, Message, Subscription
from edge_agent.mqtt.receiving import READ_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from tests.conftest import Mosquitto, Recorder, WaitFor

SIZES = (0, 1, 100, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 3 * READ_BYTES, 5)


def receiver(
    mosquitto: Mosquitto,
    handle: Callable[[Message], None],
    protocol: Literal["5", "3.1.1"] = "5",
) -> Connection:
    options = BrokerOptions(host=mosquitto.host, port=mosquitto.port, protocol=protocol)
    subscriptions = [Subscription("in/#", 1, handle)]
    connection = Connection(options, "receiver", subscriptions=subscriptions)
    connection.start()
    return connection


def check_sizes(
    mosquitto: Mosquitto, client: Recorder, wait_for: WaitFor, protocol: Literal["5", "3.1.1"]
) -> None:
    heard: list[bytes] = []
    connection = receiver(mosquitto, lambda message: heard.append(message.payload), protocol)
    wait_for(lambda: connection.connected)
    payloads = [bytes([number]) * size for number, size in enumerate(SIZES)]
    for payload in payloads:
        client.publish("in/size", payload, qos=0)
    wait_for(lambda: len(heard) == len(payloads))
    connection.stop()
    assert heard == payloads


def test_messages_of_any_size_come_whole_on_mqtt_5(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    check_sizes(mosquitto, mqtt_client, wait_for, "5")


def test_messages_of_any_size_come_whole_on_mqtt_3_1_1(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    check_sizes(mosquitto, mqtt_client, wait_for, "3.1.1")


def test_plain_acknowledged_and_described_messages_keep_their_order(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    connection = receiver(mosquitto, heard.append)
    wait_for(lambda: connection.connected)
    described = Properties(PacketTypes.PUBLISH)
    described.ResponseTopic = "answers"
    described.CorrelationData = b"7"
    mqtt_client.publish("in/plain", b"1", qos=0)
    mqtt_client.publish("in/acknowledged", b"2", qos=1)
    mqtt_client.publish("in/described", b"3", qos=0, properties=described)
    mqtt_client.publish("in/plain", b"4", qos=0)
    wait_for(lambda: len(heard) == 4)
    connection.stop()
    assert [message.payload for message in heard] == [b"1", b"2", b"3", b"4"]
    assert (heard[2].response_topic, heard[2].correlation) == ("answers", b"7")
    assert heard[3].response_topic is None


def test_a_flood_of_messages_does_not_keep_a_publish_waiting(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    heard: list[bytes] = []
    heard_before_it_came: list[int] = []
    flood_is_sent = threading.Event()

    def handle(message: Message) -> None:
        heard.append(message.payload)
        if len(heard) == 1:
            connection.publish("out", b"in between")
            flood_is_sent.wait(60)  # from here on there is always something to read
        if not heard_before_it_came and mqtt_client.messages:
            heard_before_it_came.append(len(heard))

    mqtt_client.subscribe("out")
    connection = receiver(mosquitto, handle)
    wait_for(lambda: connection.connected)
    sent = [b"%d" % number for number in range(20_000)]
    for payload in sent:
        last = mqtt_client.client.publish("in/flood", payload, qos=0)
    last.wait_for_publish(60)
    flood_is_sent.set()
    wait_for(lambda: len(heard) == len(sent))
    connection.stop()
    assert heard == sent
    assert heard_before_it_came, "it came after the flood"
