"""A source that is connected and silent is worth a word; one whose next item is not due is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.line import pipeline_thread
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.pictures import image
from tests.agents import MODELS
from tests.lone_pipeline import lone_pipeline, pipeline_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.line.pipeline_thread import PipelineThread
    from tests.conftest import Mosquitto, WaitFor

CHANNELS = load_bundle(MODELS / "turbofan-rul").manifest.task.preprocess.channels
SILENCE_S = 0.2


@pytest.fixture
def thread(
    tmp_path: Path, mosquitto: Mosquitto, request: pytest.FixtureRequest
) -> Iterator[PipelineThread]:
    (tmp_path / "plate.jpg").write_bytes(image.encode_jpeg(np.zeros((64, 64, 3), np.uint8)))
    row = ",".join("1.5" for _ in CHANNELS)
    (tmp_path / "engine.csv").write_text("\n".join([",".join(CHANNELS), *[row] * 200]))
    pictures = request.param["kind"] not in {"mqtt_sensor", "replay"}
    options: dict[str, Any] = {
        "family": "qc" if pictures else "pdm",
        "model": str(MODELS / ("conveyor-parts" if pictures else "turbofan-rul")),
        "source": request.param,
    }
    made = lone_pipeline(pipeline_options(options), tmp_path, broker=mosquitto)
    made.start()
    yield made
    made.stop()
    made.join(10)


SENSOR = {
    "kind": "mqtt_sensor",
    "topic": "plant/engine",
    "channels": {name: {"pointer": f"/{name}"} for name in CHANNELS},
}
RECORDING = {"kind": "replay", "file": "engine.csv"}
FOLDER = {"kind": "folder", "path": ".", "fps": 0.5, "loop": True}
CONVEYOR = {"kind": "simulator", "scene": "conveyor", "fps": 0.5}


@pytest.mark.parametrize(
    ("thread", "said"),
    [(SENSOR, "connected, but nothing comes"), (RECORDING, ""), (FOLDER, ""), (CONVEYOR, "")],
    ids=["sensor", "recording", "folder", "conveyor"],
    indirect=["thread"],
)
def test_a_silent_topic_is_told_of_and_what_waits_for_its_next_item_is_not(
    thread: PipelineThread, said: str, wait_for: WaitFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_thread, "SILENCE_S", SILENCE_S)
    wait_for(lambda: thread.state == "running")
    # Rows of the recording come once a second, pictures every other second.
    by_s = time.monotonic() + 60
    while time.monotonic() - thread._read_s < 3 * SILENCE_S:
        assert time.monotonic() < by_s
        time.sleep(0.01)
    assert thread.report().detail == said
