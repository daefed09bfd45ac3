"""What every source over MQTT shares: its connection, its queue, and how both end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import BadInput, EndOfStream, NotConnected
from edge_agent.mqtt.ingest import Ingest
from tests.sources import source_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.mqtt.broker import Message
    from edge_agent.sources.base import SourceContext
    from tests.conftest import Mosquitto, Recorder, WaitFor


class Bench:
    """An ingest that hands out the payloads of topics a and b."""

    def __init__(self, context: SourceContext, depth: int = 10) -> None:
        self.lost = 0
        self.counters = context.counters
        self.ingest: Ingest[bytes] = Ingest(
            context, {"a": self._take, "b": self._take}, qos=1, depth=depth, on_lost=self._lose
        )

    def _take(self, message: Message) -> None:
        if message.payload == b"bad":
            self.ingest.put(BadInput("bad", message.topic))
        else:
            self.ingest.put(message.payload)

    def _lose(self) -> None:
        self.lost += 1


@pytest.fixture
def bench(mosquitto: Mosquitto) -> Iterator[Bench]:
    made = Bench(source_context(mosquitto))
    yield made
    made.ingest.close()


def test_all_topics_arrive_in_one_queue(bench: Bench, mqtt_client: Recorder) -> None:
    bench.ingest.connect()
    for topic, payload in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        mqtt_client.publish(topic, payload)
    assert [bench.ingest.read(10) for _ in range(3)] == [b"1", b"2", b"3"]
    assert bench.ingest.read(0) is None


def test_an_error_that_was_put_is_raised_in_its_turn(bench: Bench, mqtt_client: Recorder) -> None:
    bench.ingest.connect()
    for payload in (b"1", b"bad", b"2"):
        mqtt_client.publish("a", payload)
    assert bench.ingest.read(10) == b"1"
    with pytest.raises(BadInput, match="bad: a"):
        bench.ingest.read(10)
    assert bench.ingest.read(10) == b"2"


def test_connecting_again_while_connected_changes_nothing(
    bench: Bench, mqtt_client: Recorder
) -> None:
    for _ in range(3):
        bench.ingest.connect()
    mqtt_client.publish("a", b"1")
    assert bench.ingest.read(10) == b"1"
    assert bench.ingest.read(0.05) is None


def test_two_agents_of_the_same_name_do_not_throw_each_other_out(
    mosquitto: Mosquitto, mqtt_client: Recorder
) -> None:
    first, second = (Bench(source_context(mosquitto)) for _ in range(2))
    first.ingest.connect()
    second.ingest.connect()
    mqtt_client.publish("a", b"1")
    assert [first.ingest.read(10), second.ingest.read(10)] == [b"1", b"1"]
    assert (first.lost, second.lost) == (0, 0)
    first.ingest.close()
    second.ingest.close()


def test_a_broker_that_goes_is_noticed_told_and_found_again(
    mosquitto: Mosquitto, bench: Bench, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    bench.ingest.connect()
    mqtt_client.publish("a", b"before")
    assert bench.ingest.read(10) == b"before"
    mosquitto.stop()
    wait_for(lambda: bench.lost == 1)
    with pytest.raises(NotConnected, match="broker: "):
        bench.ingest.read(0)
    mosquitto.start()
    wait_for(lambda: connects(bench.ingest.connect))
    wait_for(mqtt_client.client.is_connected)
    mqtt_client.publish("a", b"after")
    assert bench.ingest.read(10) == b"after"


def connects(connect: Callable[[], None]) -> bool:
    try:
        connect()
    except NotConnected:
        return False
    return True


def test_what_is_waiting_is_handed_out_although_the_broker_is_gone(
    mosquitto: Mosquitto, bench: Bench, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    bench.ingest.connect()
    mqtt_client.publish("a", b"1")
    mqtt_client.publish("a", b"2")
    assert bench.ingest.read(10) == b"1"
    mosquitto.stop()
    wait_for(lambda: bench.lost == 1)
    assert bench.ingest.read(10) == b"2"


def test_wrong_credentials_are_named(mosquitto_with: Callable[[str], Mosquitto]) -> None:
    broker = mosquitto_with("allow_anonymous false")
    ingest = Bench(source_context(broker)).ingest
    with pytest.raises(NotConnected, match=r"not auth|refused"):
        ingest.connect()
    ingest.close()


def test_closing_ends_a_connect_that_waits() -> None:
    ingest = Bench(source_context()).ingest
    closing = threading.Timer(0.05, ingest.close)
    closing.start()
    while not connects(ingest.connect):
        pass
    with pytest.raises(EndOfStream):
        ingest.read(10)
    closing.join()
