"""The whole agent with an accelerator that fails: verdicts go on, and everybody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.agents import ROOT, AgentProcess
from tests.control import Desk
from tests.test_agent import camera
from tools.accel import stand_ins

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Recorder, WaitFor

NAME = "libtestdelegate.so"
SOURCE = {"kind": "simulator", "scene": "conveyor", "fps": 20.0}


class Watched:
    """An agent with one camera, and what it says."""

    def __init__(self, agent: AgentProcess, client: Recorder, switch: Path) -> None:
        self.agent, self._client, self.switch = agent, client, switch

    def heard(self, below: str) -> list[dict[str, Any]]:
        payloads = self._client.payloads(f"{ROOT}/{below}")
        return [msgspec.json.decode(payload) for payload in payloads]

    def newest(self, below: str) -> dict[str, Any]:
        return (self.heard(below) or [{}])[-1]

    def ran_on(self) -> str:
        return str(self.newest("qc/camera/verdict").get("accelerator", "nothing yet"))

    def told(self) -> dict[str, Any]:
        return dict((self.newest("info").get("accelerators") or [{}])[0])

    def checked(self) -> str:
        checks = self.newest("status").get("checks", [])
        return next((c["reason"] for c in checks if c["name"] == "accelerator"), "")


@pytest.fixture
def begin(
    start: Callable[..., AgentProcess], tmp_path: Path, mqtt_client: Recorder, library: Path
) -> Any:
    def make(fault: str = "none", **more: Any) -> Watched:
        switch = tmp_path / "fault"
        accelerator = stand_ins.delegate(library, fault=fault, **{"while": str(switch)})
        pipeline = camera(source=SOURCE, accelerator=accelerator) | more
        defined = stand_ins.defined(library)
        mqtt_client.subscribe(f"{ROOT}/#")
        agent = start({"camera": pipeline}, accelerators=defined)
        return Watched(agent, mqtt_client, switch)

    return make


@pytest.mark.parametrize(("fault", "reason"), [("hang_run", "hung"), ("crash_run", "crashed")])
def test_a_device_that_fails_under_way_costs_no_item_and_is_used_again(
    begin: Any, wait_for: WaitFor, fault: str, reason: str
) -> None:
    watched = begin(fault)
    wait_for(lambda: watched.ran_on() == NAME)
    wait_for(lambda: watched.told().get("effective") == NAME)
    watched.switch.touch()
    wait_for(lambda: watched.ran_on() == "cpu")
    wait_for(lambda: watched.checked().startswith(f"{NAME}: {reason}: "))
    told = watched.told()
    assert (told["effective"], told["reason"], told["fallbacks"]) == ("cpu", reason, 1)
    alert = watched.newest("qc/camera/alert")
    assert (alert["kind"], alert["alert"]) == ("accelerator", "raised")
    assert reason in alert["message"]
    watched.switch.unlink()
    wait_for(lambda: watched.ran_on() == NAME)
    wait_for(lambda: watched.newest("qc/camera/alert").get("alert") == "cleared")
    wait_for(lambda: not watched.checked())
    verdicts = watched.heard("qc/camera/verdict")
    assert not [verdict for verdict in verdicts if reason in verdict["reason"]]
    numbers = {verdict["seq"] for verdict in verdicts}  # on a busy machine one may come twice
    assert numbers == set(range(1, max(numbers) + 1))
    assert watched.newest("qc/camera/stats")["worker_restarts"] == 0


@pytest.mark.parametrize(
    ("word", "name", "needs"),
    [("delegate", NAME, "library"), ("gpu", "gpu", "gpu"), ("npu", "npu", "exact_npu")],
)
def test_one_word_over_mqtt_moves_a_model_to_another_accelerator_and_back(  # noqa: PLR0913, PLR0917  fixtures
    begin: Any,
    mqtt_client: Recorder,
    wait_for: WaitFor,
    word: str,
    name: str,
    needs: str,
    request: pytest.FixtureRequest,
) -> None:
    request.getfixturevalue(needs)
    watched, desk = begin(accelerator="cpu"), Desk(mqtt_client, wait_for)
    wait_for(lambda: watched.ran_on() == "cpu")
    answer = desk.change(patch={"pipelines": {"camera": {"accelerator": word}}})
    assert answer["status"] == "applied", answer
    wait_for(lambda: watched.told().get("reason", "starting") != "starting")
    told = watched.told()
    assert (told["requested"], told["effective"], told["share"]) == (name, name, 1.0), told
    wait_for(lambda: watched.ran_on() == name)
    assert watched.newest("qc/camera/verdict")["verdict"] != "error"
    reported = desk.until_reported(rev=2)["config"]["pipelines"]["camera"]
    assert reported["accelerator"] == word
    desk.change(patch={"pipelines": {"camera": {"accelerator": "cpu"}}})
    wait_for(lambda: watched.ran_on() == "cpu")
    wait_for(lambda: not watched.told())


def test_a_device_that_answers_wrongly_never_inspects(begin: Any, wait_for: WaitFor) -> None:
    watched = begin("wrong")
    watched.switch.touch()
    wait_for(lambda: watched.told().get("reason") == "wrong_answers")
    assert "golden sample" in watched.told()["detail"]
    wait_for(lambda: watched.ran_on() == "cpu")
    watched.switch.unlink()
    wait_for(lambda: watched.ran_on() == NAME)


def test_where_the_cpu_must_not_step_in_the_pipeline_is_blocked_until_the_device_is_well(
    begin: Any, wait_for: WaitFor
) -> None:
    watched = begin("refuse_run", on_failure="fail")
    wait_for(lambda: watched.ran_on() == NAME)
    watched.switch.touch()
    wait_for(lambda: watched.newest("qc/camera/verdict")["verdict"] == "error")
    assert watched.newest("qc/camera/verdict")["reason"].startswith("refused_run: ")
    wait_for(lambda: watched.newest("qc/camera/stats")["state"] == "blocked")
    assert "busy" in watched.newest("qc/camera/stats")["detail"]
    wait_for(lambda: not watched.newest("status")["ready"])
    watched.switch.unlink()
    wait_for(lambda: watched.newest("qc/camera/stats")["state"] == "running")
    wait_for(lambda: watched.newest("qc/camera/verdict")["verdict"] != "error")
