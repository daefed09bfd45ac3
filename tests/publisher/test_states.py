"""What is retained: the status and states; and what the agent listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.mqtt.broker import Message, Subscription

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, Recorder, WaitFor

from tests.publisher.conftest import ROOT, Start, read, stop


def test_status_is_online_then_offline_and_retained(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/status")
    outbox, publisher = start(mosquitto)
    wait_for(lambda: mqtt_client.messages)
    stop(outbox, publisher)
    wait_for(lambda: read(mqtt_client, f"{ROOT}/status")[-1]["status"] == "offline")
    first, *_, last = read(mqtt_client, f"{ROOT}/status")
    assert (first["status"], first["outbox_depth"], last["reason"]) == ("online", 0, "stopped")
    assert all(heard.retain for heard in mqtt_client.messages)


def test_states_that_change_while_offline_arrive_and_only_the_newest(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    mosquitto.stop()
    _, publisher = start(mosquitto)
    for number in range(10):
        publisher.state(f"{ROOT}/qc/camera/stats", b"%d" % number)
    publisher.state(f"{ROOT}/info", b"info")
    for _ in range(2):  # a broker without a disk forgets; it is told again
        mosquitto.start()
        wait_for(mqtt_client.client.is_connected)
        mqtt_client.messages.clear()
        mqtt_client.subscribe(f"{ROOT}/#")
        wait_for(lambda: mqtt_client.payloads(f"{ROOT}/info"))
        wait_for(lambda: mqtt_client.payloads(f"{ROOT}/qc/camera/stats"))
        assert set(mqtt_client.payloads(f"{ROOT}/qc/camera/stats")) == {b"9"}
        mosquitto.stop()
        wait_for(lambda: not publisher.connected)


def test_the_agents_subscriptions_ride_on_the_same_connection(
    mosquitto: Mosquitto, mqtt_client: Recorder, start: Start, wait_for: WaitFor
) -> None:
    heard: list[Message] = []
    _, publisher = start(mosquitto, subscriptions=[Subscription("trigger", 1, heard.append)])
    wait_for(lambda: publisher.connected)
    mqtt_client.publish("trigger", b"part 7")
    assert wait_for(lambda: heard)[0].payload == b"part 7"
