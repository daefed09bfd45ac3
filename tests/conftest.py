"""What several test files share: a real broker, a recording client, waiting on an effect."""

from __future__ import annotations

import logging
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import hypothesis
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.agents import AgentProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from paho.mqtt.properties import Properties

    from tests.control import Desk

T = TypeVar("T")

# A busy machine is no finding: neither one example that takes long, nor making them.
hypothesis.settings.register_profile(
    "here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("here")


class WaitFor(Protocol):
    """Type of the `wait_for` fixture."""

    def __call__(self, predicate: Callable[[], T], timeout_s: float = 60) -> T: ...


def wait_until(predicate: Callable[[], T], timeout_s: float = 60) -> T:
    """Return the first true value of a predicate; fail the test when none comes in time.

    A predicate may look at `[0]` or `[-1]` of a list: while that is empty, it is not true yet.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        empty = False
        try:
            value = predicate()
        except IndexError:
            empty = True
        else:
            if value:
                return value
        if time.monotonic() > deadline:
            nothing = ": the list that it looks at is empty" if empty else ""
            pytest.fail(f"not within {timeout_s} s{nothing}")
        time.sleep(0.005)


@pytest.fixture
def interned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is interned from now on, as pathlib does with the parts of each path.

    It takes a place in a table of the process, also when it is gone again.
    """
    found: list[str] = []
    intern = sys.intern

    def note(text: str) -> str:
        found.append(text)
        return intern(text)

    monkeypatch.setattr(sys, "intern", note)
    return found


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """Commands set how much is logged: for themselves, and not for the tests that follow."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture
def wait_for() -> WaitFor:
    """Give a test `wait_until`."""
    return wait_until


@pytest.fixture
def shared_data() -> Path:
    """Return the folder of real recordings beside the checkout."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is absent")
    return folder


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on.

    Below those that Linux gives to connections by itself (32768 and up): one of those may be taken
    before the test's own server is there, even by a client that tries to reach it.
    """
    while True:
        # From the system: tests that run beside this one may have seeded `random` alike.
        port = random.SystemRandom().randrange(10_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Mosquitto:
    """A mosquitto process on a port of its own; `settings` are lines of its config file."""

    host = "127.0.0.1"

    def __init__(self, folder: Path, settings: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._config = folder / f"mosquitto-{self.port}.conf"
        # As root mosquitto would become another user, who may not read the test's files.
        user = f"user {pwd.getpwuid(os.getuid()).pw_name}"
        listener = f"{user}\nlistener {self.port} {self.host}\npersistence false"
        self._config.write_text(f"{listener}\n{settings}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["mosquitto", "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers)

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            os.kill(self._process.pid, signal_number)
            os.kill(self._process.pid, signal.SIGCONT)  # a stopped process would not end
            self._process.wait(60)
            self._process = None

    def _answers(self) -> bool:
        """Whether its main loop runs: a signal between listening and that is lost to mosquitto."""
        assert self._process is not None
        assert self._process.poll() is None, "mosquitto refused its config"
        with socket.socket() as probe:
            if probe.connect_ex((self.host, self.port)) != 0:
                return False
            with suppress(ConnectionResetError):
                probe.sendall(bytes(16))  # neither MQTT nor TLS: it hangs up
                probe.recv(1)
            return True


@pytest.fixture
def mosquitto_with(tmp_path: Path) -> Iterator[Callable[[str], Mosquitto]]:
    """Start brokers with settings of the test's own."""
    brokers: list[Mosquitto] = []

    def start(settings: str) -> Mosquitto:
        brokers.append(Mosquitto(tmp_path, settings))
        brokers[-1].start()
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.stop()


@pytest.fixture
def mosquitto(mosquitto_with: Callable[[str], Mosquitto]) -> Mosquitto:
    """Start a broker that lets everyone in and keeps nothing on disk."""
    return mosquitto_with("allow_anonymous true")


@dataclass(frozen=True)
class Heard:
    """One message that the recording client received."""

    topic: str
    payload: bytes
    retain: bool
    properties: Properties | None


def hang_up(client: mqtt.Client) -> None:
    """Say goodbye, and end the thread and every socket of a client that `loop_start` set going.

    paho leaves the pair of sockets that wakes its thread to `__del__`. Where the client goes with
    a cycle, Python may come to the sockets first, finds them open, and fails the test of then.
    """
    client.disconnect()
    client.loop_stop()
    client._reset_sockets()


class Recorder:
    """A plain paho client on MQTT 5 that keeps every message of its subscriptions, in order."""

    def __init__(self, host: str, port: int) -> None:
        self.messages: list[Heard] = []
        self._connected = threading.Event()
        self._subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda _client, _userdata, m: self.messages.append(
            Heard(m.topic, bytes(m.payload), m.retain, m.properties)
        )
        self._patterns: list[str] = []
        self.client.connect_async(host, port, keepalive=60)
        self.client.loop_start()
        assert self._connected.wait(60)

    def subscribe(self, pattern: str) -> None:
        """Record topics that match `pattern`; returns once the broker has agreed."""
        self._patterns.append(pattern)
        self._subscribed.clear()
        self._subscribe_again()
        assert self._subscribed.wait(60)

    def publish(
        self,
        topic: str,
        payload: bytes | str,
        *,
        qos: int = 1,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Publish and wait for the broker's word on it."""
        self.client.publish(topic, payload, qos, retain, properties).wait_for_publish(60)

    def payloads(self, topic: str) -> list[bytes]:
        """Return what was heard on exactly this topic."""
        return [heard.payload for heard in self.messages if heard.topic == topic]

    def close(self) -> None:
        hang_up(self.client)

    def _on_connect(self, *_: object) -> None:
        self._subscribe_again()
        self._connected.set()

    def _subscribe_again(self) -> None:
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        for pattern in self._patterns:
            self.client.subscribe(pattern, options=options)


@pytest.fixture
def mqtt_client(mosquitto: Mosquitto) -> Iterator[Recorder]:
    """Connect a recording client to the `mosquitto` fixture's broker."""
    recorder = Recorder(mosquitto.host, mosquitto.port)
    yield recorder
    recorder.close()


@pytest.fixture
def start(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Callable[..., AgentProcess]]:
    """Return what starts an agent, by its pipelines and what else is in its config."""
    agents: list[AgentProcess] = []

    def begin(pipelines: dict[str, Any], **top: Any) -> AgentProcess:
        agents.append(AgentProcess(tmp_path, mosquitto, pipelines, **top))
        agents[-1].start()
        return agents[-1]

    yield begin
    for agent in agents:
        agent.end()


@pytest.fixture
def desk(mqtt_client: Recorder, wait_for: WaitFor) -> Desk:
    """Return what asks the agent over MQTT."""
    from tests.control import Desk  # noqa: PLC0415  it needs this module

    return Desk(mqtt_client, wait_for)
