"""An integrator beside the agent sees every topic, and each payload is as its schema says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from edge_agent.cell import motor
from tests.agents import MODELS, ROOT, AgentProcess

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, Recorder, WaitFor

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
# Topic below the root, and the schema of what is published there.
EXPECTED = {
    "status": "status",
    "info": "info",
    "config/reported": "config-reported",
    "config/schema": "",
    "qc/camera/verdict": "verdict",
    "qc/camera/defect": "verdict",
    "qc/camera/last": "last",
    "qc/camera/stats": "stats",
    "qc/camera/source": "source",
    "qc/camera/drift": "drift",
    "qc/camera/shift": "shift",
    "pdm/motor/verdict": "verdict",
    "pdm/motor/health": "health",
    "pdm/motor/alert": "alert",
    "pdm/motor/stats": "stats",
    "pdm/motor/source": "source",
    "pdm/motor/drift": "drift",
}


def test_every_topic_is_seen_and_every_payload_fits_its_schema(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("#")
    agent = AgentProcess(tmp_path, mosquitto, {"camera": camera(), "motor": machine()})
    agent.start()
    try:
        wait_for(lambda: below(mqtt_client) >= set(EXPECTED))
        assert agent.stop() == 0
        wait_for(lambda: statuses(mqtt_client)[-1]["status"] == "offline")
    finally:
        agent.end()
    assert below(mqtt_client) == set(EXPECTED)
    for heard in mqtt_client.messages:
        name = EXPECTED[heard.topic.removeprefix(f"{ROOT}/")]
        if not name:
            jsonschema.Draft202012Validator.check_schema(json.loads(heard.payload))
            continue
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
        jsonschema.validate(json.loads(heard.payload), schema)
        assert heard.retain == (name != "verdict")


def camera() -> dict[str, Any]:
    source = {"kind": "simulator", "scene": "conveyor", "fps": 20.0, "defect_rate": 0.5}
    return {"family": "qc", "model": str(MODELS / "conveyor-parts"), "source": source}


def machine() -> dict[str, Any]:
    """Return a motor whose bearing is bad in parts of its life, much faster than real time."""
    source = {"kind": "simulator", "scene": "motor", "realtime": False, "life_s": 60.0}
    return {"family": "pdm", "model": str(MODELS / "motor-bearing"), "source": source}


def below(client: Recorder) -> set[str]:
    return {heard.topic.removeprefix(f"{ROOT}/") for heard in client.messages}


def statuses(client: Recorder) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in client.payloads(f"{ROOT}/status")]


def test_the_motor_of_the_demo_has_the_channels_of_its_model() -> None:
    manifest = json.loads((MODELS / "motor-bearing" / "manifest.json").read_text())
    assert tuple(manifest["task"]["preprocess"]["channels"]) == motor.CHANNELS
