"""The agent is killed as it comes to each state: afterwards the old or the new model runs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.updating import plant

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Recorder, WaitFor

# At each operation on files: tests/faults/test_update_interrupted.py.
STATES = ("downloading", "selftesting", "shadow", "trial", "confirmed")


@pytest.mark.parametrize("state", STATES)
def test_after_one_kill_the_update_is_begun_anew_and_ends_well(
    state: str,
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.publish(plant.changed(tmp_path, "2.0.0"))
    gateway.start(fault_point=state)
    assert gateway.agent.wait(60) == -signal.SIGKILL
    before = len(plant.verdicts(mqtt_client))
    gateway.start()
    wait_for(lambda: plant.statuses(mqtt_client)[-1]["state"] == "confirmed")
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "2.0.0")
    since = [v["model_version"] for v in plant.verdicts(mqtt_client)[before:] if v["model"]]
    assert since == sorted(since), "the old one, then the new one, and never back"
    assert plant.statuses(mqtt_client)[-1]["error"] is None


def test_an_agent_that_is_killed_again_and_again_gives_the_model_up(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.publish(plant.changed(tmp_path, "2.0.0"))
    for _ in range(3):
        gateway.start(fault_point="trial")
        assert gateway.agent.wait(60) == -signal.SIGKILL
    gateway.start(fault_point="trial")
    wait_for(lambda: plant.statuses(mqtt_client)[-1]["state"] == "failed")
    status = plant.statuses(mqtt_client)[-1]
    assert status["error"]["code"] == "interrupted"
    assert status["from"] == "conveyor-parts@1.0.0"
    count = len(plant.verdicts(mqtt_client))
    wait_for(lambda: len(plant.verdicts(mqtt_client)) > count + 30)
    assert {v["model_version"] for v in plant.verdicts(mqtt_client)[count:]} == {"1.0.0"}
    assert gateway.agent.stop() == 0
