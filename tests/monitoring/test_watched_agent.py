"""A real agent: drift raises an alert on its topic, a sensor that is stuck gives errors."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_agent.clock import utc_text
from tests.agents import MODELS, ROOT, AgentProcess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Recorder, WaitFor

PICTURES = 20


def write_pictures(folder: Path, light: float) -> None:
    """Put pictures of noise there, each whole at any time."""
    folder.mkdir(exist_ok=True)
    for number in range(PICTURES):
        pixels = np.random.default_rng(number).integers(0, 200, (120, 160, 3)) * light
        part = folder / f".{number}.part.png"
        cv2.imwrite(str(part), pixels.astype(np.uint8))
        part.replace(folder / f"{number}.png")


def camera(folder: Path, **drift: Any) -> dict[str, Any]:
    return {
        "family": "qc",
        "model": str(MODELS / "conveyor-parts"),
        "source": {"kind": "folder", "path": str(folder), "loop": True, "fps": 50},
        "drift": drift,
        "evidence": {"keep": []},
    }


def heard(client: Recorder, topic: str) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in client.payloads(f"{ROOT}/{topic}")]


def test_darker_pictures_raise_an_alert_and_their_end_clears_it(
    tmp_path: Path,
    mqtt_client: Recorder,
    wait_for: WaitFor,
    start: Callable[..., AgentProcess],
) -> None:
    mqtt_client.subscribe(f"{ROOT}/qc/#")
    folder = tmp_path / "pictures"
    write_pictures(folder, 1.0)
    start({"camera": camera(folder, learn_items=60, window=40, figures_hz=200)})

    def alert_is(what: str) -> bool:
        drifts = [a for a in heard(mqtt_client, "qc/camera/alert") if a["kind"] == "drift"]
        return bool(drifts) and drifts[-1]["alert"] == what

    wait_for(lambda: alert_is("cleared"))
    write_pictures(folder, 0.7)
    wait_for(lambda: alert_is("raised"))
    raised = heard(mqtt_client, "qc/camera/alert")[-1]
    assert "brightness" in raised["message"]
    assert raised["score"] >= raised["threshold"] == 0.8
    write_pictures(folder, 1.0)
    wait_for(lambda: alert_is("cleared"))
    newest = heard(mqtt_client, "qc/camera/drift")[-1]
    assert (newest["reference"], newest["items"]) == ("learned", 60)
    assert heard(mqtt_client, "qc/camera/source")[-1]["state"] == "connected"


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_half_learned_outlives_a_stop_and_a_kill(
    tmp_path: Path,
    mqtt_client: Recorder,
    wait_for: WaitFor,
    start: Callable[..., AgentProcess],
    end: signal.Signals,
) -> None:
    mqtt_client.subscribe(f"{ROOT}/qc/camera/drift")
    folder = tmp_path / "pictures"
    write_pictures(folder, 1.0)
    agent = start({"camera": camera(folder, learn_items=5000)})
    kept = tmp_path / "state" / "drift"

    def items_since(ts: str) -> list[int]:
        drifts = heard(mqtt_client, "qc/camera/drift")
        return [drift["items"] for drift in drifts if drift["ts"] >= ts and drift["items"]]

    if end == signal.SIGKILL:
        wait_for(lambda: any(kept.glob("camera-*.learning")))
    else:
        wait_for(lambda: items_since("")[-1] >= 20)  # long before anything is written
    agent.stop(end)
    (file,) = kept.iterdir()
    items = file.read_bytes().count(b"\n") - 1
    assert items >= (20 if end == signal.SIGKILL else max(items_since("")))
    again_at = utc_text(time.time_ns())
    agent.start()
    assert wait_for(lambda: items_since(again_at))[0] >= items
    assert heard(mqtt_client, "qc/camera/drift")[-1]["reference"] == "learning"


def test_a_sensor_that_is_stuck_is_named_and_its_windows_are_errors(
    tmp_path: Path,
    mqtt_client: Recorder,
    wait_for: WaitFor,
    start: Callable[..., AgentProcess],
) -> None:
    mqtt_client.subscribe(f"{ROOT}/pdm/#")
    channels = {"accel_x": {"topic": "plant/x"}, "accel_y": {"topic": "plant/y"}}
    motor = {
        "family": "pdm",
        "model": str(MODELS / "motor-bearing"),
        "source": {"kind": "mqtt_sensor", "format": "float32", "channels": channels},
        "sensor": {"stuck_after_s": 0.6, "missing_after_s": 1.0},
        "evidence": {"keep": ["error"]},
    }
    start({"motor": motor})
    rng = np.random.default_rng(1)

    def until(state: str, x: float | None, *, silent: bool = False) -> None:
        """Publish windows until the sensors are in this state."""
        deadline_s = time.monotonic() + 60
        while not any(s["state"] == state for s in heard(mqtt_client, "pdm/motor/source")[-1:]):
            assert time.monotonic() < deadline_s, heard(mqtt_client, "pdm/motor/source")
            noise = rng.normal(0, 1, (2, 2048)).astype("<f4")
            if x is not None:
                noise[0] = x
            if not silent:
                mqtt_client.publish("plant/x", noise[0].tobytes())
            mqtt_client.publish("plant/y", noise[1].tobytes())
            time.sleep(0.25)  # the rate at which they are measured

    until("connected", None)
    wait_for(lambda: heard(mqtt_client, "pdm/motor/verdict"))
    until("stuck", 1.5)
    errors = [v for v in heard(mqtt_client, "pdm/motor/verdict") if v["verdict"] == "error"]
    assert "sensor_stuck: accel_x" in errors[-1]["reason"]
    kept = tmp_path / "state" / "evidence" / errors[-1]["evidence"]
    with np.load(wait_for(lambda: kept.is_file() and kept)) as window:
        assert (window["samples"][:, 0] == 1.5).all()
    until("connected", None)
    until("missing_channel", None, silent=True)
    assert heard(mqtt_client, "pdm/motor/source")[-1]["detail"] == "plant/x: silent"
