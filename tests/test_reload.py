"""SIGHUP, which `systemctl reload` sends, to a real agent process that believes systemd listens."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from edge_agent.control.trees import merged
from tests.agents import ROOT, AgentProcess, workers
from tests.control import Belt, Desk, every_picture, inspected
from tests.control import camera as simulated
from tests.faults.plant import camera, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Mosquitto, Recorder, WaitFor


class Notifications:
    """What systemd would have heard; it reads all the time, as systemd does."""

    def __init__(self, address: str) -> None:
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def next(self, *words: str) -> str:
        """Return the next message that begins with one of `words`."""
        while True:
            text = self._heard.get(timeout=60)
            if text.startswith(words):
                return text

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _read(self) -> None:
        while text := self._socket.recv(4096).decode():
            if text != "WATCHDOG=1":
                self._heard.put(text)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notifications]:
    address = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notifications = Notifications(address)
    yield notifications
    notifications.close()


@pytest.fixture
def agent(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, systemd: Notifications
) -> Iterator[AgentProcess]:
    mqtt_client.subscribe(f"{ROOT}/qc/+/verdict")
    folder = pictures(tmp_path / "pictures")
    agent = AgentProcess(tmp_path, mosquitto, {"a": camera(folder, 20)})
    agent.start()
    systemd.next("READY")
    yield agent
    agent.end()


@pytest.fixture
def change(agent: AgentProcess) -> Callable[..., None]:
    """Write other top-level fields into the agent's config file, and say SIGHUP."""

    def write(**top: Any) -> None:
        agent.config.write_text(json.dumps(json.loads(agent.config.read_text()) | top))
        psutil.Process(agent.pid).send_signal(signal.SIGHUP)

    return write


def _seqs(client: Recorder, pipeline: str = "+") -> list[int]:
    return [
        json.loads(heard.payload)["seq"]
        for heard in client.messages
        if heard.topic.endswith("/verdict") and pipeline in {"+", heard.topic.split("/")[-2]}
    ]


def zombies(agent: AgentProcess) -> list[int]:
    """Return the children that have ended and that the agent has not asked how."""
    found = []
    for child in psutil.Process(agent.pid).children():
        with suppress(psutil.NoSuchProcess):
            found += [child.pid] if child.status() == psutil.STATUS_ZOMBIE else []
    return found


def test_what_needs_a_new_start_begins_in_the_same_process_and_loses_no_number(
    agent: AgentProcess,
    change: Callable[..., None],
    systemd: Notifications,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    wait_for(lambda: len(_seqs(mqtt_client, "a")) > 5)
    one = json.loads(agent.config.read_text())["pipelines"]["a"]
    for hours, pipelines in ((1.0, {"a": one, "b": one}), (2.0, {"c": one})):
        change(pipelines=pipelines, outbox={"max_age_h": hours})
        assert systemd.next("RELOADING").startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.next("READY", "STOPPING") == "READY=1"
        newest = next(iter(pipelines.keys() - {"a"}))
        wait_for(lambda name=newest: _seqs(mqtt_client, name))  # type: ignore[misc]
    assert not zombies(agent)
    assert agent.stop() == 0
    assert systemd.next("STOPPING").startswith("STOPPING=1\nEXTEND_TIMEOUT_USEC=")
    seqs = sorted(set(_seqs(mqtt_client)))
    assert seqs == list(range(1, seqs[-1] + 1))


def test_a_reload_that_comes_while_the_agent_begins_waits_until_it_can_be_answered(
    agent: AgentProcess, systemd: Notifications, wait_for: WaitFor
) -> None:
    assert agent.stop() == 0
    agent.start()
    status = Path(f"/proc/{agent.pid}/status")
    hangup = 1 << (signal.SIGHUP - 1)
    wait_for(lambda: int(re.findall(r"SigBlk:\s+(\w+)", status.read_text())[0], 16) & hangup)
    os.kill(agent.pid, signal.SIGHUP)
    assert "the file says nothing new" in systemd.next("STATUS=reload")
    assert agent.stop() == 0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"stats_every_s": -1}, "/stats_every_s"),
        ({"pipelines": {"a": {"family": "qc", "model": "nowhere"}}}, "/pipelines/a/source"),
        ({}, "reload: the file says nothing new; revision 1 is in force"),
    ],
)
def test_a_wrong_or_unchanged_config_disturbs_nothing_and_says_so(  # noqa: PLR0913, PLR0917  fixtures
    agent: AgentProcess,
    change: Callable[..., None],
    systemd: Notifications,
    mqtt_client: Recorder,
    wait_for: WaitFor,
    wrong: dict[str, Any],
    named: str,
) -> None:
    mqtt_client.subscribe(f"{ROOT}/config/reported")
    wait_for(lambda: _seqs(mqtt_client))
    before = workers(agent.pid)
    change(**wrong)
    systemd.next("RELOADING")
    assert systemd.next("READY", "STOPPING") == "READY=1"
    assert named in systemd.next("STATUS")
    if "nothing new" not in named:
        heard = f"{ROOT}/config/reported"
        wait_for(
            lambda: any(
                named in json.loads(said)["last_error"] for said in mqtt_client.payloads(heard)
            )
        )
    assert workers(agent.pid) == before
    came = len(_seqs(mqtt_client))
    wait_for(lambda: len(_seqs(mqtt_client)) > came)


