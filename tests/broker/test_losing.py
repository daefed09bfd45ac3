"""A connection that is lost, comes back, or is closed."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING

from edge_agent.mqtt.broker import (
    BrokerOptions,
    Message,
    Subscription,
    Will,
)
from tests.conftest import Mosquitto, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.conftest import WaitFor

from tests.broker.conftest import Connect, Scripted, at


def test_a_killed_broker_is_reported_at_once_and_the_connection_comes_back(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "edge_agent.mqtt.broker")
    heard: list[Message] = []
    connection, trace = connect(at(mosquitto), subscriptions=[Subscription("in", 1, heard.append)])
    wait_for(lambda: connection.connected)
    mosquitto.stop(signal.SIGKILL)
    wait_for(lambda: trace.events == ["connected", "lost"])
    assert not connection.connected
    assert connection.detail
    assert "connection lost: the broker or the network is gone" in caplog.text
    mosquitto.start()
    wait_for(lambda: trace.events == ["connected", "lost", "connected"])
    assert connection.publish("in", b"to myself")
    assert wait_for(lambda: heard)[0].payload == b"to myself"


def test_what_a_lost_connection_held_is_not_sent_again_behind_our_back(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    connection, trace = connect(at(mosquitto))
    wait_for(lambda: connection.connected)
    os.kill(mosquitto.pid, signal.SIGSTOP)
    assert connection.publish("a", b"held", token=1)
    mosquitto.stop(signal.SIGKILL)
    wait_for(lambda: trace.events == ["connected", "lost"])
    mosquitto.start()
    recorder = Recorder(mosquitto.host, mosquitto.port)
    recorder.subscribe("a")
    wait_for(lambda: connection.connected)
    connection.publish("a", b"new", token=2)
    wait_for(lambda: recorder.messages)
    recorder.close()
    assert recorder.payloads("a") == [b"new"]
    wait_for(lambda: trace.acks)
    assert trace.acks == [(2, None)]


class Token:
    """What a publish is known by; unlike a number, it can be seen to be gone."""


def test_what_a_lost_connection_held_is_freed_at_once(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    """And not when Python next looks for what is held by itself alone, many lost ones later."""
    connection, _ = connect(at(mosquitto))
    wait_for(lambda: connection.connected)
    token = Token()
    gone = weakref.ref(token)
    gc.disable()
    try:
        os.kill(mosquitto.pid, signal.SIGSTOP)
        assert connection.publish("a", b"held", token=token)
        del token
        mosquitto.stop(signal.SIGKILL)
        wait_for(lambda: gone() is None)
    finally:
        gc.enable()


def test_a_frozen_broker_is_seen(mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor) -> None:
    connection, trace = connect(at(mosquitto, keepalive_s=2))
    wait_for(lambda: connection.connected)
    os.kill(mosquitto.pid, signal.SIGSTOP)
    wait_for(lambda: trace.events == ["connected", "lost"])
    os.kill(mosquitto.pid, signal.SIGCONT)
    wait_for(lambda: connection.connected)


def test_a_frozen_broker_is_seen_while_we_publish_too(
    mosquitto: Mosquitto, connect: Connect, wait_for: WaitFor
) -> None:
    connection, trace = connect(at(mosquitto, keepalive_s=2))
    wait_for(lambda: connection.connected)
    os.kill(mosquitto.pid, signal.SIGSTOP)

    def lost_while_publishing() -> bool:
        connection.publish("a", b"x" * 1000, qos=0)
        return trace.events == ["connected", "lost"]

    wait_for(lost_while_publishing)


def test_the_will_is_published_when_the_process_vanishes(
    mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("status")
    program = """
import sys, time
from edge_agent.mqtt.broker import BrokerOptions, Connection, Will
connection = Connection(
    BrokerOptions(port=int(sys.argv[1])), "mortal", will=Will("status", b"offline"),
    on_connected=lambda: print("up", flush=True),
)
connection.start()
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(mosquitto.port)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    wait_for(lambda: mqtt_client.payloads("status") == [b"offline"])


def test_a_clean_stop_flushes_what_was_published_and_sends_no_will(
    mosquitto: Mosquitto, mqtt_client: Recorder, connect: Connect, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("#")
    connection, trace = connect(at(mosquitto), will=Will("status", b"will"))
    wait_for(lambda: connection.connected)
    for index in range(10):
        connection.publish("a", b"%d" % index)
    connection.stop()
    wait_for(lambda: len(mqtt_client.messages) == 10)
    mqtt_client.publish("end", b"")
    wait_for(lambda: mqtt_client.messages[-1].topic == "end")
    assert mqtt_client.payloads("status") == []
    assert trace.events == ["connected", "lost"]
    assert connection.detail == "stopped"


def test_stop_returns_in_time_while_a_broker_stays_silent(
    scripted: Callable[..., Scripted], connect: Connect, wait_for: WaitFor
) -> None:
    server = scripted(None)
    connection, _ = connect(BrokerOptions(port=server.port))
    wait_for(lambda: server.levels)
    connection.stop(timeout_s=60)
    assert connection.detail == "stopped"
