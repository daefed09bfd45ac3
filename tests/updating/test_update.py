"""A running agent takes a model from a signed repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.updating import plant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor


@pytest.fixture
def server(tmp_path: Path) -> plant.Server:
    return plant.Server(tmp_path)


@pytest.fixture
def gateway(
    tmp_path: Path, mosquitto: Mosquitto, server: plant.Server
) -> Iterator[plant.Gateway]:
    made = plant.Gateway(tmp_path, mosquitto, server)
    yield made
    made.agent.end()


def test_a_changed_version_goes_through_every_state_and_no_frame_is_missed(
    tmp_path: Path, server: plant.Server, gateway: plant.Gateway, mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.publish(plant.MODELS / "conveyor-parts")
    mqtt_client.subscribe(plant.STATUS)
    mqtt_client.subscribe(plant.VERDICTS)
    gateway.start()
    wait_for(lambda: plant.verdicts(mqtt_client), 30)
    server.publish(plant.changed(tmp_path, "2.0.0"))
    last = plant.settled(mqtt_client, "confirmed", "failed", "rolled_back")
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "2.0.0")
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
    assert gateway.agent.stop() == 0
