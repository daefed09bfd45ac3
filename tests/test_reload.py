"""SIGHUP, which `systemctl reload` sends, to a real agent process that believes systemd listens."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.agents import ROOT, AgentProcess
from tests.faults.plant import camera, pictures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor


class Notifications:
    """What systemd would have heard."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(60)

    def next(self, *words: str) -> str:
        """Return the next message that begins with one of `words`."""
        while True:
            text = self._socket.recv(4096).decode()
            if text.startswith(words):
                return text

    def close(self) -> None:
        self._socket.close()


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
        if pipeline == "+" or f"/{pipeline}/" in heard.topic
    ]


def test_a_changed_config_begins_in_the_same_process_and_loses_no_number(
    agent: AgentProcess,
    change: Callable[..., None],
    systemd: Notifications,
    mqtt_client: Recorder,
    wait_for: WaitFor,
) -> None:
    wait_for(lambda: len(_seqs(mqtt_client, "a")) > 5)
    one = json.loads(agent.config.read_text())["pipelines"]["a"]
    for pipelines in ({"a": one, "b": one}, {"c": one}):
        change(pipelines=pipelines)
        assert systemd.next("RELOADING").startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert systemd.next("READY", "STOPPING") == "READY=1"
        newest = next(iter(pipelines.keys() - {"a"}))
        wait_for(lambda name=newest: _seqs(mqtt_client, name))  # type: ignore[misc]
    process = psutil.Process(agent.pid)
    zombies = [one for one in process.children() if one.status() == psutil.STATUS_ZOMBIE]
    assert not zombies
    assert agent.stop() == 0
    assert systemd.next("STOPPING") == "STOPPING=1"
    seqs = sorted(set(_seqs(mqtt_client)))
    assert seqs == list(range(1, seqs[-1] + 1))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"stats_every_s": -1}, "/stats_every_s"),
        ({"pipelines": {"a": {"family": "qc", "model": "nowhere"}}}, "/pipelines/a/source"),
        ({}, "what runs already"),
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
    wait_for(lambda: _seqs(mqtt_client))
    workers = psutil.Process(agent.pid).children(recursive=True)
    change(**wrong)
    systemd.next("RELOADING")
    assert systemd.next("READY", "STOPPING") == "READY=1"
    assert named in systemd.next("STATUS")
    assert psutil.Process(agent.pid).children(recursive=True) == workers
    came = len(_seqs(mqtt_client))
    wait_for(lambda: len(_seqs(mqtt_client)) > came)


def test_a_stop_during_a_reload_ends_the_agent(
    agent: AgentProcess, change: Callable[..., None], systemd: Notifications
) -> None:
    change(stats_every_s=1)
    systemd.next("RELOADING")
    assert agent.stop() == 0
