"""A running agent sends what it kept, is killed in the midst, and sends the rest afterwards."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.agents import MODELS, AgentProcess
from tests.serving.test_health import Asked

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, WaitFor
    from tests.upload.bucket import Bucket

SOURCE = {"kind": "simulator", "scene": "conveyor", "fps": 20.0}
CAMERA = {"family": "qc", "model": str(MODELS / "conveyor-parts"), "source": SOURCE}


def waiting(folder: Path) -> set[str]:
    """Return the items that wait, by their names."""
    return {path.stem for path in (folder / "state" / "upload" / "camera").glob("*.json")}


def sent(bucket: Bucket) -> set[str]:
    """Return the items that the server has whole."""
    stems = {Path(name).stem for name in bucket.files if name.endswith(".json")}
    return {s for s in stems if f"/gw-01/camera/{s}.jpg" in bucket.files}


def test_after_a_kill_in_the_midst_of_an_upload_nothing_that_was_kept_is_missing(
    tmp_path: Path, mosquitto: Mosquitto, bucket: Bucket, wait_for: WaitFor
) -> None:
    bucket.pieces, bucket.slow_s = 256, 0.02
    agent = AgentProcess(tmp_path, mosquitto, {"camera": CAMERA}, upload={"url": bucket.url})
    agent.start()
    try:
        wait_for(lambda: bucket.began.is_set() and len(waiting(tmp_path)) > 3)
        assert agent.stop(signal.SIGKILL) == -signal.SIGKILL
        before = waiting(tmp_path) | sent(bucket)
        bucket.slow_s = 0.0
        agent.start()
        wait_for(lambda: before <= sent(bucket))
        assert agent.stop() == 0
    finally:
        agent.end()
    evidence = tmp_path / "state" / "evidence" / "camera"
    assert before <= {path.name.removesuffix(".raw.jpg") for path in evidence.iterdir()}
    # Of those that the server has, at most the one that it had just taken as the agent ended.
    assert len(waiting(tmp_path) & sent(bucket)) <= 1


def test_how_the_upload_goes_stands_in_health_and_metrics_and_stops_nothing(
    tmp_path: Path, mosquitto: Mosquitto, bucket: Bucket, wait_for: WaitFor
) -> None:
    bucket.always = 401
    asked = Asked(tmp_path, mosquitto, upload={"url": bucket.url}, pipelines={"camera": CAMERA})
    try:
        wait_for(lambda: _check(asked).get("state") == "warn")
        assert "401" in _check(asked)["reason"]
        wait_for(asked.ready)  # what is not sent is no reason to stop a line
        bucket.always = None
        wait_for(lambda: asked.metrics().get(("edge_agent_upload_events_total", "items"), 0) > 2)
        wait_for(lambda: _check(asked)["state"] == "ok")
        found = asked.metrics()
        assert found["edge_agent_upload_events_total", "failed"] >= 1
        assert found["edge_agent_upload_today_bytes",] > 0
        assert found["edge_agent_events_total", "camera", "upload_items"] > 2
        tasks = Path(f"/proc/{asked.agent.pid}/task")
        own = next(t for t in tasks.iterdir() if (t / "comm").read_text() == "upload\n")
        assert os.getpriority(os.PRIO_PROCESS, int(own.name)) == 19
        loaded = Path(f"/proc/{asked.agent.pid}/maps").read_text()
        assert "cv2" not in loaded
        assert "simplejpeg" not in loaded
    finally:
        asked.agent.end()


def test_nothing_is_put_aside_and_nothing_sent_unless_the_config_says_so(
    tmp_path: Path, mosquitto: Mosquitto, wait_for: WaitFor
) -> None:
    asked = Asked(tmp_path, mosquitto, pipelines={"camera": CAMERA})
    try:
        evidence = tmp_path / "state" / "evidence" / "camera"
        wait_for(lambda: evidence.is_dir() and list(evidence.glob("*.raw.jpg")))
        assert not (tmp_path / "state" / "upload").exists()
        assert _check(asked) == {}
        assert not [key for key in asked.metrics() if "upload" in key[0]]
    finally:
        asked.agent.end()


def _check(asked: Asked) -> dict[str, Any]:
    checks = json.loads(asked.get("/readyz")[1] or b"{}").get("checks", [])
    return next((check for check in checks if check["name"] == "evidence_uploaded"), {})
