"""`edge-agent doctor`, against real brokers and real files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_agent.commands.doctor import Finding, Gateway
from edge_agent.commands.doctor_broker import check_broker
from edge_agent.commands.doctor_cameras import check_cameras
from edge_agent.commands.doctor_disk import check_disk
from edge_agent.commands.doctor_machine import check_clock, check_cpu, check_memory
from edge_agent.commands.doctor_models import check_files, check_models
from edge_agent.commands.doctor_runtimes import check_codecs, check_runtimes
from edge_agent.config import parse_json
from tests.agents import DEVICE, MODELS, ROOT
from tests.conftest import free_port
from tests.faults.plant import camera

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.conftest import Mosquitto, Recorder, WaitFor

MODEL = str(MODELS / "conveyor-parts")
USER = "nobody"


def _gateway(folder: Path, *, user: str = USER, every_topic: bool = False, **tree: Any) -> Gateway:
    config = parse_json(json.dumps({"device": DEVICE, **tree}).encode())
    return Gateway(config, folder, folder / "state", user, every_topic=every_topic)


def _levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def _device(**source: Any) -> dict[str, Any]:
    return {"p": {"family": "qc", "model": MODEL, "source": {"kind": "camera", **source}}}


def test_a_machine_is_described_and_a_config_that_asks_too_much_is_warned_of(
    tmp_path: Path,
) -> None:
    one = camera(tmp_path, 5) | {"threads": 64}
    crowded = _gateway(tmp_path, pipelines={"a": one})
    assert "fail" not in _levels([*check_cpu(crowded), *check_memory(crowded)])
    assert "model threads" in [*check_cpu(crowded)][-1].text
    huge = _gateway(tmp_path, pipelines={f"p{i}": camera(tmp_path, 5) for i in range(256)})
    assert "MB free" in next(check_memory(huge)).text
    assert "UTC" in next(check_clock(huge)).text


def test_the_disk_is_measured_and_one_that_is_too_small_is_warned_of(tmp_path: Path) -> None:
    assert _levels(check_disk(_gateway(tmp_path))) == ["ok", "ok"]
    assert not [*tmp_path.iterdir()], "it leaves nothing behind"
    assert _levels(check_disk(_gateway(tmp_path, outbox={"max_mb": 1e5})))[1] in {"ok", "warn"}
    speed, room = check_disk(_gateway(Path("/proc"))), None
    (refused,) = speed
    assert refused.level == "fail"
    assert "read-only" in refused.advice
    assert room is None


def test_codecs_and_runtimes_of_this_installation_are_all_there(tmp_path: Path) -> None:
    gateway = _gateway(tmp_path, pipelines={"a": camera(tmp_path, 5)})
    assert set(_levels([*check_codecs(gateway), *check_runtimes(gateway)])) <= {"ok", "warn"}


def test_a_camera_that_is_not_there_fails_and_names_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "video3").touch()
    gateway = _gateway(tmp_path, pipelines=_device(device=0))
    found = [*check_cameras(gateway, tmp_path)]
    assert "video0 of pipeline p is not there; there are: video3" in found[-1].text
    assert found[-1].level == "fail"


def test_a_device_that_the_service_may_not_use_fails_with_the_group_to_join(
    tmp_path: Path,
) -> None:
    (tmp_path / "video0").touch(mode=0o600)
    (found,) = check_cameras(_gateway(tmp_path, pipelines=_device(device=0)), tmp_path)
    assert found.level == "fail"
    assert f"{USER} may not use {tmp_path}/video0" in found.text
    assert "usermod" in found.advice


def test_a_file_that_is_no_camera_fails_where_it_is_needed_and_warns_elsewhere(
    tmp_path: Path,
) -> None:
    (tmp_path / "video0").touch()
    (tmp_path / "video0").chmod(0o666)
    needed = check_cameras(_gateway(tmp_path, pipelines=_device(device=0)), tmp_path)
    assert _levels(needed) == ["fail"]
    assert _levels(check_cameras(_gateway(tmp_path), tmp_path)) == ["warn"]


def test_a_stream_must_give_a_picture(tmp_path: Path) -> None:
    video = str(tmp_path / "video.avi")
    writer = cv2.VideoWriter(video, cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    for _ in range(5):
        writer.write(np.full((48, 64, 3), 99, np.uint8))
    writer.release()
    empty = tmp_path / "dev"
    *_, good = check_cameras(_gateway(tmp_path, pipelines=_device(file=video)), empty)
    assert (good.level, "64x48" in good.text) == ("ok", True)
    away = _device(url=f"http://127.0.0.1:{free_port()}/x")
    *_, bad = check_cameras(_gateway(tmp_path, pipelines=away), empty)
    assert bad.level == "fail"


def test_files_that_are_not_there_fail(tmp_path: Path) -> None:
    pipelines = {"a": camera(tmp_path / "pictures", 5)}
    (found,) = check_files(_gateway(tmp_path, pipelines=pipelines))
    assert found.level == "fail"
    assert f"/pipelines/a/source/path: no such folder: {tmp_path}/pictures" in found.text


def test_models_run_their_golden_samples_and_a_damaged_one_fails(tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", MODEL, str(tmp_path / "damaged")], check=True)
    for file in (tmp_path / "damaged").glob("*.tflite"):
        file.write_bytes(file.read_bytes()[:-1])
    one = camera(tmp_path, 5)
    good = _gateway(tmp_path, pipelines={"a": one})
    assert _levels(check_models(good)) == ["ok"]
    bad = _gateway(tmp_path, pipelines={"a": one, "b": one | {"model": "damaged"}})
    assert set(_levels(check_models(bad))) == {"ok", "fail"}


def test_models_of_recipes_are_run_as_those_of_pipelines_are(tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", MODEL, str(tmp_path / "other")], check=True)
    (tmp_path / "other" / "golden_out_0.npz").write_bytes(b"no array")
    one = camera(tmp_path, 5) | {"recipes": {"P-2": {"model": "other"}}}
    every = check_models(_gateway(tmp_path, pipelines={"a": one}))
    ran, damaged = (finding for finding in every if finding.what == "models")
    assert (ran.level, damaged.level) == ("ok", "fail")
    assert damaged.text.startswith("other: other/golden_out_0.npz: differs")


def test_a_broker_that_lets_the_agent_do_its_work_is_well(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/#")
    gateway = _gateway(tmp_path, broker={"port": mosquitto.port}, pipelines={"a": _triggered()})
    found = [*check_broker(gateway)]
    assert _levels(found) == ["ok"] * 3
    assert "MQTT 5, no TLS" in found[0].text
    wait_for(lambda: mqtt_client.messages)
    assert {heard.topic for heard in mqtt_client.messages} == {f"{ROOT}/doctor"}


def test_an_access_list_that_denies_is_found_out_topic_by_topic(
    tmp_path: Path, mosquitto_with: Callable[[str], Mosquitto]
) -> None:
    (acl := tmp_path / "acl").write_text(f"topic write {ROOT}/doctor\ntopic write {ROOT}/status\n")
    acl.chmod(0o600)
    port = mosquitto_with(f"allow_anonymous true\nacl_file {acl}").port
    tree: dict[str, Any] = {"broker": {"port": port}, "pipelines": {"a": camera(tmp_path, 5)}}
    assert _levels(check_broker(_gateway(tmp_path, **tree))) == ["ok", "ok"]
    found = [*check_broker(_gateway(tmp_path, every_topic=True, **tree))]
    assert _levels(found) == ["ok", "fail"]
    assert f"{ROOT}/qc/a/verdict (not authorized)" in found[1].text
    assert f"{ROOT}/status" not in found[1].text
    assert f"{ROOT}/#" in found[1].advice


def test_a_wrong_password_a_closed_port_and_a_missing_file_each_say_what_to_do(
    tmp_path: Path, mosquitto_with: Callable[[str], Mosquitto]
) -> None:
    port = mosquitto_with("allow_anonymous false").port
    for broker, advice in (
        ({"port": port}, "username and password"),
        ({"port": free_port()}, "nothing listens there"),
        ({"port": port, "username": "x", "password_file": "/nowhere"}, "LoadCredential"),
    ):
        (found,) = check_broker(_gateway(tmp_path, broker=broker))
        assert found.level == "fail"
        assert advice in found.advice, found


def test_a_broker_before_mqtt_5_is_used_with_a_warning(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    gateway = _gateway(tmp_path, broker={"port": mosquitto.port, "protocol": "3.1.1"})
    assert _levels(check_broker(gateway)) == ["warn"]


def test_the_command_prints_a_line_each_and_its_status_says_whether_anything_failed(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = tmp_path / "agent.json"
    tree = {"device": DEVICE, "broker": {"port": mosquitto.port}, "pipelines": {}}
    tree["accelerators"] = {"edgetpu": {"delegate": "/nowhere/libedgetpu.so.1"}}
    config.write_text(json.dumps(tree))
    command = [sys.executable, "-m", "edge_agent", "doctor", str(config)]
    good = subprocess.run(command, capture_output=True, text=True, check=False)
    assert good.returncode == 0
    assert "warn  accelerator edgetpu (libedgetpu.so.1) library_missing: " in good.stdout
    assert good.stdout.splitlines()[-1].startswith("0 failed, ")
    config.write_text(json.dumps(tree | {"broker": {"port": free_port()}}))
    bad = subprocess.run(command, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "fail  broker      127.0.0.1:" in bad.stdout
    assert "1 failed, " in bad.stdout
    config.write_text(json.dumps(tree | {"stats_every_s": 0}))
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 69
    assert "fail  config      /stats_every_s: must be 0.5 or more" in wrong.stdout
    assert "ok    disk" in wrong.stdout
    assert "may grow to" not in wrong.stdout, "nobody has said to what"
    command.insert(-1, "--config")
    named = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "fail  config      /stats_every_s" in named.stdout


def _triggered() -> dict[str, Any]:
    return camera(Path("pictures"), 5) | {"trigger": {"topic": "plc/part", "deadline_ms": 500}}
