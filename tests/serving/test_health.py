"""A real agent asked over HTTP, while its broker, its worker and its disk are taken away."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import parser

from edge_agent.clock import utc_text
from edge_agent.serving import families
from tests.agents import MODELS, ROOT, AgentProcess, workers
from tests.conftest import free_port
from tools.bundling.bundle import enter_doubts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor

CAMERA = {
    "family": "qc",
    "model": str(MODELS / "conveyor-parts"),
    "source": {"kind": "simulator", "scene": "conveyor", "fps": 20.0, "name_parts": False},
    "evidence": {"keep": []},
    "line": {"ideal_cycle_s": 0.05, "down_after_s": 5.0},
}


class Asked:
    """An agent with an HTTP server on a port of its own."""

    def __init__(self, folder: Path, mosquitto: Mosquitto, **top: Any) -> None:
        self.port = free_port()
        top = {"http": {"port": self.port}} | top
        pipelines = top.pop("pipelines", {"camera": CAMERA})
        self.agent = AgentProcess(folder, mosquitto, pipelines, **top)
        self.agent.start()

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def failing(self) -> dict[str, str]:
        """Return what fails and why, by the name of the check."""
        status, body = self.get("/readyz")
        checks = json.loads(body)["checks"] if status == 503 else []
        return {check["name"]: check["reason"] for check in checks if check["state"] == "fail"}

    def check(self, name: str, state: str) -> Any:
        """Return a check once it says so."""
        checks = json.loads(self.get("/readyz")[1] or b"{}").get("checks", [])
        found = (check for check in checks if (check["name"], check["state"]) == (name, state))
        return next(found, None)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Return each sample by its name and the values of its labels."""
        page = self.get("/metrics")[1].decode()
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in parser.text_string_to_metric_families(page)
            for sample in family.samples
        }


@pytest.fixture
def asked(tmp_path: Path, mosquitto: Mosquitto, wait_for: WaitFor) -> Iterator[Asked]:
    found = Asked(tmp_path, mosquitto)
    wait_for(found.ready)
    yield found
    found.agent.end()


def test_metrics_tell_of_every_stage_and_of_what_was_decided(
    asked: Asked, wait_for: WaitFor
) -> None:
    wait_for(lambda: asked.metrics()["edge_agent_verdicts_total", "camera", "pass"] >= 20)
    found = asked.metrics()
    for stage in ("capture", "wait", "prepare", "run", "interpret", "publish", "total"):
        assert found["edge_agent_stage_seconds_count", "camera", stage] > 0, stage
        assert found["edge_agent_stage_seconds_sum", "camera", stage] > 0, stage
    assert found["edge_agent_ready",] == 1
    assert found["edge_agent_broker_connected",] == 1
    assert found["edge_agent_accelerator", "camera", "cpu", "conveyor-parts", "1.0.0"] == 1
    for process in ("agent", "camera"):
        assert found["edge_agent_process_resident_bytes", process] > 10e6
        assert found["edge_agent_process_descriptors", process] > 3
    assert found["edge_agent_shift_parts", "camera", "day"] >= 20
    known = {family.name.removesuffix("_total") for family in families.ALL}
    names = {name for name, *_ in found}
    assert not [name for name in names if not any(name.startswith(each) for each in known)]


def test_the_agent_is_alive_since_its_start_and_not_since_the_question(asked: Asked) -> None:
    (once,), (again,) = (json.loads(asked.get("/healthz")[1])["checks"] for _ in range(2))
    assert once["since_ts"] == again["since_ts"] <= utc_text(time.time_ns())


