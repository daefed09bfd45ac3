"""`make bench` runs, and writes what it measured in the form that others read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.bench import figures
from tools.bench.mqtt_socket import MqttSocket, packet

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, WaitFor

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """Run the shortest part, on the project's own pictures."""
    build = tmp_path_factory.mktemp("build")
    absent = build / "no-data"
    command = [sys.executable, "-m", "tools.bench", "--quick", "start", "--build", str(build)]
    done = subprocess.run(
        [*command, "--data", str(absent)], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "simulated conveyor" in done.stdout
    tree: dict[str, dict[str, object]] = json.loads((build / "bench.json").read_text())
    return tree


def test_a_part_can_be_run_alone_and_only_its_figures_are_written(
    written: dict[str, dict[str, object]],
) -> None:
    assert list(written) == ["start_s"]


def test_each_figure_has_a_value_a_unit_a_goal_and_whether_it_holds(
    written: dict[str, dict[str, object]],
) -> None:
    start = written["start_s"]
    assert set(start) == {"value", "unit", "goal", "holds"}
    assert isinstance(start["value"], float)
    assert start["value"] > 0
    assert (start["unit"], start["goal"]) == ("s", "<= 1")
    assert start["holds"] == (start["value"] <= 1)


def test_a_figure_without_a_goal_neither_holds_nor_fails() -> None:
    figure = figures.Figure("bare", "1/s", "bare loop")
    assert figure.goal is None
    assert figure.holds(1.0) is None


def test_the_names_of_figures_are_unique() -> None:
    names = [figure.name for figure in figures.FIGURES]
    assert len(names) == len(set(names))


def test_a_quantile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1000, 0, -1)]
    assert figures.quantile(values, 0.99) == 991.0
    assert figures.quantile([7.0], 0.99) == 7.0


def test_the_load_hears_large_and_small_messages_whole(
    mosquitto: Mosquitto, wait_for: WaitFor
) -> None:
    client = MqttSocket(mosquitto.host, mosquitto.port, "load")
    try:
        client.subscribe("to/#")
        payloads = [bytes(200_000), b"", b"x" * 127, b"y" * 128]
        client.send(b"".join(packet("to/us", payload) for payload in payloads))
        heard: list[bytes] = []

        def all_here() -> bool:
            heard.extend(message.payload for message in client.receive(0.1))
            return len(heard) >= len(payloads)

        wait_for(all_here)
        assert heard == payloads
    finally:
        client.close()
