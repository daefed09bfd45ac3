"""`edge-agent demo`: a broker, an agent, something to inspect, and a live view, in one command."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edge_agent import demo_cell, demo_recordings, embedded_broker
from edge_agent.broker_options import BrokerOptions
from edge_agent.errors import EdgeAgentError, NotConnected
from edge_agent.terminal import watch

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
# Debian keeps mosquitto where only administrators look for programs.
SYSTEM_FOLDERS = ":/usr/local/sbin:/usr/sbin"
BROKER_START_S = 10.0
# The agent finishes what it accepted within 2 s, and has 2 s for the broker.
AGENT_STOP_S = 4.5
DEVICE = {
    "enterprise": "demo",
    "site": "home",
    "area": "bench",
    "line": "line-1",
    "cell": "cell-1",
    "name": "gateway-1",
}


def run(stopping: threading.Event, *, data: Path | None, seconds: float | None, port: int) -> None:
    """Run until `stopping` is set, or for `seconds`. Raises EdgeAgentError, NotConnected."""
    models = Path(__file__).parent.parent / "models"
    if not models.is_dir():
        raise EdgeAgentError(f"the demo's models are not in {models}: run it from a checkout")
    if seconds is not None:
        timer = threading.Timer(seconds, stopping.set)
        timer.daemon = True
        timer.start()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-agent-demo-")))
        broker = stack.enter_context(_broker(port, folder))
        if data is None:
            pipelines, sensors = demo_cell.pipelines(models), demo_cell.sensors(broker)
        else:
            pipelines = demo_recordings.pipelines(models, folder, data)
            sensors = demo_recordings.sensors(broker, folder, data)
        stack.enter_context(_agent(folder, broker, pipelines))
        stack.enter_context(sensors)
        hint = (
            f"look at it yourself: mosquitto_sub -p {broker.port} -V 5 -v -t 'demo/+/+/+/+/edge/#'"
        )
        watch(broker, stopping, hint=hint)


@contextlib.contextmanager
def _broker(port: int, folder: Path) -> Iterator[BrokerOptions]:
    """Run mosquitto, or the embedded broker where it is not installed; yield how to reach it."""
    mosquitto = shutil.which("mosquitto", path=os.environ.get("PATH", "") + SYSTEM_FOLDERS)
    if mosquitto is None:
        embedded = embedded_broker.start(port)
        try:
            # Finding out that it does not speak MQTT 5 would take 5 s.
            yield BrokerOptions(host=HOST, port=embedded.port, protocol="3.1.1")
        finally:
            embedded.stop()
        return
    port = port or _free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} {HOST}\nallow_anonymous true\npersistence false\n")
    with _process([mosquitto, "-c", str(config)], 2.0) as process:
        _wait_for_port(process, port)
        yield BrokerOptions(host=HOST, port=port)


@contextlib.contextmanager
def _agent(folder: Path, broker: BrokerOptions, pipelines: dict[str, Any]) -> Iterator[None]:
    config = {
        "device": DEVICE,
        "broker": {"host": broker.host, "port": broker.port, "protocol": broker.protocol},
        "pipelines": pipelines,
        "stop_timeout_s": 2.0,
        "stats_every_s": 1.0,
    }
    path = folder / "demo.json"
    path.write_text(json.dumps(config, indent=1))
    command = [sys.executable, "-m", "edge_agent", "--log-level", "warning", "run", str(path)]
    with _process(command, AGENT_STOP_S, stderr=subprocess.PIPE) as process:
        # Not to the terminal: lines of another process would tear the live view.
        threading.Thread(target=_log_lines, args=(process.stderr,), daemon=True).start()
        yield


@contextlib.contextmanager
def _process(
    command: list[str], stop_s: float, *, stderr: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a group of its own, where no Ctrl-C reaches it; stop it at the end."""
    process = subprocess.Popen(  # noqa: S603  the demo's own commands
        command,
        process_group=0,
        stdin=subprocess.DEVNULL,
        stderr=stderr,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(stop_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _log_lines(stderr: IO[bytes]) -> None:
    with stderr:
        for line in stderr:
            text = line.decode(errors="replace").rstrip()
            # LiteRT says this of every model that it loads.
            level = logging.DEBUG if "XNNPACK delegate" in text else logging.WARNING
            log.log(level, "agent: %s", text)


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline_s = time.monotonic() + BROKER_START_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise NotConnected(
                f"mosquitto ended with status {process.returncode}; port {port} free?"
            )
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1.0):
            return
        time.sleep(0.02)
    raise NotConnected(f"mosquitto does not listen on port {port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
