"""A real agent process for tests, with its config, and what it publishes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import Mosquitto

DEVICE = {
    "enterprise": "acme",
    "site": "graz",
    "area": "machining",
    "line": "1",
    "cell": "3",
    "name": "gw-01",
}
MODELS = Path(__file__).parents[1] / "models"
ROOT = "acme/graz/machining/1/3/edge/gw-01"


def workers(agent_pid: int) -> dict[str, int]:
    """Return the process ids of an agent's workers by name, as the process list shows them.

    The kernel keeps 12 characters of a name. A worker that ends meanwhile is not there.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            name = (entry / "comm").read_text().strip()
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # Field 6 of stat(5): the session, which an agent shares with all that it starts.
        if name.startswith("ea:") and int(fields[3]) == agent_pid:
            found[name.removeprefix("ea:")] = int(entry.name)
    return found


class AgentProcess:
    """`edge-agent run` on a broker, with these pipelines."""

    def __init__(
        self, folder: Path, mosquitto: Mosquitto, pipelines: dict[str, Any], **top: Any
    ) -> None:
        self.folder = folder
        self.config = folder / "agent.json"
        tree = {
            "device": DEVICE,
            "broker": {"host": mosquitto.host, "port": mosquitto.port},
            "pipelines": pipelines,
            "stats_every_s": 0.5,
        } | top
        self.config.write_text(json.dumps(tree))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *program: str) -> None:
        """Start it, or Python with what is in its place; returns at once."""
        command = [sys.executable, *(program or ("-m", "edge_agent")), "run", str(self.config)]
        self._process = subprocess.Popen(command, start_new_session=True)

    def wait(self, timeout_s: float = 60) -> int:
        """Return the exit status of an agent that ends by itself."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 60) -> int:
        """Send a signal and return the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait(timeout_s)

    def end(self) -> None:
        """Make sure that it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
