"""Drives a line with sensor samples over MQTT, as fast as it takes them."""

from __future__ import annotations

import random
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from tools.bench.load import FIRST_ANSWER_S, QUIET_S
from tools.bench.mqtt_socket import MqttSocket, packet
from tools.bench.processes import HOST, TOPIC_ROOT

if TYPE_CHECKING:
    from tools.bench.material import SensorModel

TOPIC = "samples/machine"
BLOCK_ROWS = 100
# How far the load may be ahead of the verdicts: enough that nobody ever waits for it.
WINDOWS_AHEAD = 24
QUEUE_WINDOWS = 64


@dataclass(frozen=True, slots=True)
class SensorRun:
    """Messages and samples (rows of all channels) a second; rows for which no verdict came."""

    messages_hz: float
    samples_hz: float
    lost_rows: int


class Machine:
    """Publishes rows of samples, and counts the verdicts on their windows."""

    def __init__(self, port: int, model: SensorModel, pipeline: str, *, blocks: bool) -> None:
        self._socket = MqttSocket(HOST, port, "bench-machine")
        self._socket.subscribe(f"{TOPIC_ROOT}/pdm/{pipeline}/verdict")
        self._hop = model.hop
        self._rows_per_message = BLOCK_ROWS if blocks else 1
        self._messages_at_once = max(1, min(model.hop // self._rows_per_message, 64))
        numbers = random.Random(1)  # noqa: S311  a signal, no secret
        one = _block(model, numbers) if blocks else _row(model, numbers)
        self._burst = packet(TOPIC, one) * self._messages_at_once
        self._rows_per_burst = self._messages_at_once * self._rows_per_message
        self._sent_rows = 0
        self._windows = 0

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def wake(self) -> None:
        """Publish until the first verdict, then wait until it is quiet."""
        deadline_s = time.perf_counter() + FIRST_ANSWER_S
        while not self._windows:
            if time.perf_counter() > deadline_s:
                raise TimeoutError("no verdict on samples")
            self._send()
            self._take(0.05)
        self._drain()

    def saturate(self, seconds: float) -> SensorRun:
        """Publish as fast as windows are answered."""
        # Rows that were sent before the line listened, or begin a window, are not counted.
        self._sent_rows, self._windows = 0, 0
        self._keep_ahead(1.0)
        began_s, before = time.perf_counter(), self._windows
        self._keep_ahead(seconds)
        took_s, windows = time.perf_counter() - began_s, self._windows - before
        self._drain()
        rows_hz = windows * self._hop / took_s
        lost = self._sent_rows - self._windows * self._hop
        # What does not fill a window is not lost.
        return SensorRun(
            messages_hz=rows_hz / self._rows_per_message,
            samples_hz=rows_hz,
            lost_rows=lost if abs(lost) >= self._hop else 0,
        )

    def _keep_ahead(self, seconds: float) -> None:
        deadline_s = time.perf_counter() + seconds
        ahead_rows = WINDOWS_AHEAD * self._hop
        while time.perf_counter() < deadline_s:
            while self._sent_rows - self._windows * self._hop < ahead_rows:
                self._send()
                self._take(0.0)
            self._take(0.05)

    def _send(self) -> None:
        self._socket.send(self._burst)
        self._sent_rows += self._rows_per_burst

    def _take(self, timeout_s: float) -> int:
        came = len(self._socket.receive(timeout_s))
        self._windows += came
        return came

    def _drain(self) -> None:
        heard_s = time.perf_counter()
        while time.perf_counter() - heard_s < QUIET_S:
            if self._take(QUIET_S):
                heard_s = time.perf_counter()


def _row(model: SensorModel, numbers: random.Random) -> bytes:
    return msgspec.json.encode({name: round(numbers.gauss(0, 1), 4) for name in model.channels})


def _block(model: SensorModel, numbers: random.Random) -> bytes:
    count = BLOCK_ROWS * len(model.channels)
    return struct.pack(f"<{count}f", *(numbers.gauss(0, 1) for _ in range(count)))
