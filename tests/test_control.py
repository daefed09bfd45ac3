"""Another config over MQTT: a real agent, a real broker, real workers."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

from edge_agent.clock import utc_text
from tests.agents import ROOT, AgentProcess, workers
from tests.control import Belt, Desk, camera, every_picture, inspected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Mosquitto, WaitFor


def test_what_is_in_force_is_reported_with_a_schema(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    url = "http://127.0.0.1:9/stream?token=abc"
    source = {"kind": "camera", "url": url}
    start({"one": camera(source=source)})
    reported = desk.reported()
    assert (reported["rev"], reported["status"], reported["source"]) == (1, "applied", "file")
    shown = reported["config"]["pipelines"]["one"]["source"]["url"]
    assert shown == "http://127.0.0.1:9/stream?token=***"
    wait_for(lambda: desk.client.payloads(f"{ROOT}/config/schema"))
    schema = json.loads(desk.client.payloads(f"{ROOT}/config/schema")[0])
    assert "pipelines" in schema["properties"]


def test_a_changed_threshold_restarts_nothing_and_loses_no_part(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": every_picture(), "two": camera()})
    desk.until_running("one", "two")
    before = workers(agent.pid)
    with Belt(mosquitto) as belt:
        answer = desk.change(patch={"pipelines": {"one": {"rule": {"fail_at": 0.9}}}})
        assert (answer["status"], answer["code"], answer["rev"]) == ("applied", 200, 2)
        wait_for(lambda: [v for v in desk.verdicts("one") if v["config_rev"] == 2])
        wait_for(lambda: desk.verdicts("two")[-1]["config_rev"] == 2)
    wait_for(lambda: inspected(desk) == belt.sent)
    assert before == workers(agent.pid)
    reported = desk.until_reported(rev=2, status="applied")
    assert reported["config"]["pipelines"]["one"]["rule"]["fail_at"] == 0.9


def test_pipelines_come_change_and_go_while_another_loses_no_part(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": every_picture(), "two": camera()})
    desk.until_running("one", "two")
    stays, changes = workers(agent.pid)["one"], workers(agent.pid)["two"]
    source = camera()["source"] | {"fps": 10.0}
    with Belt(mosquitto) as belt:
        pipelines = {"two": {"source": source}, "three": camera()}
        assert desk.change(patch={"pipelines": pipelines})["status"] == "applied"
        desk.until_running("three")
        assert desk.change(patch={"pipelines": {"three": None}})["status"] == "applied"
        wait_for(lambda: "three" not in workers(agent.pid))
    # Nothing of it is left for a display to show.
    wait_for(lambda: desk.client.payloads(f"{ROOT}/qc/three/stats")[-1] == b"")
    wait_for(lambda: inspected(desk) == belt.sent)
    assert stays == workers(agent.pid)["one"]
    assert workers(agent.pid)["two"] == changes, "its process stays, its line is built anew"


def test_pipelines_of_one_worker_change_one_by_one(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": every_picture(worker="both"), "two": camera(worker="both")})
    desk.until_running("one", "two")
    process = workers(agent.pid)["both"]
    source = camera()["source"] | {"seed": 7}
    with Belt(mosquitto) as belt:
        assert desk.change(patch={"pipelines": {"two": {"source": source}}})["code"] == 200
        wait_for(lambda: str(desk.verdicts("two")[-1]["part_id"]).startswith("plate-7-"))
    wait_for(lambda: inspected(desk) == belt.sent)
    assert workers(agent.pid)["both"] == process


def test_what_cannot_be_applied_is_refused_with_its_place(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": camera()})
    assert desk.reported()["rev"] == 1
    where = "/pipelines/one/accelerator"
    for patch, path in (
        ({"pipelines": {"one": {"rule": {"fail_at": "high"}}}}, "/pipelines/one/rule/fail_at"),
        ({"pipelines": {"one": {"model": "not-there"}}}, "/pipelines/one/model"),
        ({"pipelines": {"one": {"accelerator": {"delegate": "/x.so"}}}}, f"{where}/delegate"),
        ({"pipelines": {"oen": {"threads": 2}}}, "/pipelines/oen"),
        ({"device": {"name": "other"}}, "/device/name"),
        ({"broker": {"port": 1}}, "/broker/port"),
    ):
        answer = desk.change(patch=patch)
        assert (answer["status"], answer["code"]) == ("refused", 422), answer
        assert [error["path"] for error in answer["errors"]] == [path]
    stale = desk.change(base_rev=7, patch={})
    assert (stale["status"], stale["code"], stale["rev"]) == ("stale", 409, 1)
    bare = desk.ask("config/set", {"v": 1, "id": "bare", "patch": {}})
    assert (bare["status"], bare["code"]) == ("refused", 422)
    assert bare["errors"] == [{"path": "/base_rev", "type": "request", "msg": "is missing"}]
    twice = b'{"v": 1, "id": "x", "base_rev": 1, "patch": {"a": 1, "a": 2}}'
    assert desk.ask("config/set", None, raw=twice)["code"] == 400
    wait_for(lambda: "'a' stands twice" in desk.reported()["last_error"])
    assert desk.reported()["last_error"].startswith("refused: ")


def test_a_dry_run_changes_nothing(start: Callable[..., AgentProcess], desk: Desk) -> None:
    start({"one": camera()})
    patch = {"pipelines": {"one": {"rule": {"fail_at": 0.9}}}}
    answer = desk.change(patch=patch, dry_run=True)
    assert (answer["status"], answer["code"], answer["rev"]) == ("valid", 200, 1)
    assert desk.reported()["config"]["pipelines"]["one"]["rule"]["fail_at"] == 0.7


def test_a_change_that_leaves_no_pipeline_or_names_no_folder_is_warned_of(
    start: Callable[..., AgentProcess], desk: Desk, tmp_path: Path
) -> None:
    start({"one": camera(), "two": camera()})
    config = desk.reported()["config"]
    config["pipelines"]["one"]["source"] = {"kind": "folder", "path": str(tmp_path / "none")}
    answer = desk.change(config=config, dry_run=True)
    why = "a pipeline that has to wait for it, and did not before, has the change taken back"
    assert answer["warnings"] == [
        {
            "path": "/pipelines/one/source/path",
            "type": "missing",
            "msg": f"no such folder: {tmp_path}/none; {why}",
        }
    ]
    assert desk.change(patch={"pipelines": {"one": None}}, dry_run=True)["warnings"] == []
    answer = desk.change(patch={"pipelines": {"one": None, "two": None}}, dry_run=True)
    assert answer["warnings"] == [
        {"path": "/pipelines", "type": "empty", "msg": "nothing is inspected"}
    ]


def test_a_dry_run_that_is_refused_leaves_nothing_in_what_is_reported(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    start({"one": camera()})
    assert desk.reported()["rev"] == 1
    for request in ({"patch": {"pipelines": {"one": {"threads": 0}}}}, {"patch": {}, "other": 1}):
        assert desk.change(**request, dry_run=True)["errors"], request
    assert desk.change(patch={"stats_every_s": 1.0})["status"] == "applied"
    desk.until_reported(rev=2, status="applied")
    seen = [json.loads(heard) for heard in desk.client.payloads(f"{ROOT}/config/reported")]
    assert not [reported for reported in seen if reported["last_error"]]


def test_a_request_that_comes_again_gets_the_same_answer_also_after_a_restart(
    start: Callable[..., AgentProcess], desk: Desk
) -> None:
    agent = start({"one": camera()})
    desk.until_running("one")
    patch = {"pipelines": {"one": {"rule": {"fail_at": 0.9}}}}
    request = {"v": 1, "id": "same", "base_rev": 1, "patch": patch}
    first = desk.ask("config/set", request)
    assert desk.ask("config/set", request) == first | {"repeated": True}
    assert agent.stop() == 0
    desk.client.messages.clear()
    agent.start()
    desk.reported()
    assert desk.ask("config/set", request) == first | {"repeated": True}
    desk.until_reported(rev=2, status="applied")


def test_a_retained_request_is_ignored(start: Callable[..., AgentProcess], desk: Desk) -> None:
    request = {"v": 1, "id": "old", "base_rev": 1, "patch": {"stats_every_s": 1.0}}
    desk.client.publish(f"{ROOT}/config/set", json.dumps(request), retain=True)
    start({"one": camera()})
    desk.until_running("one")
    assert desk.change(patch={}, dry_run=True)["rev"] == 1


def test_without_a_response_topic_the_answer_comes_on_config_result(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": camera()})
    assert desk.reported()["rev"] == 1
    request = {"v": 1, "id": "plain", "base_rev": 1, "patch": {"stats_every_s": 1.0}}
    desk.client.publish(f"{ROOT}/config/set", json.dumps(request))
    (answer,) = wait_for(lambda: desk.client.payloads(f"{ROOT}/config/result"))
    assert json.loads(answer)["id"] == "plain"


def test_a_camera_that_is_not_there_is_taken_back_and_the_others_notice_nothing(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": every_picture(), "two": camera()})
    desk.until_running("one", "two")
    answer = desk.change(patch={"pipelines": {"two": {"source": None}}}, dry_run=True)
    assert answer["errors"][0]["path"] == "/pipelines/two/source"
    config = desk.reported()["config"]
    config["pipelines"]["two"]["source"] = {"kind": "camera", "url": "http://127.0.0.1:9/stream"}
    with Belt(mosquitto) as belt:
        answer = desk.change(config=config)
    assert (answer["status"], answer["code"], answer["rev"]) == ("rolled_back", 500, 1)
    assert answer["errors"][0]["path"] == "/pipelines/two"
    reported = desk.until_reported(rev=1, status="rolled_back")
    assert "127.0.0.1:9" in reported["last_error"]
    seen = len(desk.verdicts("two"))
    wait_for(lambda: len(desk.verdicts("two")) > seen + 5)
    wait_for(lambda: inspected(desk) == belt.sent)


def test_a_change_that_nobody_confirms_is_taken_back(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    patch = {"pipelines": {"one": {"rule": {"fail_at": 0.9}}}}
    request = {"v": 1, "id": "a", "base_rev": 1, "patch": patch, "confirm_within_s": 1.0}
    correlation = desk.send("config/set", request)
    first, second = wait_for(lambda: (a := desk.answers(correlation))[1:] and a)
    assert (first["status"], first["code"], first["rev"]) == ("unconfirmed", 200, 2)
    assert (second["status"], second["code"], second["rev"]) == ("rolled_back", 500, 1)
    wait_for(lambda: desk.verdicts("one")[-1]["config_rev"] == 1)


def test_a_change_that_is_confirmed_stays(start: Callable[..., AgentProcess], desk: Desk) -> None:
    start({"one": camera()})
    desk.until_running("one")
    patch = {"pipelines": {"one": {"rule": {"fail_at": 0.9}}}}
    assert desk.change(patch=patch, confirm_within_s=60.0)["status"] == "unconfirmed"
    assert desk.change(patch={})["status"] == "busy"
    assert desk.change(confirm=True)["status"] == "applied"
    desk.until_reported(rev=2, status="applied")


def test_an_agent_that_is_killed_during_a_trial_begins_with_the_last_good_config(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": camera()})
    desk.until_running("one")
    patch = {"pipelines": {"one": {"rule": {"fail_at": 0.9}}}}
    request = {"v": 1, "id": "a", "base_rev": 1, "patch": patch, "confirm_within_s": 60.0}
    correlation = desk.send("config/set", request)
    wait_for(lambda: desk.answers(correlation))
    agent.stop(signal.SIGKILL)
    agent.start()
    answers = wait_for(lambda: (a := desk.answers(correlation))[1:] and a)
    assert (answers[1]["status"], answers[1]["code"], answers[1]["rev"]) == ("rolled_back", 500, 1)
    reported = desk.until_reported(rev=1, status="rolled_back")
    assert reported["config"]["pipelines"]["one"]["rule"]["fail_at"] == 0.7
    assert reported["last_error"].startswith("revision 2: the agent ended before it had proved")


def test_the_file_is_in_force_again_once_it_changes(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": camera()})
    desk.until_running("one")
    patch = {"pipelines": {"one": {"rule": {"fail_at": 0.9}}}}
    assert desk.change(patch=patch)["rev"] == 2
    assert agent.stop() == 0
    desk.client.messages.clear()
    agent.start()
    desk.until_running("one")
    desk.until_reported(rev=2, source="mqtt")
    os.kill(agent.pid, signal.SIGHUP)
    said = "reload: the file says nothing new; revision 2 is in force: it was changed over MQTT"
    wait_for(lambda: [e for e in desk.command("logs")["result"]["lines"] if said in e])
    assert agent.stop() == 0
    tree = json.loads(agent.config.read_text())
    tree["pipelines"]["one"]["rule"]["fail_at"] = 0.8
    agent.config.write_text(json.dumps(tree))
    agent.start()
    reported = desk.until_reported(rev=3, source="file")
    assert reported["config"]["pipelines"]["one"]["rule"]["fail_at"] == 0.8
    assert [file.name for file in (agent.folder / "state/config").iterdir()] == ["control.json"]


def test_an_agent_that_is_killed_at_any_moment_of_a_change_has_the_old_or_the_new(
    start: Callable[..., AgentProcess], desk: Desk, wait_for: WaitFor
) -> None:
    """The kills fall before the check, in it, in the trial, about its end, and after it."""
    agent = start({"one": camera()})
    desk.until_running("one")
    fail_at = 0.7
    for moment, after_s in enumerate((0.0, 0.05, 0.2, 1.0, 2.0, 2.3, 2.6, None)):
        rev, wanted = desk.reported()["rev"], round(0.8 + moment / 100, 2)
        patch = {"pipelines": {"one": {"rule": {"fail_at": wanted}}}}
        request = {"v": 1, "id": f"m{moment}", "base_rev": rev, "patch": patch}
        correlation = desk.send("config/set", request)
        if after_s is None:
            wait_for(lambda c=correlation: desk.answers(c))  # type: ignore[misc]
        else:
            time.sleep(after_s)
        agent.stop(signal.SIGKILL)
        killed_ts = utc_text(time.time_ns())
        answered = [answer["status"] for answer in desk.answers(correlation)]
        desk.client.messages.clear()
        agent.start()
        desk.until_running("one")
        # The broker may still deliver what the killed one had sent.
        reported = wait_for(lambda ts=killed_ts: (r := desk.reported())["ts"] > ts and r)  # type: ignore[misc]
        found = reported["config"]["pipelines"]["one"]["rule"]["fail_at"]
        assert found in {fail_at, wanted}
        if answered == ["applied"]:
            assert found == wanted
        rev = reported["rev"]
        wait_for(
            lambda rev=rev: (  # type: ignore[misc]
                [v["config_rev"] for v in desk.verdicts("one") if not v["replay"]][-1] == rev
            )
        )
        fail_at = found
    assert fail_at != 0.7, "not one of the changes got through"
