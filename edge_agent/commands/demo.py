"""`edge-agent demo`: a broker, an agent, something to inspect, and a live view, in one command."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from pathlib import Path

from edge_agent.commands import demo_cell, demo_recordings, local_plant
from edge_agent.commands.terminal import watch
from edge_agent.errors import EdgeAgentError


def run(stopping: threading.Event, *, data: Path | None, seconds: float | None, port: int) -> None:
    """Run until `stopping` is set, or for `seconds`. Raises EdgeAgentError, NotConnected."""
    models = Path(__file__).parents[2] / "models"
    if not models.is_dir():
        raise EdgeAgentError(f"the demo's models are not in {models}: run it from a checkout")
    if seconds is not None:
        timer = threading.Timer(seconds, stopping.set)
        timer.daemon = True
        timer.start()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-demo-")))
        broker = stack.enter_context(local_plant.broker(port, folder))
        if data is None:
            pipelines, sensors = demo_cell.pipelines(models), demo_cell.sensors(broker)
        else:
            pipelines = demo_recordings.pipelines(models, folder, data)
            sensors = demo_recordings.sensors(broker, folder, data)
        stack.enter_context(local_plant.agent(folder, broker, pipelines))
        stack.enter_context(sensors)
        hint = (
            f"look at it yourself: mosquitto_sub -p {broker.port} -V 5 -v -t 'demo/+/+/+/+/edge/#'"
        )
        watch(broker, stopping, hint=hint)
    print("the demo has ended: broker, agent and their files are gone")
