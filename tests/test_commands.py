"""Commands over MQTT to a real agent: restart, snapshot, recalibrate, recipe, logs."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.control.signature import sign
from tests.agents import MODELS, ROOT, AgentProcess, workers
from tests.conftest import free_port
from tests.control import Belt, Desk, camera, every_picture, inspected
from tests.test_schemas import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Mosquitto, WaitFor

PRIVATE = bytes(range(32))


def test_a_restart_is_answered_once_the_pipeline_runs_again(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": camera(), "two": camera()})
    desk.until_running("one", "two")
    wait_for(lambda: desk.verdicts("one"))  # early: the line built anew soon has inspected as much
    before = workers(agent.pid)["one"]
    answer = desk.command("restart", pipeline="one")
    assert (answer["status"], answer["code"], answer["result"]) == (
        "done",
        200,
        {"state": "running"},
    )
    assert workers(agent.pid)["one"] == before, "its process stays, its line is built anew"
    # The simulated line begins anew with its first part; a camera may miss any one of them.
    wait_for(lambda: any(later <= earlier for earlier, later in pairwise(parts(desk))))


def parts(desk: Desk) -> list[str]:
    return [str(verdict["part_id"]) for verdict in desk.verdicts("one")]


def test_a_snapshot_shows_one_part_with_its_verdict(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    answer = desk.command("snapshot", pipeline="one")
    result = answer["result"]
    (verdict,) = wait_for(
        lambda: [v for v in desk.verdicts("one") if v["id"] == result["verdict_id"]]
    )
    assert (result["verdict"], result["score"]) == (verdict["verdict"], verdict["score"])
    picture = np.frombuffer(base64.b64decode(result["picture_jpeg"]), np.uint8)
    decoded = cv2.imdecode(picture, cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape[2] == 3


def test_a_snapshot_that_no_part_comes_for_says_how_the_pipeline_is(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    start({"one": camera(source={"kind": "simulator", "scene": "conveyor", "fps": 0.2})})
    desk.until_running("one")
    desk.command("snapshot", pipeline="one")  # the first part is there at once
    answer = desk.command("snapshot", pipeline="one", within_s=1)
    assert (answer["status"], answer["code"]) == ("failed", 500)
    assert answer["errors"][0]["msg"] == "not done within 1 s (it is running)"
    assert desk.command("snapshot", pipeline="one", within_s=60)["status"] == "done"


@pytest.mark.parametrize("verb", ["restart", "recipe", "snapshot"])
def test_a_pipeline_that_leaves_while_something_is_asked_of_it_is_said_to_be_gone(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor, verb: str
) -> None:
    recipes = {"P-2": {"model": str(MODELS / "conveyor-parts")}}
    away = camera(source={"kind": "folder", "path": "nowhere"}, recipes=recipes)
    start({"one": camera(), "away": away})
    desk.until_running("one")
    request = {"v": 1, "id": "r1", "pipeline": "away", "within_s": 60}
    request |= {"code": "P-2"} if verb == "recipe" else {}
    asked = desk.send(f"cmd/{verb}", request)
    assert desk.change(patch={"pipelines": {"away": None}})["status"] == "applied"
    answer = wait_for(lambda: desk.answers(asked)[0])
    if verb != "recipe":  # that takes no item, and may be there already
        assert answer["errors"][0]["msg"] == "has left the config meanwhile"
    assert desk.command("snapshot", pipeline="one")["status"] == "done"


def test_a_snapshot_asked_of_a_worker_that_dies_is_answered_by_the_next(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": camera()})
    desk.until_running("one")
    worker = workers(agent.pid)["one"]
    os.kill(worker, signal.SIGSTOP)  # it hears the order, and does nothing about it
    asked = desk.send("cmd/snapshot", {"v": 1, "id": "s1", "pipeline": "one"})
    desk.command("logs")  # what was asked before is ordered now
    os.kill(worker, signal.SIGKILL)
    answer = wait_for(lambda: desk.answers(asked)[0])
    assert (answer["status"], answer["code"]) == ("done", 200), answer
    assert answer["result"]["picture_jpeg"]


def test_the_threshold_follows_the_last_good_parts(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    source = camera()["source"] | {"defect_rate": 0.0}
    start({"one": camera(source=source)})
    desk.until_running("one")
    early = desk.command("recalibrate", pipeline="one", parts=1000)
    assert (early["status"], early["code"]) == ("refused", 409)
    wait_for(lambda: len(desk.verdicts("one")) >= 40)
    answer = desk.command("recalibrate", pipeline="one", parts=30, dry_run=True)
    assert answer["code"] == 200
    assert 0 < answer["result"]["pass_at"] < answer["result"]["fail_at"] < 0.7
    few = "30 parts say little of how good ones differ: take 50 or more"
    assert answer["warnings"] == [{"path": "/parts", "type": "few", "msg": few}]
    wait_for(lambda: len(desk.verdicts("one")) >= 50)
    answer = desk.command("recalibrate", pipeline="one")
    assert (answer["verb"], answer["status"], answer["warnings"]) == ("recalibrate", "done", [])
    rule = desk.until_reported(rev=2, status="applied")["config"]["pipelines"]["one"]["rule"]
    limits = {"fail_at": rule["fail_at"], "pass_at": rule["pass_at"]}
    assert answer["result"] == {**limits, "before": {"fail_at": 0.7, "pass_at": 0.3}, "rev": 2}
    assert limits["fail_at"] < 0.7


def test_a_pipeline_without_a_rule_is_not_recalibrated_and_its_models_own_is_shown(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    source = camera()["source"] | {"defect_rate": 0.0}
    start({"one": camera(rule=None, source=source)})
    wait_for(lambda: len(desk.verdicts("one")) >= 10)
    answer = desk.command("recalibrate", pipeline="one", parts=5, any_verdict=True)
    assert (answer["status"], answer["code"]) == ("refused", 422)
    (error,) = answer["errors"]
    said, own = error["msg"].split(": ", 2)[1:]
    assert said == "patch its model's own in, to be adjusted"
    rule = json.loads(own)
    assert rule["kind"] == "threshold"
    patch = {"pipelines": {"one": {"rule": rule}}}
    assert desk.change(patch=patch)["status"] == "applied"
    wait_for(lambda: len(desk.verdicts("one")) >= 30)
    answer = desk.command("recalibrate", pipeline="one", parts=20, any_verdict=True, dry_run=True)
    assert answer["result"]["before"]["fail_at"] == rule["fail_at"]


def test_a_threshold_whose_trial_is_cut_short_is_answered_as_a_command(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    source = camera()["source"] | {"defect_rate": 0.0}
    agent = start({"one": camera(source=source)})
    wait_for(lambda: len(desk.verdicts("one")) >= 30)
    request = {"v": 1, "id": "cut", "pipeline": "one", "parts": 20}
    asked = desk.send("cmd/recalibrate", request)
    desk.until_reported(status="trial")
    agent.stop(signal.SIGKILL)
    agent.start()
    answer = wait_for(lambda: desk.answers(asked))[0]
    check("command-result", json.dumps(answer).encode())
    assert (answer["verb"], answer["status"], answer["code"]) == ("recalibrate", "failed", 500)
    assert "it was taken back" in answer["errors"][0]["msg"]


def test_a_threshold_that_no_score_would_reach_is_not_set(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    # Half of the parts have a defect: between such scores and the next one there is no room.
    source = camera()["source"] | {"defect_rate": 0.5}
    start({"one": camera(source=source)})
    wait_for(lambda: len(desk.verdicts("one")) >= 30)
    asked = {"pipeline": "one", "parts": 20, "dry_run": True}
    answer = desk.command("recalibrate", **asked)
    assert (answer["status"], answer["code"]) == ("refused", 422)
    assert "of these 20 parts did not pass: are all of them good?" in answer["errors"][0]["msg"]
    answer = desk.command("recalibrate", **asked, any_verdict=True)
    assert (answer["status"], answer["code"]) == ("refused", 422)
    paths = [error["path"] for error in answer["errors"]]
    assert "/pipelines/one/rule/fail_at" in paths
    assert "the scores of this model are 0 to 1" in answer["errors"][0]["msg"]


def test_a_threshold_is_calibrated_again_for_the_recipe_that_is_inspected(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    # To this model a grey picture is surely bad: only below its scores there is room for a limit.
    rule = {"kind": "threshold", "direction": "below", "fail_at": 0.3}
    recipes = {"P-2": {"model": camera()["model"], "rule": rule}}
    agent = start({"one": every_picture(recipes=recipes, recipe="P-2")})
    desk.until_running("one")
    before = workers(agent.pid)["one"]
    with Belt(mosquitto) as belt:
        wait_for(lambda: inspected(desk) >= 20)
        answer = desk.command("recalibrate", pipeline="one", parts=20)
        assert (answer["status"], answer["result"]["rev"]) == ("done", 2)
    wait_for(lambda: inspected(desk) == belt.sent)
    one = desk.until_reported(rev=2, status="applied")["config"]["pipelines"]["one"]
    assert one["recipes"]["P-2"]["rule"]["fail_at"] != 0.3
    assert one["rule"]["fail_at"] == 0.7
    assert workers(agent.pid)["one"] == before


def test_the_log_can_be_read_from_afar(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    lines = wait_for(lambda: desk.command("logs", lines=50)["result"]["lines"])
    assert any(line.endswith("INFO one: running") for line in lines)


def test_a_start_warns_of_nothing_and_says_once_of_each_connection_that_it_is_there(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": camera()}, http={"port": free_port()})
    desk.until_running("one")
    statuses = f"{ROOT}/status"
    wait_for(lambda: json.loads(desk.client.payloads(statuses)[-1])["ready"])
    lines = desk.command("logs")["result"]["lines"]
    assert not [line for line in lines if " WARNING " in line]
    connected = [line.partition(" INFO ")[2] for line in lines if line.endswith(": connected")]
    assert len(connected) == len(set(connected)) == 2


def test_an_unknown_pipeline_is_refused_and_the_known_ones_are_named(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    start({"one": camera()})
    desk.reported()
    answer = desk.command("restart", pipeline="other")
    assert (answer["status"], answer["code"]) == ("refused", 404)
    assert answer["errors"][0]["msg"] == "no such pipeline: 'other'; there are: one"


@pytest.mark.parametrize("more", [{}, {"pipeline": 1}, {"delay_s": 3}])
def test_an_unknown_command_is_answered_under_its_id_with_those_there_are(
    start: Callable[..., AgentProcess], desk: Desk, more: dict[str, Any]
) -> None:
    start({"one": camera()})
    desk.reported()
    answer = desk.ask("cmd/reboot", {"id": "mine"} | more)
    assert (answer["id"], answer["status"], answer["code"]) == ("mine", "refused", 404)
    there = "restart, snapshot, recalibrate, recipe, logs"
    assert answer["errors"][0]["msg"] == f"no such command: 'reboot'; there are: {there}"


def test_a_wrong_command_is_answered_under_its_id_with_what_may_stand_there(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    start({"one": camera()})
    desk.reported()
    for verb, field, there in (
        ("restart", "delay_s", "v, id, pipeline, within_s"),
        ("restart", "code", "v, id, pipeline, within_s"),
        ("logs", "pipeline", "v, id, lines"),
    ):
        answer = desk.ask(f"cmd/{verb}", {"id": f"{verb}-{field}", "pipeline": "one", field: "x"})
        assert (answer["id"], answer["code"]) == (f"{verb}-{field}", 422)
        assert answer["errors"] == [
            {
                "path": f"/{field}",
                "type": "request",
                "msg": f"no such field: '{field}'; there are: {there}",
            }
        ]
    answer = desk.ask("cmd/restart", {"id": "none"})
    assert answer["errors"] == [{"path": "/pipeline", "type": "request", "msg": "is missing"}]


def test_a_product_variant_has_to_be_named(start: Callable[..., AgentProcess], desk: Desk) -> None:
    start({"one": camera(recipes={"P-2": {"model": camera()["model"]}}, recipe="P-2")})
    desk.until_running("one")
    answer = desk.command("recipe", pipeline="one")
    assert (answer["status"], answer["code"]) == ("refused", 422)
    assert answer["errors"][0]["path"] == "/code"
    assert "P-2" in answer["errors"][0]["msg"]
    assert desk.command("recipe", pipeline="one", code="")["result"] == {"recipe": ""}


def test_a_product_variant_is_inspected_from_the_next_part_on_and_after_a_restart(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    strict = {"kind": "threshold", "fail_at": 0.011}
    recipes = {"P-2": {"model": camera()["model"], "rule": strict}}
    agent = start({"one": every_picture(recipes=recipes)})
    desk.until_running("one")
    with Belt(mosquitto) as belt:
        wait_for(lambda: desk.verdicts("one"))
        assert desk.command("recipe", pipeline="one", code="P-3")["code"] == 422
        answer = desk.command("recipe", pipeline="one", code="P-2")
        assert (answer["status"], answer["result"]) == ("done", {"recipe": "P-2"})
        wait_for(lambda: desk.verdicts("one")[-1]["threshold"] == 0.011)
    wait_for(lambda: inspected(desk) == belt.sent)
    limits = [verdict["threshold"] for verdict in desk.verdicts("one")]
    assert limits == sorted(limits, reverse=True), "no part after it by the old limit"
    judged_as = {(verdict["threshold"], verdict["recipe"]) for verdict in desk.verdicts("one")}
    assert judged_as == {(0.7, ""), (0.011, "P-2")}
    assert agent.stop() == 0
    desk.client.messages.clear()
    agent.start()
    desk.until_running("one")
    with Belt(mosquitto):
        live = wait_for(lambda: [v for v in desk.verdicts("one") if not v["replay"]])
    assert {verdict["threshold"] for verdict in live} == {0.011}


@pytest.fixture
def signed(start: Callable[..., AgentProcess]) -> dict[str, Any]:
    public = Ed25519PrivateKey.from_private_bytes(PRIVATE).public_key().public_bytes_raw()
    keys = {"maria": base64.b64encode(public).decode()}
    start({"one": camera()}, remote={"public_keys": keys})
    return {"v": 1, "id": "s1", "base_rev": 1, "patch": {"stats_every_s": 1.0}}


def test_with_keys_only_a_signed_request_is_obeyed_and_only_once(
    signed: dict[str, Any], desk: Desk
) -> None:
    desk.reported()
    unsigned = desk.ask("config/set", signed)
    assert unsigned["code"] == 401
    assert unsigned["id"] == "", "an answer under this id would hide the true one's"
    payload = sign(signed, f"{ROOT}/config/set", time.time(), "maria", PRIVATE)
    answer = desk.ask("config/set", None, raw=payload)
    assert (answer["status"], answer["rev"]) == ("applied", 2)
    assert desk.ask("config/set", None, raw=payload) == answer | {"repeated": True}
    late = sign({**signed, "id": "s2"}, f"{ROOT}/config/set", time.time() - 90, "maria", PRIVATE)
    assert desk.ask("config/set", None, raw=late)["code"] == 401
    desk.until_reported(rev=2)
