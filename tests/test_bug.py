"""A bug in the agent ends it, and all that it started: whoever watches over it starts it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.agents import MODELS, AgentProcess, workers

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Mosquitto, WaitFor

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


def test_a_bug_in_the_agents_own_thread_ends_it_with_its_workers(
    tmp_path: Path, mosquitto: Mosquitto, wait_for: WaitFor
) -> None:
    source = {"kind": "simulator", "scene": "conveyor", "fps": 20.0}
    model = str(MODELS / "conveyor-parts")
    pipelines = {name: {"family": "qc", "model": model, "source": source} for name in ("a", "b")}
    agent = AgentProcess(tmp_path, mosquitto, pipelines)
    agent.start("-c", BUG)
    try:
        assert agent.wait() == 1
        wait_for(lambda: not workers(agent.pid))
    finally:
        agent.end()
