"""Connections to a real mosquitto, amqtt, and brokers that misbehave byte by byte."""

from __future__ import annotations

import random
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from edge_agent.mqtt.broker import (
    BrokerOptions,
    Connection,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Mosquitto


class Trace:
    """What a connection told its owner, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.acks: list[tuple[Any, str | None]] = []

    def connected(self) -> None:
        self.events.append("connected")

    def lost(self) -> None:
        self.events.append("lost")

    def acked(self, token: Any, reason: str | None) -> None:
        self.acks.append((token, reason))


MosquittoWith: TypeAlias = "Callable[[str], Mosquitto]"


Connect: TypeAlias = "Callable[..., tuple[Connection, Trace]]"


@pytest.fixture
def connect() -> Iterator[Callable[..., tuple[Connection, Trace]]]:
    """Open connections; each is stopped at the end of the test."""
    opened: list[Connection] = []

    def start(options: BrokerOptions, **rest: Any) -> tuple[Connection, Trace]:
        trace = Trace()
        connection = Connection(
            options,
            f"client-{len(opened)}",
            on_connected=trace.connected,
            on_lost=trace.lost,
            on_acked=trace.acked,
            rng=random.Random(0),
            **rest,
        )
        opened.append(connection)
        connection.start()
        return connection, trace

    yield start
    for connection in opened:
        connection.stop()


def at(broker: Mosquitto, **rest: Any) -> BrokerOptions:
    return BrokerOptions(host=broker.host, port=broker.port, **rest)


CONNACK_5 = bytes.fromhex("20 03 00 00 00")


CONNACK_311 = bytes.fromhex("20 02 00 00")


class Scripted:
    """A TCP server that answers the n-th connection's first packet with the n-th script's bytes.

    A script None never answers; after b"" the connection is closed. The last script repeats.
    """

    def __init__(self, *scripts: bytes | None, keep_open: bool = False) -> None:
        self.levels: list[int] = []
        self._scripts = list(scripts)
        self._keep_open = keep_open
        self._held: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def say(self, packets: str) -> None:
        """Send these bytes, in hex, to whoever is connected."""
        self._held[-1].sendall(bytes.fromhex(packets))

    def close(self) -> None:
        # Closed alone, it would accept one more, whom nobody closes.
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._server.close()
        for held in self._held:
            held.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._held.append(client)
            with suppress(OSError):  # it may be gone again
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        packet = client.recv(4096)
        if not packet:
            return
        self.levels.append(packet[packet.index(b"MQTT") + 4])
        script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
        if script:
            client.sendall(script)
        if script is not None and not self._keep_open:
            client.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    servers: list[Scripted] = []

    def start(*scripts: bytes | None, keep_open: bool = False) -> Scripted:
        servers.append(Scripted(*scripts, keep_open=keep_open))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