def test_a_killed_broker_is_the_reason_for_503_until_it_is_back(
    asked: Asked, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mosquitto.stop(signal.SIGKILL)
    wait_for(lambda: list(asked.failing()) == ["broker_acknowledging"])
    assert asked.get("/healthz")[0] == 200
    mosquitto.start()
    mqtt_client.subscribe(f"{ROOT}/status")
    wait_for(asked.ready)
    wait_for(lambda: [m for m in mqtt_client.payloads(f"{ROOT}/status") if b'"ready":true' in m])


def test_a_killed_worker_is_not_ready_and_comes_back(
    asked: Asked, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/status")
    os.kill(workers(asked.agent.pid)["camera"], signal.SIGSTOP)
    reason = wait_for(lambda: asked.failing().get("worker_alive"))
    assert reason is not None
    assert "silent" in reason or "killed" in reason
    wait_for(asked.ready)
    assert asked.metrics()["edge_agent_worker_restarts_total", "camera"] == 1
    told = [json.loads(payload) for payload in mqtt_client.payloads(f"{ROOT}/status")]
    assert any("worker_alive" in each["not_ready"] for each in told)


def test_readiness_follows_a_worker_that_died_and_a_pipeline_that_runs_again_at_once(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    def heard(what: str, field: str, value: str) -> Any:
        payloads = map(json.loads, mqtt_client.payloads(f"{ROOT}/qc/camera/{what}"))
        return next((each for each in payloads if value in each[field]), None)

    mqtt_client.subscribe(f"{ROOT}/qc/camera/+")
    model = shutil.copytree(MODELS / "conveyor-parts", tmp_path / "model") / "model.tflite"
    pipelines = {"camera": CAMERA | {"model": str(model.parent)}}
    asked = Asked(tmp_path, mosquitto, pipelines=pipelines)
    try:
        wait_for(asked.ready)
        whole = model.read_bytes()
        model.write_bytes(b"damaged")  # so that the next worker does not get far
        os.kill(workers(asked.agent.pid)["camera"], signal.SIGKILL)
        lost = wait_for(lambda: heard("verdict", "reason", "worker camera"))
        failed = wait_for(lambda: asked.check("model_warm", "fail"))
        assert failed["since_ts"] <= lost["ts"], "whoever hears of it may ask, and is told"
        wait_for(lambda: heard("stats", "state", "failed"))
        mqtt_client.messages.clear()
        model.write_bytes(whole)
        running = wait_for(lambda: heard("stats", "state", "running"))
        warm = wait_for(lambda: asked.check("model_warm", "ok"))
        assert warm["since_ts"] <= running["ts"]
    finally:
        asked.agent.end()


def test_a_model_that_its_maker_doubts_is_named_in_the_status_of_an_agent_that_is_ready(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    def told() -> Any:
        statuses = map(json.loads, mqtt_client.payloads(f"{ROOT}/status"))
        return next((each["checks"] for each in statuses if each["ready"]), None)

    mqtt_client.subscribe(f"{ROOT}/status")
    model = shutil.copytree(MODELS / "conveyor-parts", tmp_path / "model")
    enter_doubts(model, ["it only guesses"])
    asked = Asked(tmp_path, mosquitto, pipelines={"camera": CAMERA | {"model": str(model)}})
    try:
        (check,) = wait_for(told)
        assert (check["name"], check["pipeline"], check["state"]) == (
            "model_warm",
            "camera",
            "warn",
        )
        assert check["reason"] == "the maker of its model doubts it: it only guesses"
    finally:
        asked.agent.end()


def test_a_restart_that_was_asked_for_is_no_warning_and_a_stop_is_no_end(
    tmp_path: Path,
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    wait_for: WaitFor,
    capfd: pytest.CaptureFixture[str],
) -> None:
    log: list[str] = []

    def told(what: str) -> int:
        log.extend(capfd.readouterr().err.splitlines())
        return sum(f"camera: {what}" in line for line in log)

    mqtt_client.subscribe(f"{ROOT}/qc/camera/stats")
    asked = Asked(tmp_path, mosquitto)
    try:
        wait_for(asked.ready)
        # Commands have a connection of their own: it listens once it has said what is in force.
        mqtt_client.subscribe(f"{ROOT}/config/reported")
        wait_for(lambda: mqtt_client.payloads(f"{ROOT}/config/reported"))
        mqtt_client.publish(f"{ROOT}/cmd/restart", b'{"v": 1, "id": "r1", "pipeline": "camera"}')
        wait_for(lambda: told("running") == 2)
        wait_for(asked.ready)
        assert asked.agent.stop() == 0
    finally:
        asked.agent.end()
    assert told("stopped") == 2
    assert not [line for line in log if "camera: " in line and "WARNING" in line]
    assert not told("ended")
    states = [json.loads(each)["state"] for each in mqtt_client.payloads(f"{ROOT}/qc/camera/stats")]
    assert states[-1] == "stopped"


def test_a_port_that_is_taken_stops_no_inspection(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/qc/camera/verdict")
    agent = AgentProcess(tmp_path, mosquitto, {"camera": CAMERA}, http={"port": mosquitto.port})
    agent.start()
    try:
        wait_for(lambda: len(mqtt_client.messages) > 5)
        assert agent.stop() == 0
    finally:
        agent.end()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_nearly_full_is_the_reason_for_503(
    tmp_path: Path, mosquitto: Mosquitto, wait_for: WaitFor
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", str(state)], check=False
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    found = Asked(tmp_path, mosquitto)
    try:
        wait_for(found.ready)
        ballast = state / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(state).free - 10_000_000))
        reason = wait_for(lambda: found.failing().get("disk_room"))
        assert reason is not None
        assert "MB left, less than 20" in reason
        ballast.unlink()
        wait_for(found.ready)
    finally:
        found.agent.end()
        subprocess.run(["umount", "-l", str(state)], check=True)


def test_figures_of_a_shift_outlive_a_restart(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/qc/camera/shift")
    first = Asked(tmp_path, mosquitto)
    wait_for(first.ready)
    wait_for(lambda: first.metrics().get(("edge_agent_shift_parts", "camera", "day"), 0) > 20)
    assert first.agent.stop() == 0
    shifts = [json.loads(payload) for payload in mqtt_client.payloads(f"{ROOT}/qc/camera/shift")]
    parts = shifts[-1]["parts"]
    second = Asked(tmp_path, mosquitto)
    try:
        wait_for(second.ready)
        assert second.metrics()["edge_agent_shift_parts", "camera", "day"] > parts > 20
    finally:
        second.agent.end()
