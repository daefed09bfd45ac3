"""A running agent takes a model from a signed repository."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.agents import ROOT
from tests.updating import plant
from tools.swap_gap import swap_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.conftest import Recorder, WaitFor


def test_a_changed_version_goes_through_every_state_and_no_frame_is_missed(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = json.loads(gateway.agent.config.read_text())
    # A busy machine overtakes a picture now and then: here the source waits, and each one counts.
    config["pipelines"][plant.SLOT]["source"]["realtime"] = False
    gateway.agent.config.write_text(json.dumps(config))
    gateway.start()
    wait_for(lambda: plant.verdicts(mqtt_client))
    server.publish(plant.changed(tmp_path, "2.0.0"))
    last = plant.settled(mqtt_client, "confirmed", "failed", "rolled_back")
    swap = wait_for(lambda: swap_of(plant.verdicts(mqtt_client)))
    assert plant.states(mqtt_client) == [
        "idle",
        "available",
        "downloading",
        "verified",
        "selftesting",
        "staged",
        "shadow",
        "trial",
        "confirmed",
    ]
    assert last["from"] == "conveyor-parts@2.0.0"
    assert last["shadow"]["items"] >= 5 <= last["trial"]["items"]
    assert swap is not None
    assert swap.missing == ()
    with capsys.disabled():
        sys.stdout.write(f"\n{swap.sentence()}\n")
    copy = (gateway.store / "slots" / plant.SLOT / "state.a").read_text().partition("\n")[2]
    assert json.loads(copy)["factory"] == "conveyor-parts"
    assert gateway.agent.stop() == 0


def test_what_was_confirmed_runs_from_the_start_on_without_a_repository(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.publish(plant.changed(tmp_path, "2.0.0"))
    gateway.start()
    plant.outcome(mqtt_client, "2.0.0")
    assert gateway.agent.stop() == 0
    server.repo.rename(server.repo.with_name("gone"))
    before = len(plant.verdicts(mqtt_client))
    gateway.start()
    wait_for(lambda: len(plant.verdicts(mqtt_client)) > before + 5)
    assert {v["model_version"] for v in plant.verdicts(mqtt_client)[before:]} == {"2.0.0"}
    wait_for(lambda: plant.statuses(mqtt_client)[-1]["error"])
    assert plant.statuses(mqtt_client)[-1]["error"]["code"] == "offline"


def test_a_confirmed_model_that_the_disk_damaged_gives_way_to_the_one_before(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.publish(plant.changed(tmp_path, "2.0.0"))
    gateway.start()
    plant.outcome(mqtt_client, "2.0.0")
    assert gateway.agent.stop() == 0
    server.repo.rename(server.repo.with_name("gone"))
    model = next((gateway.store / "slots" / plant.SLOT / "gens").glob("*/model.tflite"))
    content = bytearray(model.read_bytes())
    content[5000] ^= 1
    model.chmod(0o644)
    model.write_bytes(content)
    before = len(plant.statuses(mqtt_client))
    gateway.start()
    wait_for(
        lambda: [s for s in plant.statuses(mqtt_client)[before:] if s["state"] == "rolled_back"], 30
    )
    status = plant.statuses(mqtt_client)[-1]
    assert status["from"] == "conveyor-parts@1.0.0"
    assert "differs from what manifest.json says" in status["error"]["detail"]
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "1.0.0")


def test_a_nudge_has_the_gateway_look_now_and_is_believed_nothing_else(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    text = gateway.agent.config.read_text().replace('"poll_s": 0.5', '"poll_s": 3600')
    gateway.agent.config.write_text(text)
    gateway.start()
    wait_for((gateway.store / "floor.json").exists)
    server.publish(plant.changed(tmp_path, "2.0.0"))
    mqtt_client.publish(f"{ROOT}/model/nudge", b"run conveyor-parts@9.9.9 \xff")
    assert plant.outcome(mqtt_client, "2.0.0")["state"] == "confirmed"
    floors = gateway.store / "floor.json"
    wait_for(lambda: json.loads(floors.read_text())["confirmed_seqs"])
    assert json.loads(floors.read_text())["confirmed_seqs"] == {"conveyor-parts": 3}
