"""An agent that starts while camera, folder, model and broker are missing, and picks each up."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.agents import MODELS, AgentProcess
from tests.conftest import Mosquitto, Recorder
from tests.control import Desk, camera
from tests.faults.plant import pictures
from tests.mjpeg import MjpegCamera

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import WaitFor


@pytest.fixture
def network_camera() -> Iterator[MjpegCamera]:
    """Return a camera whose port is known and that is switched off."""
    camera = MjpegCamera()
    camera.start()
    camera.stop()
    yield camera
    camera.stop()


def test_an_agent_starts_without_camera_folder_model_and_broker_and_picks_them_up(
    tmp_path: Path, network_camera: MjpegCamera, wait_for: WaitFor
) -> None:
    broker = Mosquitto(tmp_path)
    bundle, folder = tmp_path / "bundle", tmp_path / "pictures"
    pipelines = {
        "good": camera(),
        "camera": camera(source={"kind": "camera", "url": network_camera.url}),
        "folder": camera(source={"kind": "folder", "path": str(folder), "loop": True, "fps": 10.0}),
        "model": camera(model=str(bundle)),
        "variant": camera(recipes={"P-2": {"model": str(bundle)}}),
    }
    agent = AgentProcess(tmp_path, broker, pipelines)
    agent.start()
    # The broker is missing: verdicts wait on the disk.
    wait_for((tmp_path / "state/outbox.db").exists)
    broker.start()
    client = Recorder(broker.host, broker.port)
    desk = Desk(client, wait_for)
    try:
        desk.until_running("good")
        first = wait_for(lambda: desk.verdicts("good"))[0]
        assert first["seq"] <= len(pipelines)

        def stands(name: str) -> tuple[str, bool]:
            stats = desk.stats(name)
            return stats.get("state", ""), bool(stats.get("detail"))

        wait_for(lambda: stands("camera") == ("waiting", True))
        wait_for(lambda: stands("folder") == ("waiting", True))
        wait_for(lambda: stands("model") == ("failed", True))
        wait_for(lambda: stands("variant") == ("failed", True))

        network_camera.start()
        desk.until_running("camera")
        pictures(folder)
        desk.until_running("folder")
        # File by file, as a copy over a slow line: a half bundle is no model yet.
        bundle.mkdir()
        shutil.copy(MODELS / "conveyor-parts/manifest.json", bundle)
        wait_for(lambda: "model.tflite" in desk.stats("model")["detail"])
        shutil.copytree(MODELS / "conveyor-parts", bundle, dirs_exist_ok=True)
        desk.until_running("model", "variant")
        for name in pipelines:
            wait_for(lambda name=name: desk.verdicts(name)[-1]["verdict"] != "error")  # type: ignore[misc]
        assert desk.stats("model")["worker_restarts"] == 0
        assert agent.stop() == 0
    finally:
        agent.end()
        client.close()
        broker.stop()
