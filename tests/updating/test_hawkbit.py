"""hawkBit chooses, the repository vouches, and hawkBit hears how far the gateway is."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.agents import MODELS
from tests.modelstore import hawkbit_stand_in
from tests.modelstore.hawkbit_stand_in import Hawkbit
from tests.modelstore.plant import serving
from tests.updating import plant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor

MODEL = "conveyor-parts"
# How the latest action ended: "success" or "failure", and the details.
Closed: TypeAlias = "Callable[[], tuple[str, str]]"


@pytest.fixture
def hawkbit() -> Iterator[Hawkbit]:
    """Run a stand-in that wants nothing yet."""
    made = Hawkbit(controller="line-3")
    with serving(hawkbit_stand_in.server(made)) as made.url:
        yield made


@pytest.fixture
def gateway(
    tmp_path: Path,
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    server: plant.Server,
    hawkbit: Hawkbit,
) -> Iterator[plant.Gateway]:
    """Return an agent that asks hawkBit; not started."""
    source = {"kind": "hawkbit", "url": hawkbit.url, "tenant": "plant"}
    source |= {"controller": "line-3", "token_file": "hawkbit.token"}
    with plant.heard_gateway(tmp_path, mosquitto, mqtt_client, server, source=source) as made:
        (made.folder / "hawkbit.token").write_text("secret\n")
        yield made


@pytest.fixture
def closed(hawkbit: Hawkbit, wait_for: WaitFor) -> Closed:
    """Wait until hawkBit has no open action."""

    def wait() -> tuple[str, str]:
        wait_for(lambda: not hawkbit.action)
        execution, finished, details = hawkbit.heard[-1]
        assert execution == "closed"
        return finished, " ".join(details)

    return wait


def test_what_hawkbit_wants_is_run_once_it_is_signed_and_every_step_is_told(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    hawkbit: Hawkbit,
    mqtt_client: Recorder,
    closed: Closed,
) -> None:
    server.run("add-model", str(plant.changed(tmp_path, "2.0.0")))
    server.run("add-model", str(plant.changed(tmp_path, "3.0.0")), "--slot", plant.SLOT)
    hawkbit.deploy("7", (plant.SLOT, MODEL, "2.0.0"))
    gateway.start()
    assert plant.outcome(mqtt_client, "2.0.0")["state"] == "confirmed"
    assert closed()[0] == "success"
    said = [(execution, finished) for execution, finished, _ in hawkbit.heard]
    assert {finished for _, finished in said[:-1]} == {"none"}
    details = [details[0] for _, _, details in hawkbit.heard]
    assert details == [
        f"{plant.SLOT}: {MODEL}@2.0.0 {state}"
        for state in plant.states(mqtt_client)
        if state != "idle"
    ]
    assert "3.0.0" not in str(plant.statuses(mqtt_client)), "the document of the fleet chose"


def test_an_action_that_cannot_be_done_is_closed_with_the_reason(
    gateway: plant.Gateway, hawkbit: Hawkbit, closed: Closed
) -> None:
    hawkbit.deploy("8", (plant.SLOT, MODEL, "6.6.6"))
    gateway.start()
    finished, details = closed()
    assert (finished, "not_signed" in details) == ("failure", True)
    hawkbit.deploy("9", ("spindle", MODEL, "1.0.0"))
    finished, details = closed()
    assert (finished, "no_slot" in details) == ("failure", True)
    hawkbit.deploy("10", (plant.SLOT, MODEL, "1.0.0"))
    assert closed()[0] == "success", "it ran this one already"


def test_after_a_kill_the_action_is_still_brought_to_its_end(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    hawkbit: Hawkbit,
    closed: Closed,
) -> None:
    server.run("add-model", str(plant.changed(tmp_path, "2.0.0")))
    hawkbit.deploy("11", (plant.SLOT, MODEL, "2.0.0"))
    gateway.start(fault_point="confirmed")
    assert gateway.agent.wait(60) < 0
    assert hawkbit.action == "11"
    gateway.start()
    assert closed()[0] == "success"


def test_a_model_that_failed_here_is_refused_again_also_after_a_restart(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    hawkbit: Hawkbit,
    closed: Closed,
) -> None:
    bad = plant.changed(tmp_path, "2.0.0", change=_wrong_golden)
    server.run("add-model", str(bad), "--unverified")
    for action in ("12", "13"):
        hawkbit.deploy(action, (plant.SLOT, MODEL, "2.0.0"))
        gateway.start()
        finished, details = closed()
        assert finished == "failure"
        assert gateway.agent.stop() == 0
    assert "quarantined" in details


def test_an_action_that_is_cancelled_while_it_waits_is_agreed_to_and_forgotten(
    tmp_path: Path,
    server: plant.Server,
    gateway: plant.Gateway,
    hawkbit: Hawkbit,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    server.run("add-model", str(plant.changed(tmp_path, "2.0.0")))
    tree = json.loads(gateway.agent.config.read_text())
    tree["sync"]["window"] = _far_from_now()
    gateway.agent.config.write_text(json.dumps(tree))
    hawkbit.deploy("14", (plant.SLOT, MODEL, "2.0.0"))
    gateway.start()
    wait_for(lambda: [each for each in hawkbit.heard if "window" in str(each)])
    hawkbit.cancel = "14"
    wait_for(lambda: not hawkbit.action)
    wait_for(lambda: plant.statuses(mqtt_client)[-1]["state"] == "idle")
    assert {execution for execution, _, _ in hawkbit.heard[:-1]} == {"scheduled"}


def test_a_wrong_token_is_told_and_what_runs_runs_on(
    gateway: plant.Gateway, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    (gateway.folder / "hawkbit.token").write_text("stolen")
    gateway.start()
    wait_for(lambda: [s for s in plant.statuses(mqtt_client) if s["error"]])
    assert "401" in plant.statuses(mqtt_client)[-1]["error"]["detail"]
    wait_for(lambda: plant.verdicts(mqtt_client))


def _far_from_now() -> str:
    """Return a window that is closed for the next hours."""
    hour = time.localtime().tm_hour
    return f"{(hour + 12) % 24:02}:00-{(hour + 13) % 24:02}:00"


def _wrong_golden(_: object, bundle: Path) -> None:
    shutil.copy(
        MODELS / MODEL / "golden_out_1.npz",
        bundle / "golden_out_0.npz",
    )
