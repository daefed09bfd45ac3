"""A bug in the agent ends it, and all that it started: whoever watches over it starts it anew."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from tests.agents import ROOT, AgentProcess, workers
from tests.conftest import free_port
from tests.control import camera

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor

BUG = """
import itertools, sys
from edge_agent.agent import Agent
from edge_agent.cli import main
accept, numbers = Agent._accept, itertools.count(1)
def accept_three(self, verdict):
    if next(numbers) > 3:
        raise RuntimeError("a bug")
    accept(self, verdict)
Agent._accept = accept_three
sys.exit(main())
"""

BUG_IN_CONTROL = """
import sys
from edge_agent.cli import main
from edge_agent.control.commands import Commands
def end(self, mono_s):
    raise RuntimeError("a bug")
Commands.watch = end
sys.exit(main())
"""


def test_a_bug_that_ends_the_thread_of_control_is_told_by_healthz(
    tmp_path: Path, mosquitto: Mosquitto, wait_for: WaitFor
) -> None:
    port = free_port()
    agent = AgentProcess(tmp_path, mosquitto, {"a": camera()}, http={"port": port})
    agent.start("-c", BUG_IN_CONTROL)

    def told() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                return f"{answer.status}"
        except urllib.error.HTTPError as error:
            with error:
                return f"{error.code} {error.read().decode()}"
        except OSError:
            return ""  # not there yet

    try:
        wait_for(lambda: told().startswith("503") and "a bug ended: control" in told())
    finally:
        agent.end()


def test_an_orderly_stop_is_no_bug(
    tmp_path: Path, mosquitto: Mosquitto, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe(f"{ROOT}/status")
    mqtt_client.subscribe(f"{ROOT}/qc/+/verdict")
    agent = AgentProcess(tmp_path, mosquitto, {name: camera() for name in ("a", "b")})
    agent.start()
    try:
        wait_for(lambda: len(mqtt_client.payloads(f"{ROOT}/qc/a/verdict")) > 3)
        assert agent.stop() == 0
    finally:
        agent.end()
    wait_for(lambda: b"offline" in mqtt_client.payloads(f"{ROOT}/status")[-1])
    statuses = [json.loads(payload) for payload in mqtt_client.payloads(f"{ROOT}/status")]
    assert not [status for status in statuses if "bug" in status.get("not_ready", "")]


def test_a_bug_in_the_agents_own_thread_ends_it_with_its_workers(
    tmp_path: Path, mosquitto: Mosquitto, wait_for: WaitFor
) -> None:
    agent = AgentProcess(tmp_path, mosquitto, {name: camera() for name in ("a", "b")})
    agent.start("-c", BUG)
    try:
        assert agent.wait() == 1
        wait_for(lambda: not workers(agent.pid))
    finally:
        agent.end()
