"""A repository with a shipped model, and a gateway that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.agents import MODELS
from tests.faults.conftest import trial  # noqa: F401  a fixture
from tests.updating import plant

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder


@pytest.fixture
def server(tmp_path: Path) -> plant.Server:
    """Make a repository whose owner wants the shipped model everywhere."""
    made = plant.Server(tmp_path)
    made.publish(MODELS / "conveyor-parts")
    return made


@pytest.fixture
def gateway(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, server: plant.Server
) -> Iterator[plant.Gateway]:
    """Return an agent that is not started yet, its messages recorded."""
    with plant.heard_gateway(tmp_path, mosquitto, mqtt_client, server) as made:
        yield made
