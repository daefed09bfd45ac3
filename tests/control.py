"""Requests to an agent, as a technician's program sends them, and their answers."""

from __future__ import annotations

import itertools
import json
import threading
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.agents import MODELS, ROOT
from tests.conftest import Recorder
from tests.test_schemas import check

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, WaitFor

_numbers = itertools.count(1)


class Desk:
    """Asks over MQTT 5 and waits for the answer."""

    def __init__(self, client: Recorder, wait_for: WaitFor) -> None:
        self.client = client
        self._wait_for = wait_for
        self._rev = 0  # of the last answer: what is reported comes over another connection
        client.subscribe("answers")
        client.subscribe(f"{ROOT}/#")

    def send(self, topic: str, request: Any, *, raw: bytes | None = None) -> bytes:
        """Send a request; return the correlation that its answer will have."""
        correlation = f"c{next(_numbers)}".encode()
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = "answers"
        properties.CorrelationData = correlation
        payload = raw if raw is not None else json.dumps(request).encode()
        self.client.publish(f"{ROOT}/{topic}", payload, properties=properties)
        return correlation

    def answers(self, correlation: bytes) -> list[dict[str, Any]]:
        """Return what came back for a request so far."""
        return [
            json.loads(heard.payload)
            for heard in self.client.messages
            if heard.topic == "answers"
            and getattr(heard.properties, "CorrelationData", None) == correlation
        ]

    def ask(self, topic: str, request: Any, *, raw: bytes | None = None) -> dict[str, Any]:
        """Return the answer to a request; it fits its published schema."""
        correlation = self.send(topic, request, raw=raw)
        answer = self._wait_for(lambda: self.answers(correlation))[0]
        kind = "command" if topic.startswith("cmd/") else "config"
        check(f"{kind}-result", json.dumps(answer).encode())
        return answer

    def change(self, **fields: Any) -> dict[str, Any]:
        """Ask for another config on top of the one that is reported."""
        rev = self._rev or self.reported()["rev"]
        request = {"v": 1, "id": f"r{next(_numbers)}", "base_rev": rev}
        answer = self.ask("config/set", request | fields)
        self._rev = answer["rev"]
        return answer

    def until_reported(self, **fields: Any) -> dict[str, Any]:
        """Return what is reported once these fields of it are so."""
        self._wait_for(lambda: self.reported().items() >= fields.items())
        return self.reported()

    def until_status(self, status: str) -> dict[str, Any]:
        """Return what the agent, or the broker for it, says of itself once it is so."""
        heard = self._wait_for(
            lambda: [
                found
                for payload in self.client.payloads(f"{ROOT}/status")
                if (found := json.loads(payload))["status"] == status
            ]
        )
        last: dict[str, Any] = heard[-1]
        return last

    def command(self, verb: str, **fields: Any) -> dict[str, Any]:
        return self.ask(f"cmd/{verb}", {"v": 1, "id": f"k{next(_numbers)}"} | fields)

    def reported(self) -> dict[str, Any]:
        """Return the config in force as the agent reports it."""
        heard = self._wait_for(lambda: self.client.payloads(f"{ROOT}/config/reported"))
        found: dict[str, Any] = json.loads(heard[-1])
        return found

    def verdicts(self, pipeline: str, family: str = "qc") -> list[dict[str, Any]]:
        payloads = self.client.payloads(f"{ROOT}/{family}/{pipeline}/verdict")
        return [json.loads(payload) for payload in payloads]

    def stats(self, pipeline: str, family: str = "qc") -> dict[str, Any]:
        heard = self.client.payloads(f"{ROOT}/{family}/{pipeline}/stats")
        return json.loads(heard[-1]) if heard and heard[-1] else {}

    def until_running(self, *pipelines: str) -> None:
        for name in pipelines:
            self._wait_for(lambda name=name: self.stats(name).get("state") == "running")  # type: ignore[misc]


def camera(**more: Any) -> dict[str, Any]:
    """Return a pipeline with a simulated camera and a model that this project ships."""
    source = {"kind": "simulator", "scene": "conveyor", "fps": 20.0}
    model = str(MODELS / "conveyor-parts")
    rule = {"kind": "threshold", "fail_at": 0.7, "pass_at": 0.3}
    return {
        "family": "qc",
        "model": model,
        "source": source,
        "rule": rule,
        "evidence": {"keep": []},
    } | more


class Belt:
    """Sends a picture every 50 ms, of which each must become a verdict; use it in a `with`."""

    def __init__(self, mosquitto: Mosquitto, topic: str = "pictures/one") -> None:
        self.sent = 0
        self._client = Recorder(mosquitto.host, mosquitto.port)
        self._topic = topic
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        ok, picture = cv2.imencode(".jpg", np.full((240, 240, 3), 127, np.uint8))
        assert ok
        while not self._stopping.wait(0.05):
            self._client.publish(self._topic, picture.tobytes())
            self.sent += 1


def every_picture(**more: Any) -> dict[str, Any]:
    """Return a pipeline that inspects all that a Belt sends."""
    source = {"kind": "mqtt_image", "topic": "pictures/one", "queue": 500, "qos": 1}
    return camera(source=source, **more)


def inspected(desk: Desk) -> int:
    """Return how many pictures of a Belt have a verdict that is no error."""
    found = {v["id"] for v in desk.verdicts("one") if v["verdict"] != "error"}
    return len(found)
