"""Models that are signed and bad: each is given up by itself, and what ran before it runs on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.updating import odd_models, plant

if TYPE_CHECKING:
    from tests.conftest import Recorder, WaitFor


@pytest.mark.timeout(400)
def test_what_the_self_test_finds_never_decides_about_a_part(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    def other_answer(tree: dict[str, Any], _bundle: Path) -> None:
        tree["selftest"]["cases"][0]["out"] = tree["selftest"]["cases"][1]["out"]

    def in_no_time(tree: dict[str, Any], _bundle: Path) -> None:
        tree["selftest"]["p95_ms_max"] = 0.0001

    bad = {
        "2.0.0": (plant.odd(tmp_path, "2.0.0", odd_models.foreign()), "model", "Conveyor"),
        "3.0.0": (plant.odd(tmp_path, "3.0.0", odd_models.greedy()), "model", "memory"),
        "4.0.0": (plant.odd(tmp_path, "4.0.0", odd_models.not_a_number()), "model", "differs"),
        "5.0.0": (plant.changed(tmp_path, "5.0.0", change=other_answer), "model", "differs"),
        "6.0.0": (plant.changed(tmp_path, "6.0.0", change=in_no_time), "model", "too slow"),
        "7.0.0": (plant.odd(tmp_path, "7.0.0", b"no model at all"), "model", "loaded"),
    }
    gateway.start()
    wait_for(lambda: plant.verdicts(mqtt_client))
    for version, (bundle, code, words) in bad.items():
        server.publish(bundle)
        status = plant.outcome(mqtt_client, version)
        assert (status["state"], status["error"]["code"]) == ("failed", code), status
        assert words in status["error"]["detail"], status
        assert status["from"] == "conveyor-parts@1.0.0"
    assert {v["model_version"] for v in plant.verdicts(mqtt_client)} == {"1.0.0"}
    record = _record(gateway)
    assert len(record["quarantine"]) == len(bad)
    assert record["active"] is None
    server.publish(plant.changed(tmp_path, "8.0.0"))
    assert plant.outcome(mqtt_client, "8.0.0")["state"] == "confirmed"


def test_a_model_that_never_answers_is_killed_with_its_self_test(
    tmp_path: Path, server: plant.Server, gateway: plant.Gateway, mqtt_client: Recorder
) -> None:
    server.publish(plant.odd(tmp_path, "2.0.0", odd_models.endless()))
    gateway.start()
    status = plant.outcome(mqtt_client, "2.0.0")
    assert (status["state"], status["error"]["code"]) == ("failed", "hang")


def test_one_that_is_good_on_its_golden_samples_alone_is_seen_in_the_shadow(
    tmp_path: Path, server: plant.Server, gateway: plant.Gateway, mqtt_client: Recorder
) -> None:
    server.publish(plant.odd(tmp_path, "2.0.0", odd_models.good_on_black_only()))
    gateway.start()
    status = plant.outcome(mqtt_client, "2.0.0")
    assert (status["state"], status["error"]["code"]) == ("failed", "errs")
    assert "shadow" in plant.states(mqtt_client)
    assert "trial" not in plant.states(mqtt_client)


def test_one_that_errs_on_trial_is_gone_within_seconds(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    def no_shadow(tree: dict[str, Any], _bundle: Path) -> None:
        tree["shadow"] = {"min_items": 0, "max_s": 0.0}

    model = odd_models.good_on_black_only()
    server.publish(plant.odd(tmp_path, "2.0.0", model, change=no_shadow))
    gateway.start()
    status = plant.outcome(mqtt_client, "2.0.0")
    assert (status["state"], status["error"]["code"]) == ("rolled_back", "errs")
    by_new = [v for v in plant.verdicts(mqtt_client) if v["model_version"] == "2.0.0"]
    assert 1 <= len(by_new) <= 5
    assert {v["verdict"] for v in by_new} == {"error"}
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "1.0.0")
    assert status["digest"] in _record(gateway)["quarantine"]


def test_when_the_worker_dies_on_trial_the_model_before_is_back(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    def long_trial(tree: dict[str, Any], _bundle: Path) -> None:
        tree["trial"] = {"soak_s": 3600.0}

    server.publish(plant.changed(tmp_path, "2.0.0", change=long_trial))
    gateway.start()

    def by_new() -> list[dict[str, Any]]:
        return [v for v in plant.verdicts(mqtt_client) if v["model_version"] == "2.0.0"]

    wait_for(lambda: "trial" in plant.states(mqtt_client) and by_new())
    os.kill(_worker(gateway), signal.SIGKILL)
    status = plant.outcome(mqtt_client, "2.0.0")
    assert (status["state"], status["error"]["code"]) == ("rolled_back", "worker_died")
    wait_for(lambda: plant.verdicts(mqtt_client)[-1]["model_version"] == "1.0.0")


def _record(gateway: plant.Gateway) -> dict[str, Any]:
    """Return the newer copy of the slot's record."""
    folder = gateway.store / "slots" / plant.SLOT
    copies = [path.read_text().partition("\n")[2] for path in folder.glob("state.?")]
    found: dict[str, Any] = max(map(json.loads, copies), key=lambda copy: int(copy["serial"]))
    return found


def _worker(gateway: plant.Gateway) -> int:
    """Return the process that inspects."""
    below = psutil.Process(gateway.agent.pid).children(recursive=True)
    return next(
        int(p.pid) for p in below if Path(f"/proc/{p.pid}/comm").read_text() == "ea:plates\n"
    )
