"""`edge-agent config`, as a person calls it, against a real agent."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.agents import ROOT, AgentProcess
from tests.control import Desk, camera

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Mosquitto, WaitFor


def call(mosquitto: Mosquitto, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    command = words(mosquitto, *arguments)
    return subprocess.run(command, input=said, capture_output=True, text=True, check=False)


def words(mosquitto: Mosquitto, *arguments: str) -> list[str]:
    broker = ["--host", mosquitto.host, "--port", str(mosquitto.port), "--device", ROOT]
    return [sys.executable, "-m", "edge_agent", "config", *arguments, *broker]


def patch(tmp_path: Path, tree: dict[str, Any]) -> str:
    file = tmp_path / "patch.json"
    file.write_text(json.dumps(tree))
    return str(file)


def test_a_change_is_shown_agreed_to_and_answered(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, tmp_path: Path
) -> None:
    agent = start({"one": camera()})
    desk.until_running("one")
    got = json.loads(call(mosquitto, "get").stdout)
    assert (got["rev"], got["config"]["pipelines"]["one"]["rule"]["fail_at"]) == (1, 0.7)

    file = patch(tmp_path, {"pipelines": {"one": {"rule": {"fail_at": 0.8}}}})
    no = call(mosquitto, "patch", file, said="n\n")
    assert no.stdout.splitlines()[0] == "~ /pipelines/one/rule/fail_at: 0.7 -> 0.8"
    assert no.stdout.endswith("Change it so? [y/N] nothing was changed\n")
    assert no.returncode == 1
    asked = subprocess.Popen(
        words(mosquitto, "patch", file), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert asked.stdout is not None
    heard = b""
    while not heard.endswith(b"[y/N] "):
        heard += asked.stdout.read(1)
    asked.send_signal(signal.SIGINT)
    assert asked.communicate(timeout=60)[0] == b"\nnothing was changed\n"
    assert asked.returncode == 1
    yes = call(mosquitto, "patch", file, said="yes\n")
    assert yes.stdout.endswith("applied (200); revision 2 is in force\n")
    assert yes.stderr == "revision 2 is on trial: do its pipelines run?\n"
    assert yes.returncode == 0
    again = call(mosquitto, "patch", file, "--yes")
    assert (again.stdout, again.returncode) == ("that is in force already\n", 0)

    bad = patch(tmp_path, {"pipelines": {"one": {"threads": 0}}})
    for arguments in (["patch", bad, "--yes"], ["patch", bad]):
        refused = call(mosquitto, *arguments)
        assert "  /pipelines/one/threads: " in refused.stdout
        assert "[y/N]" not in refused.stdout, "there is nothing to agree to"
        assert refused.returncode == 78
    logged = desk.command("logs")["result"]["lines"]
    assert any("WARNING config: refused: /pipelines/one/threads: " in line for line in logged)
    check = [sys.executable, "-m", "edge_agent", "check", str(agent.config)]
    done = subprocess.run(check, capture_output=True, text=True, check=True)
    assert "revision 2 is in force: this file was changed over MQTT since" in done.stdout


def test_what_get_prints_can_be_set_and_its_revision_must_still_be_in_force(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, tmp_path: Path
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    got = json.loads(call(mosquitto, "get").stdout)
    got["config"]["pipelines"]["one"]["rule"]["fail_at"] = 0.8
    wrong = call(mosquitto, "patch", patch(tmp_path, got), "--yes")
    assert "`config set` takes it" in wrong.stderr
    assert (wrong.stdout, wrong.returncode) == ("", 78)
    done = call(mosquitto, "set", patch(tmp_path, got), "--yes")
    assert done.stdout.splitlines() == [
        "~ /pipelines/one/rule/fail_at: 0.7 -> 0.8",
        "applied (200); revision 2 is in force",
    ], done
    desk.until_reported(rev=2, status="applied")
    got["config"]["pipelines"]["one"]["rule"]["fail_at"] = 0.9
    late = call(mosquitto, "confirm", "2")
    assert "nothing waits for a confirmation" in late.stdout
    assert desk.reported()["last_error"] == "", "nothing is wrong with what is in force"
    stale = call(mosquitto, "set", patch(tmp_path, got), "--yes")
    assert "stale (409); revision 2 is in force" in stale.stdout
    assert stale.returncode == 78
    bare = patch(tmp_path, got["config"])
    stale = call(mosquitto, "set", bare, "--yes", "--base-rev", "1")
    assert "stale (409); revision 2 is in force" in stale.stdout
    done = call(mosquitto, "set", patch(tmp_path, got), "--yes", "--base-rev", "2")
    assert done.stdout.endswith("applied (200); revision 3 is in force\n")


def test_a_change_on_trial_is_answered_with_its_deadline_and_with_what_confirms_it(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, tmp_path: Path
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    file = patch(tmp_path, {"pipelines": {"one": {"rule": {"fail_at": 0.8}}}})
    began_s = time.time()
    said = call(mosquitto, "patch", file, "--yes", "--confirm-within", "600").stdout.splitlines()
    assert said[-3].startswith("unconfirmed (200); ")
    until = said[-2].removeprefix("  it is taken back at ").removesuffix(" UTC, unless you say:")
    until_s = datetime.fromisoformat(until).replace(tzinfo=UTC).timestamp()
    assert began_s + 599 <= until_s <= time.time() + 600
    words = shlex.split(said[-1])
    assert words[:4] == ["edge-agent", "config", "confirm", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", *words[1:]], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("applied (200); revision 2 is in force")


def test_a_change_that_finds_no_library_for_its_accelerator_is_applied_with_a_warning(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, tmp_path: Path
) -> None:
    library = tmp_path / "libmissing.so"
    start({"one": camera()}, accelerators={"usb": {"delegate": str(library)}})
    desk.until_running("one")
    file = patch(tmp_path, {"pipelines": {"one": {"accelerator": "usb"}}})
    why = f"no such file: {library}; without it the model runs as `on_failure` says"
    warning = f"  warning: /pipelines/one/accelerator: {why}"
    for words, said in (
        (["--dry-run"], ["valid (200); revision 1 is in force", warning]),
        (["--yes"], [warning, "applied (200); revision 2 is in force"]),
    ):
        done = call(mosquitto, "patch", file, *words)
        assert done.stdout.splitlines()[1:] == said, done
    file = patch(tmp_path, {"pipelines": {"one": {"accelerator": "cpu"}}})
    assert call(mosquitto, "patch", file, "--yes").returncode == 0
    file = patch(tmp_path, {"pipelines": {"one": {"accelerator": "usb"}}})
    asked = call(mosquitto, "patch", file, said="n\n")
    assert asked.stdout.splitlines()[1:] == [warning, "Change it so? [y/N] nothing was changed"]


def test_an_agent_that_is_not_there_is_said_to_be_away(mosquitto: Mosquitto) -> None:
    done = call(mosquitto, "get")
    assert done.returncode == 69
    assert done.stderr.strip().endswith(f"no agent reports its config on {ROOT}/config/reported")
    short = ROOT.replace("/edge/", "/")
    done = subprocess.run(
        [short if word == ROOT else word for word in words(mosquitto, "get")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip().endswith("a gateway's topics have `edge` before its name")


def test_a_change_for_an_agent_that_is_stopped_is_not_sent_and_get_says_so(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, tmp_path: Path
) -> None:
    agent = start({"one": camera()})
    desk.until_running("one")
    assert agent.stop() == 0
    status = desk.until_status("offline")
    offline = f"gw-01 is offline since {status['ts']} (stopped)"
    file = patch(tmp_path, {"pipelines": {"one": {"rule": {"fail_at": 0.8}}}})
    for words in (["patch", file], ["patch", file, "--dry-run"], ["confirm", "2"]):
        done = call(mosquitto, *words)
        assert (done.stdout, done.stderr) == ("", f"edge-agent: {offline}; nothing was sent\n")
        assert done.returncode == 69
    got = call(mosquitto, "get")
    assert got.stderr == f"{offline}: that is what it reported last\n"
    assert (json.loads(got.stdout)["rev"], got.returncode) == (1, 0)


def test_an_agent_that_was_killed_is_offline_since_nobody_knows_when(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk
) -> None:
    agent = start({"one": camera()})
    desk.until_running("one")
    agent.stop(signal.SIGKILL)
    status = desk.until_status("offline")
    done = call(mosquitto, "confirm", "2")
    offline = f"gw-01 is offline (connection lost); it was started at {status['started_ts']}"
    assert done.stderr == f"edge-agent: {offline}; nothing was sent\n"


def test_what_is_watched_is_shown_whole_only_where_the_config_is_another_one(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    start({"one": camera()})
    desk.until_running("one")
    desk.until_reported(rev=1)
    shown: list[str] = []
    with subprocess.Popen(words(mosquitto, "watch"), stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        reading = threading.Thread(target=shown.extend, args=(watch.stdout,))
        reading.start()
        try:
            wait_for(lambda: "}\n" in shown)
            desk.change(patch={"pipelines": {"one": {"threads": 0}}})
            desk.change(patch={"pipelines": {"one": {"rule": {"fail_at": 0.8}}}})
            desk.until_reported(rev=2, status="applied")
            wait_for(lambda: "applied" in shown[-1])
        finally:
            watch.terminate()
            reading.join()
    states = [json.loads(line) for line in shown if line.startswith('{"')]
    assert [(each["rev"], each["status"]) for each in states] == [(1, "applied"), (2, "applied")]
    assert "/pipelines/one/threads" in states[0]["last_error"]
    assert shown.count("{\n") == 2, "once at the start, and once for the change"


def test_who_watches_is_told_when_the_agent_goes_and_comes(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, wait_for: WaitFor
) -> None:
    agent = start({"one": camera()})
    desk.until_reported(rev=1)
    told: list[str] = []
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words(mosquitto, "watch"), **pipes) as watch:
        assert watch.stdout is not None
        reading = threading.Thread(target=told.extend, args=(watch.stderr,))
        reading.start()
        try:
            assert watch.stdout.readline() == "{\n"
            agent.stop()
            wait_for(lambda: "gw-01 is offline since " in "".join(told))
            agent.start()
            wait_for(lambda: told[-1] == "gw-01 is online\n")
        finally:
            watch.terminate()
            reading.join()
    assert len(told) == 2


def test_a_part_of_a_config_that_is_set_is_said_to_be_for_patch(
    start: Callable[..., AgentProcess], mosquitto: Mosquitto, desk: Desk, tmp_path: Path
) -> None:
    start({"one": camera()})
    desk.until_reported(rev=1)
    part = patch(tmp_path, {"pipelines": {"one": {"rule": {"fail_at": 0.8}}}})
    for more in ([], ["--yes"]):
        done = call(mosquitto, "set", part, *more)
        assert "  /device: " in done.stdout
        assert done.stderr.endswith(
            "has only what changes is for `config patch`; `config set` takes all of it\n"
        )
        assert done.returncode == 78
    whole = json.loads(call(mosquitto, "get").stdout)["config"]
    done = call(mosquitto, "set", patch(tmp_path, whole | {"device": 5}))
    assert "/device: " in done.stdout
    assert "config patch" not in done.stderr


def test_where_no_broker_is_a_sentence_says_so_and_what_to_do(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    done = call(mosquitto, "get")
    where = f"broker {mosquitto.host}:{mosquitto.port}"
    todo = "nothing listens there: is the broker running, are host and port right?"
    said = done.stderr.splitlines()[-1]
    assert said == f"edge-agent: {where}: Connection refused; {todo}"
    assert done.returncode == 69


def test_a_file_that_is_not_there_is_named_before_a_broker_is_looked_for(
    mosquitto: Mosquitto,
) -> None:
    mosquitto.stop()
    done = call(mosquitto, "patch", "nofile.json")
    assert (done.stderr, done.returncode) == ("edge-agent: nofile.json: no such file\n", 69)
