"""The embedded broker, over real sockets with a plain MQTT 3.1.1 client."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.errors import EdgeAgentError, NotConnected
from edge_agent.mqtt import embedded_broker
from tests.conftest import hang_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.mqtt.embedded_broker import EmbeddedBroker
    from tests.conftest import WaitFor


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    started = embedded_broker.start()
    yield started
    started.stop()


class Client:
    """A connected client that remembers what it heard as (topic, payload, retained)."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.subscribed = False
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self.paho.on_message = lambda _c, _u, m: self.heard.append(
            (m.topic, bytes(m.payload), m.retain)
        )
        self.paho.on_subscribe = self._on_subscribe
        self.paho.connect(broker.host, broker.port)
        self.paho.loop_start()

    def close(self) -> None:
        hang_up(self.paho)

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True


def test_verdicts_arrive_at_qos_1_and_retained_ones_meet_late_subscribers(
    broker: EmbeddedBroker, wait_for: WaitFor
) -> None:
    sender, early, late = Client(broker), Client(broker), Client(broker)
    early.paho.subscribe("cell/#", qos=1)
    wait_for(lambda: early.subscribed)
    for number in range(100):
        sender.paho.publish("cell/verdict", str(number), qos=1)
    sender.paho.publish("cell/last", b"99", qos=1, retain=True).wait_for_publish(60)
    wait_for(lambda: len(early.heard) == 101)
    assert [payload for _, payload, _ in early.heard[:100]] == [b"%d" % n for n in range(100)]
    late.paho.subscribe("cell/#", qos=1)
    wait_for(lambda: ("cell/last", b"99", True) in late.heard)
    for client in (sender, early, late):
        client.close()


def test_it_stops_at_once_although_clients_are_connected(broker: EmbeddedBroker) -> None:
    client = Client(broker)
    broker.stop()
    assert broker.process.returncode == -signal.SIGTERM
    client.close()


def test_ctrl_c_in_the_terminal_is_left_to_the_demo(
    broker: EmbeddedBroker, wait_for: WaitFor
) -> None:
    os.kill(broker.process.pid, signal.SIGINT)
    client = Client(broker)
    client.paho.subscribe("t", qos=1)
    wait_for(lambda: client.subscribed)
    client.close()


def test_a_port_that_is_taken_is_named(broker: EmbeddedBroker) -> None:
    with pytest.raises(NotConnected, match=f"{broker.port}.*already in use"):
        embedded_broker.start(broker.port)


def test_it_ends_with_the_process_that_started_it_even_after_kill_9(wait_for: WaitFor) -> None:
    code = (
        "from edge_agent.mqtt import embedded_broker as e; print(e.start().process.pid, flush=True)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", f"{code}; import time; time.sleep(60)"], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    wait_for(lambda: not _is_running(child))


def test_without_the_demo_extra_the_error_says_what_to_install() -> None:
    # Isolated and without site-packages: this Python has no amqtt, like a gateway's.
    code = (
        "import importlib.util, sys; sys.path.insert(0, '.')\n"
        "from edge_agent import errors\n"
        "from edge_agent.mqtt import embedded_broker\n"
        "try: embedded_broker.start()\n"
        "except errors.EdgeAgentError as error: print(error)"
    )
    said = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip().endswith("pip install 'edge-agent[demo]'")
    assert issubclass(NotConnected, EdgeAgentError)


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123  read at once, not a file to keep
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
