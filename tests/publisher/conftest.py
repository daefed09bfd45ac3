"""A publisher with its outbox, and what a consumer reads."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import msgspec
import pytest

from edge_agent.config import Device
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.outbox_types import Row
from edge_agent.delivery.publisher import Publisher
from edge_agent.mqtt.broker import BrokerOptions
from tests.verdicts import AT_NS, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder


MosquittoWith: TypeAlias = "Callable[[str], Mosquitto]"


Start: TypeAlias = "Callable[..., tuple[Outbox, Publisher]]"


DEVICE = Device(enterprise="acme", site="s1", area="a1", line="l1", cell="c1", name="gw1")


ROOT = "acme/s1/a1/l1/c1/edge/gw1"


VERDICTS = f"{ROOT}/qc/camera/verdict"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an outbox and its publisher; `stop` ends both, and so does the end of the test."""
    running: list[tuple[Outbox, Publisher]] = []

    def begin(broker: Mosquitto | FragileBroker, **rest: Any) -> tuple[Outbox, Publisher]:
        outbox = Outbox(
            tmp_path / "outbox.db", max_bytes=rest.pop("max_bytes", 10**8), max_age_s=3600
        )
        options = BrokerOptions(
            host=broker.host,
            port=broker.port,
            keepalive_s=2,
            protocol="3.1.1" if isinstance(broker, FragileBroker) else "auto",
        )
        publisher = Publisher(options, DEVICE, outbox, rng=random.Random(1), **rest)
        running.append((outbox, publisher))
        outbox.start(on_live=publisher.live)
        publisher.start()
        return outbox, publisher

    yield begin
    for outbox, publisher in running:
        stop(outbox, publisher)


def stop(outbox: Outbox, publisher: Publisher) -> None:
    publisher.stop()
    outbox.close()


def read(recorder: Recorder, topic: str = VERDICTS) -> list[dict[str, Any]]:
    return [msgspec.json.decode(payload) for payload in recorder.payloads(topic)]


def seqs(recorder: Recorder, topic: str = VERDICTS) -> list[int]:
    return [message["seq"] for message in read(recorder, topic)]


def last_run(folder: Path, count: int, max_bytes: int = 10**8) -> None:
    """Leave `count` verdicts in the outbox."""
    outbox = Outbox(folder / "outbox.db", max_bytes=max_bytes, max_age_s=3600)
    outbox.start()
    outbox.append(verdict(n) for n in range(count))
    assert outbox.flush(60)
    outbox.close()


class FragileBroker:
    """A broker of MQTT 3.1.1 that keeps what it has acknowledged, and breaks `breaks` connections.

    It closes after a random number of messages, the last of them read and not acknowledged.
    """

    host = "127.0.0.1"

    def __init__(self, rng: random.Random, *, breaks: int) -> None:
        self._breaks = breaks
        self.acknowledged: list[list[bytes]] = []
        self._rng = rng
        self._server = socket.create_server((self.host, 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(60)

    def verdicts(self) -> list[list[dict[str, Any]]]:
        """Return the verdicts of each connection."""
        return [[msgspec.json.decode(text) for text in life] for life in list(self.acknowledged)]

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            life: list[bytes] = []
            self.acknowledged.append(life)
            with client, client.makefile("rb") as packets, contextlib.suppress(OSError):
                self._talk(client, packets, life)

    def _talk(self, client: socket.socket, packets: BinaryIO, life: list[bytes]) -> None:
        left, silent = self._rng.randrange(50, 300), self._rng.randrange(0, 60)
        if len(self.acknowledged) > self._breaks:
            left, silent = -1, -2
        while left and (packet := read_packet(packets)):
            kind, body = packet
            if kind >> 4 == 1:
                client.sendall(b"\x20\x02\x00\x00")
            elif kind >> 4 == 12:
                client.sendall(b"\xd0\x00")
            elif kind >> 4 == 3:
                left -= 1
                end = 2 + int.from_bytes(body[:2], "big")
                if left >= silent or silent < 0:
                    if body[2:end].decode() == VERDICTS:
                        life.append(body[end + 2 :])
                    client.sendall(b"\x40\x02" + body[end : end + 2])


def read_packet(packets: BinaryIO) -> tuple[int, bytes] | None:
    head = packets.read(1)
    if not head:
        return None
    length, shift = 0, 0
    while read := packets.read(1):
        digit = read[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            body = packets.read(length)
            return (head[0], body) if len(body) == length else None
    return None  # whoever sent it has hung up


def rows(*numbers: int) -> list[Row]:
    return [Row(number, AT_NS, verdict(number)) for number in numbers]
