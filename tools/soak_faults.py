"""The faults of a soak, in turn, for as long as it runs: what they leave behind would add up.

No fault here ends the agent: a new process would hide what the old one had grown to. The one worker
that is killed runs a pipeline of its own.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tests.agents import MODELS, ROOT, workers
from tests.mjpeg import MjpegCamera

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.plant import Broker, Consumer, Gateway
    from tests.mjpeg import Mood, Pixels

LASTS_S = 6.0
# Between two faults: what was stopped is back, what piled up is gone.
PEACE_S = 6.0
KILLED = "sacrificed"
PLATES = "plant/plates"
SLOW_CLIENTS = 20


def noise(number: int) -> Pixels:
    """Return a picture as a live camera gives it: never the same twice."""
    return np.random.default_rng(number).integers(60, 190, (120, 160, 3), np.uint8)


class Faults:
    """A thread that injects one fault after the other and counts them in `injected`."""

    def __init__(self, broker: Broker, consumer: Consumer, http_port: int) -> None:
        self.injected: Counter[str] = Counter()
        self.began: list[tuple[float, str]] = []
        """When each began (s, monotonic), in order."""
        self._broker = broker
        self._consumer = consumer
        self._http_port = http_port
        self._camera = MjpegCamera(noise)
        self._camera.start()
        self._gateway: Gateway | None = None
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def pipelines(self) -> dict[str, Any]:
        """Return the pipelines that the faults are for."""
        bundle = str(MODELS / "conveyor-parts")
        quiet = {"family": "qc", "model": bundle, "evidence": {"max_mb": 5.0}}
        return {
            "live": quiet | {"source": {"kind": "camera", "url": self._camera.url}},
            "plates": quiet | {"source": {"kind": "mqtt_image", "topic": PLATES}},
            KILLED: quiet | {"source": {"kind": "simulator", "scene": "conveyor"}},
        }

    def start(self, gateway: Gateway) -> None:
        """Begin."""
        self._gateway = gateway
        self._thread.start()

    def stop(self) -> None:
        """End with the fault that is on, everything healed."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._camera.stop()

    def _run(self) -> None:
        for name, fault in itertools.cycle(self._all()):
            if self._stopping.wait(PEACE_S):
                return
            self.began.append((time.monotonic(), name))
            fault()
            self.injected[name] += 1

    def _all(self) -> Iterator[tuple[str, Callable[[], None]]]:
        moods: tuple[Mood, ...] = ("stalled", "garbage", "frozen", "black", "dripping")
        for mood in moods:
            yield f"camera {mood}", partial(self._camera_is, mood)
        yield "camera dead", self._camera_dies
        yield "broker frozen", self._broker_freezes
        yield "broker killed", self._broker_dies
        yield "config changed", self._config_changes
        yield "configs and commands refused", self._nonsense
        yield "hostile pictures", self._hostile_pictures
        yield "worker killed", self._worker_dies
        yield "slow web clients", self._web_clients

    def _camera_is(self, mood: Mood) -> None:
        self._camera.mood = mood
        self._stopping.wait(LASTS_S)
        self._camera.mood = "good"

    def _camera_dies(self) -> None:
        self._camera.stop()
        self._stopping.wait(LASTS_S)
        self._camera.start()

    def _broker_freezes(self) -> None:
        pid = self._broker.process.pid
        os.kill(pid, signal.SIGSTOP)
        self._stopping.wait(LASTS_S)
        os.kill(pid, signal.SIGCONT)

    def _broker_dies(self) -> None:
        self._broker.kill()
        self._stopping.wait(LASTS_S)
        self._broker.process.start()

    def _config_changes(self) -> None:
        number = next(self._numbers)
        rule = {"kind": "threshold", "fail_at": 0.7 if number % 2 else 0.8, "pass_at": 0.3}
        self._ask("config/set", patch={"pipelines": {"live": {"rule": rule}}})
        self._stopping.wait(LASTS_S)

    def _nonsense(self) -> None:
        for payload in (b"[" * 1_000_000, b"{}", b"\xff" * 1000, b"null"):
            self._consumer.publish(f"{ROOT}/config/set", payload)
        self._ask("config/set", patch={"pipelines": {"live": {"run_timeout_s": -1}}})
        self._ask("config/set", base_rev=10**6, patch={})
        self._ask("cmd/restart", pipeline="nobody")

    def _ask(self, topic: str, **fields: object) -> None:
        request: dict[str, object] = {"id": f"soak-{next(self._numbers)}", **fields}
        if topic == "config/set":
            request = {"base_rev": self._consumer.rev} | request
        self._consumer.publish(f"{ROOT}/{topic}", json.dumps(request).encode())

    def _hostile_pictures(self) -> None:
        _, encoded = cv2.imencode(".png", np.zeros((8192, 8192, 3), np.uint8))
        _, good = cv2.imencode(".jpg", noise(1))
        whole = good.tobytes()
        for payload in (encoded.tobytes(), b"", *(whole[:n] for n in range(0, len(whole), 500))):
            self._consumer.publish(PLATES, payload)
        self._consumer.publish(PLATES, whole)

    def _worker_dies(self) -> None:
        if self._gateway and (pid := workers(self._gateway.pid).get(KILLED)):
            os.kill(pid, signal.SIGKILL)

    def _web_clients(self) -> None:
        slow = [
            socket.create_connection(("127.0.0.1", self._http_port)) for _ in range(SLOW_CLIENTS)
        ]
        for path in ("/metrics", "/readyz", "/healthz", "/nothing"):
            client = http.client.HTTPConnection("127.0.0.1", self._http_port, timeout=5)
            # Turned away while the slow ones take all places: that is what they are there for.
            with contextlib.suppress(OSError, http.client.HTTPException):
                client.request("GET", path)
                client.getresponse().read()
            client.close()
        self._stopping.wait(LASTS_S)
        for each in slow:
            each.close()