def test_a_stop_during_a_reload_ends_the_agent(
    agent: AgentProcess, change: Callable[..., None], systemd: Notifications
) -> None:
    change(outbox={"max_age_h": 1.0})
    systemd.next("RELOADING")
    assert agent.stop() == 0


@pytest.fixture
def line(tmp_path: Path, mosquitto: Mosquitto, systemd: Notifications) -> Iterator[AgentProcess]:
    """Start an agent with a pipeline that must judge every picture, and one beside it."""
    agent = AgentProcess(tmp_path, mosquitto, {"one": every_picture(), "two": simulated()})
    agent.start()
    systemd.next("READY")
    yield agent
    agent.end()


def reload(agent: AgentProcess, systemd: Notifications, **patch: Any) -> str:
    """Merge a patch into the config file, say SIGHUP, and return what systemd shows then."""
    tree = merged(json.loads(agent.config.read_text()), patch)
    agent.config.write_text(json.dumps(tree))
    psutil.Process(agent.pid).send_signal(signal.SIGHUP)
    systemd.next("RELOADING")
    assert systemd.next("READY", "STOPPING") == "READY=1"
    return systemd.next("STATUS")


def test_a_reload_touches_only_what_differs_and_no_picture_is_missed(
    line: AgentProcess,
    systemd: Notifications,
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    desk = Desk(mqtt_client, wait_for)
    desk.until_running("one", "two")
    before = workers(line.pid)
    with Belt(mosquitto) as belt:
        wait_for(lambda: inspected(desk))
        pipelines: dict[str, Any] = {"one": {"rule": {"fail_at": 0.9}}}
        status = reload(line, systemd, pipelines=pipelines)
        assert status == "STATUS=reload: revision 2 is in force; changed between two items: one"
        wait_for(lambda: desk.verdicts("one")[-1]["config_rev"] == 2)
        assert workers(line.pid) == before
        source = simulated()["source"] | {"seed": 7}
        status = reload(line, systemd, pipelines={"two": {"source": source}, "three": simulated()})
        assert status.endswith("revision 3 is in force; built anew: two, three")
        desk.until_running("three")
        wait_for(lambda: str(desk.verdicts("two")[-1]["part_id"]).startswith("plate-7-"))
        assert workers(line.pid).items() > before.items()
        status = reload(line, systemd, pipelines={"three": None}, health={"disk_free_mb": 1.0})
        assert status.endswith("revision 4 is in force; taken out: three")
        wait_for(lambda: workers(line.pid) == before)
    wait_for(lambda: inspected(desk) == belt.sent)
    reported = desk.until_reported(rev=4, status="applied", source="file")
    assert reported["config"]["pipelines"]["one"]["rule"]["fail_at"] == 0.9


def test_a_reload_takes_back_what_is_on_trial_and_tells_who_asked(
    line: AgentProcess, systemd: Notifications, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    desk = Desk(mqtt_client, wait_for)
    desk.until_running("one", "two")
    patch = {"pipelines": {"two": {"rule": {"fail_at": 0.8}}}}
    request = {"v": 1, "id": "a", "base_rev": 1, "patch": patch, "confirm_within_s": 60.0}
    correlation = desk.send("config/set", request)
    wait_for(lambda: desk.answers(correlation), 30)
    status = reload(line, systemd, stats_every_s=1.0)
    assert "revision 2, which was on trial, is taken back; " in status
    answers = wait_for(lambda: (a := desk.answers(correlation))[1:] and a, 30)
    assert (answers[1]["status"], answers[1]["rev"]) == ("rolled_back", 3)
    reported = desk.until_reported(rev=3, source="file")
    assert reported["config"]["pipelines"]["two"]["rule"]["fail_at"] == 0.7


def test_a_reload_needs_no_broker(
    line: AgentProcess, systemd: Notifications, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    assert line.stop() == 0
    systemd.next("STOPPING")
    mosquitto.stop()
    line.start()
    systemd.next("READY")
    status = reload(line, systemd, pipelines={"two": {"rule": {"fail_at": 0.8}}})
    assert "changed between two items: two" in status
    kept = json.loads((tmp_path / "state/config/control.json").read_bytes())
    assert kept["good"]["tree"]["pipelines"]["two"]["rule"]["fail_at"] == 0.8
