"""A broker and an agent on loopback, as children of this process: for the demo and the bench."""

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
import threading
import time
from typing import IO, TYPE_CHECKING, Any

from edge_agent.errors import NotConnected
from edge_agent.mqtt import embedded_broker
from edge_agent.mqtt.broker_options import BrokerOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
ROOT = "demo/home/bench/line-1/cell-1/edge/gateway-1"


@contextlib.contextmanager
def broker(port: int, folder: Path) -> Iterator[BrokerOptions]:
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
def agent(folder: Path, to: BrokerOptions, pipelines: dict[str, Any]) -> Iterator[int]:
    """Run `edge-agent run` with these pipelines; yield its process id."""
    config = {
        "device": DEVICE,
        "broker": {"host": to.host, "port": to.port, "protocol": to.protocol},
        "pipelines": pipelines,
        "stop_timeout_s": 2.0,
        "stats_every_s": 1.0,
        "http": {"on": False},
    }
    path = folder / "agent.json"
    path.write_text(json.dumps(config, indent=1))
    command = [sys.executable, "-m", "edge_agent", "--log-level", "warning", "run", str(path)]
    with _process(command, AGENT_STOP_S, stderr=subprocess.PIPE) as process:
        # Not to the terminal: lines of another process would tear the live view.
        threading.Thread(target=_log_lines, args=(process.stderr,), daemon=True).start()
        yield process.pid


@contextlib.contextmanager
def _process(
    command: list[str], stop_s: float, *, stderr: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a group of its own, where no Ctrl-C reaches it; stop it at the end."""
    process = subprocess.Popen(  # noqa: S603  our own commands
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
