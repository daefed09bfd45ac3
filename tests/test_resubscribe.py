"""What a connection subscribes to may change while it is open, and while it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.mqtt.broker import BrokerOptions, Connection, Message, Subscription
from edge_agent.mqtt.paho_client import new_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paho.mqtt.client as paho

    from edge_agent.mqtt.broker_options import Plan
    from tests.conftest import Mosquitto, Recorder, WaitFor


class Hearing:
    """A connection that notes what it hears."""

    def __init__(self, mosquitto: Mosquitto, *topics: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.opened = 0
        self.connection = Connection(
            BrokerOptions(host=mosquitto.host, port=mosquitto.port),
            "hearing",
            subscriptions=self.all(*topics),
            on_connected=self._opened,
        )

    def all(self, *topics: str) -> list[Subscription]:
        return [Subscription(topic, 1, self._hear) for topic in topics]

    def _hear(self, message: Message) -> None:
        self.heard.append((message.topic, message.payload))

    def _opened(self) -> None:
        self.opened += 1


@pytest.fixture
def hearing(mosquitto: Mosquitto, wait_for: WaitFor) -> Iterator[Hearing]:
    hearing = Hearing(mosquitto, "a", "b")
    hearing.connection.start()
    wait_for(lambda: hearing.connection.connected)
    yield hearing
    hearing.connection.stop()


def test_what_is_added_is_heard_and_what_is_gone_is_not(
    hearing: Hearing, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.publish("c", "kept", retain=True)
    hearing.connection.resubscribe(hearing.all("b", "c"))
    wait_for(lambda: ("c", b"kept") in hearing.heard)
    for topic in ("a", "b", "c"):
        mqtt_client.publish(topic, "now")
    wait_for(lambda: ("c", b"now") in hearing.heard)
    assert hearing.heard == [("c", b"kept"), ("b", b"now"), ("c", b"now")]
    assert hearing.opened == 1


def test_what_stays_subscribed_misses_nothing_and_hears_nothing_twice(
    hearing: Hearing, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.publish("a", "0", retain=True)
    for number in range(1, 100):
        hearing.connection.resubscribe(hearing.all("a", f"other/{number}"))
        mqtt_client.publish("a", str(number), retain=number == 99)
    wait_for(lambda: ("a", b"99") in hearing.heard)
    assert hearing.heard == [("a", str(number).encode()) for number in range(100)]


def test_what_is_asked_for_while_a_connection_is_made_is_subscribed_to(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hearing = Hearing(mosquitto, "a")

    def meanwhile(plan: Plan) -> paho.Client:
        hearing.connection.resubscribe(hearing.all("b"))
        return new_client(plan)

    monkeypatch.setattr("edge_agent.mqtt.client.new_client", meanwhile)
    hearing.connection.start()
    wait_for(lambda: hearing.connection.connected)
    for topic in ("a", "b"):
        mqtt_client.publish(topic, "now")
    wait_for(lambda: hearing.heard)
    assert hearing.heard == [("b", b"now")]
    hearing.connection.stop()


def test_the_next_connection_subscribes_to_what_was_asked_for_last(
    hearing: Hearing, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    hearing.connection.resubscribe(hearing.all("c"))
    mosquitto.stop()
    wait_for(lambda: not hearing.connection.connected)
    hearing.connection.resubscribe(hearing.all("d"))
    mosquitto.start()
    wait_for(lambda: hearing.opened == 2)
    wait_for(mqtt_client.client.is_connected)
    for topic in ("c", "d"):
        mqtt_client.publish(topic, "now")
    wait_for(lambda: hearing.heard)
    assert hearing.heard == [("d", b"now")]
