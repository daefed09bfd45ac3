"""`edge-agent models`: a person at the gateway looks, goes back, and takes no other model."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.updating import odd_models, plant

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Recorder, WaitFor


def command(gateway: plant.Gateway, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "edge_agent", "models", verb]
    line += ["--config", str(gateway.agent.config), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_a_model_is_shown_taken_back_for_good_and_then_none_is_taken(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.publish(plant.changed(tmp_path, "2.0.0"))
    gateway.start()
    assert plant.outcome(mqtt_client, "2.0.0")["state"] == "confirmed"
    assert command(gateway, "list").stdout.startswith("plates: conveyor-parts@2.0.0 (")
    verified = command(gateway, "verify", plant.SLOT)
    assert verified.stdout.count(": verified: 8 golden samples") == 2
    assert command(gateway, "rollback", plant.SLOT).returncode == 0
    wait_for(lambda: plant.statuses(mqtt_client)[-1]["state"] == "rolled_back")
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "1.0.0")
    status = plant.statuses(mqtt_client)[-1]
    assert (status["error"]["code"], status["from"]) == ("recalled", "conveyor-parts@1.0.0")
    assert "recalled" in command(gateway, "show").stdout
    said = command(gateway, "release", "conveyor-parts@9.9.9").stderr
    assert "is not in quarantine; in it: plates: conveyor-parts@2.0.0 (" in said
    said = command(gateway, "release", "conveyor-parts@2.0.0").stdout
    assert "may be tried again; it was in quarantine for recalled: " in said
    wait_for(lambda: plant.statuses(mqtt_client)[-1]["state"] == "confirmed")
    assert command(gateway, "pin", plant.SLOT).returncode == 0
    wait_for(lambda: plant.statuses(mqtt_client)[-1]["pinned"])
    assert ", pinned" in command(gateway, "list").stdout
    server.publish(plant.changed(tmp_path, "3.0.0"))
    command(gateway, "pin", plant.SLOT, "--off")
    assert plant.outcome(mqtt_client, "3.0.0")["state"] == "confirmed"
    assert plant.verdicts(mqtt_client)[-1]["model_version"] in {"2.0.0", "3.0.0"}


def test_a_model_on_trial_is_taken_back_also_while_the_agent_is_down(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.publish(plant.changed(tmp_path, "2.0.0"))
    gateway.start(fault_point="trial")
    gateway.agent.wait(60)
    assert "conveyor-parts@2.0.0" in command(gateway, "list").stdout
    said = command(gateway, "rollback", plant.SLOT).stdout
    assert said.startswith("plates: goes back from conveyor-parts@2.0.0 to the model before")
    gateway.start()
    status = plant.outcome(mqtt_client, "2.0.0")
    assert (status["state"], status["error"]["code"]) == ("failed", "recalled")
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "1.0.0")
    assert "recalled" in command(gateway, "show").stdout


def test_what_cannot_be_done_is_said(gateway: plant.Gateway) -> None:
    refused = command(gateway, "rollback", plant.SLOT)
    assert refused.returncode != 0
    assert "nothing to go back to" in refused.stderr
    assert "there are: plates" in command(gateway, "pin", "other").stderr
    assert "(of the config) idle" in command(gateway, "list").stdout


def test_with_pause_the_old_model_makes_room_and_comes_back_when_the_new_one_errs(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    text = gateway.agent.config.read_text()
    changed = text.replace('"poll_s": 0.5', '"poll_s": 0.5, "swap_mode": "pause"')
    gateway.agent.config.write_text(changed)
    server.publish(plant.odd(tmp_path, "2.0.0", odd_models.good_on_black_only()))
    gateway.start()
    status = plant.outcome(mqtt_client, "2.0.0")
    assert (status["state"], status["error"]["code"]) == ("rolled_back", "errs")
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "1.0.0")
    server.publish(plant.changed(tmp_path, "3.0.0"))
    assert plant.outcome(mqtt_client, "3.0.0")["state"] == "confirmed"
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "3.0.0")
