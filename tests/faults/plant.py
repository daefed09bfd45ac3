"""A small plant to inject faults into: a broker with a disk, an agent under load, a consumer."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from tests.agents import DEVICE, MODELS, ROOT
from tests.conftest import Mosquitto, free_port, hang_up, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

RECOMMENDED = Path(__file__).parents[2] / "docs" / "mosquitto.conf"
KEEPALIVE_S = 2
# The numbers of epoll_wait and epoll_pwait, as /proc/PID/syscall has them.
EPOLL_WAIT = {"x86_64": {"232", "281"}, "aarch64": {"22"}}


class Broker:
    """A mosquitto with the settings that docs/mosquitto.conf recommends.

    Consumers have a port of their own, so that a cut of the gateway's line leaves theirs whole.
    """

    def __init__(self, folder: Path) -> None:
        self.consumer_port = free_port()
        # It writes all it holds at each change. What a kill leaves is the same on any disk; on one
        # in memory it is the agent that is tested, and not the disk.
        memory = Path("/dev/shm")  # noqa: S108  a folder of its own in it
        self._disk = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else folder)
        settings = [
            line
            for line in RECOMMENDED.read_text().splitlines()
            if line.strip() and not line.startswith(("#", "persistence_location"))
        ]
        settings += [
            f"persistence_location {self._disk.name}/",
            "allow_anonymous true",
            f"listener {self.consumer_port} 127.0.0.1",
        ]
        self.process = Mosquitto(folder, "\n".join(settings))
        self.process.start()

    @property
    def port(self) -> int:
        """Where gateways connect."""
        return self.process.port

    def kill(self) -> None:
        """Kill it where what it has acknowledged is saved, or with the consumer.

        It saves at the end of a round of its loop, and counts for that what it queues alone: what
        goes out at once to a consumer that is there is acknowledged, and not saved for it. Where
        the consumer has not read that by then, a kill of mosquitto loses it: not what is tested.
        """
        pid = self.process.pid
        until(lambda: self._stopped_between_rounds(pid))
        until(lambda: not unread(self.consumer_port)[1])
        self.process.stop(signal.SIGKILL)

    def end(self) -> None:
        self.process.stop()
        self._disk.cleanup()

    def _stopped_between_rounds(self, pid: int) -> bool:
        """Stop it; let it go on, and say False, where it is in a round, or kept from writing."""
        os.kill(pid, signal.SIGSTOP)
        until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        number = Path(f"/proc/{pid}/syscall").read_text().split()[0]
        if number in EPOLL_WAIT[platform.machine()] and not unread(self.consumer_port)[0]:
            return True
        os.kill(pid, signal.SIGCONT)
        return False


def unread(port: int) -> tuple[int, int]:
    """Return what a server on this port sent: bytes not yet received, not yet read (proc(5))."""
    sent = received = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if local.endswith(f":{port:04X}"):
            sent += int(queues.split(":")[0], 16)
        if remote.endswith(f":{port:04X}"):
            received += int(queues.split(":")[1], 16)
    return sent, received


@dataclass(frozen=True, slots=True)
class Arrival:
    """One verdict, as the consumer got it: when on the monotonic clock, and decided when in UTC."""

    at_s: float
    decided_s: float
    seq: int
    id: str
    pipeline: str
    verdict: str
    reason: str
    replay: bool


class Consumer:
    """Keeps every verdict; its session outlives breaks, so the broker keeps what it missed."""

    def __init__(self, port: int) -> None:
        self.arrivals: list[Arrival] = []
        self.statuses: list[tuple[float, str]] = []
        self.stats: dict[str, dict[str, Any]] = {}
        self.gaps: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.rev = 0  # of the config that the agent reports
        self._subscribed = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "consumer", protocol=mqtt.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        self._client.connect_async(
            "127.0.0.1", port, keepalive=5, clean_start=False, properties=session
        )
        self._client.loop_start()
        until(lambda: self._subscribed)

    def of(self, pipeline: str) -> list[Arrival]:
        """Return the verdicts of one pipeline."""
        return [arrival for arrival in self.arrivals if arrival.pipeline == pipeline]

    def take(self) -> list[Arrival]:
        """Return what has come, and forget it; what comes meanwhile is for the next call."""
        taken = self.arrivals[:]
        # Never clear(): between the copy and it the network's thread may have added one.
        del self.arrivals[: len(taken)]
        return taken

    def crashes(self) -> list[dict[str, Any]]:
        """Return the gap records of agents that ended without notice."""
        return [gap for gap in self.gaps.values() if gap["reason"] == "crash"]

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish and wait for the broker's word on it."""
        self._client.publish(topic, payload, 1).wait_for_publish(60)

    def close(self) -> None:
        hang_up(self._client)

    def _on_connect(self, *_: object) -> None:
        options = SubscribeOptions(qos=1)
        self._client.subscribe(
            [
                (f"{ROOT}/{end}", options)
                for end in ("+/+/verdict", "status", "gap", "config/reported")
            ]
        )
        self._client.subscribe([(f"{ROOT}/+/+/{end}", options) for end in ("stats", "source")])

    def _on_subscribe(self, *_: object) -> None:
        self._subscribed = True

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        now_s = time.monotonic()
        if not message.payload:
            return  # what a pipeline that is gone had retained is taken away
        tree = msgspec.json.decode(message.payload)
        if message.topic.endswith("/status"):
            self.statuses.append((now_s, tree["status"]))
        elif message.topic.endswith("/stats"):
            self.stats[tree["pipeline"]] = tree
        elif message.topic.endswith("/source"):
            self.sources[tree["pipeline"]] = tree
        elif message.topic.endswith("/reported"):
            self.rev = tree["rev"]
        elif message.topic.endswith("/gap"):
            self.gaps[tree["id"]] = tree
        else:
            names = ("seq", "id", "pipeline", "verdict", "reason", "replay")
            decided_s = datetime.fromisoformat(tree["ts"]).timestamp()
            self.arrivals.append(Arrival(now_s, decided_s, *(tree[name] for name in names)))


class Gateway:
    """`edge-agent run` with these pipelines; its log goes to a file."""

    def __init__(
        self,
        folder: Path,
        port: int,
        pipelines: dict[str, Any],
        state: Path | None = None,
        **top: Any,
    ) -> None:
        self.state = state or folder / "state"
        self.log = folder / "agent.log"
        self.config = folder / "agent.json"
        tree = {
            "device": DEVICE,
            "broker": {"host": "127.0.0.1", "port": port, "keepalive_s": KEEPALIVE_S},
            "pipelines": pipelines,
            "stats_every_s": 0.5,
        } | top
        self.config.write_text(json.dumps(tree))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [sys.executable, "-m", "edge_agent", "run", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--state", str(self.state)], stderr=log, start_new_session=True
            )

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would: at once, with nothing said."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, timeout_s: float = 60) -> None:
        """End it as a service manager does; it must leave in order."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(timeout_s) == 0

    def end(self) -> None:
        """Make sure that it is gone, whatever state it is in."""
        if self.is_running():
            self.kill()

    def log_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()


def pictures(folder: Path, number: int = 5) -> Path:
    """Write small pictures of noise; return their folder."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    for index in range(number):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (60, 80, 3), np.uint8))
    return folder


def camera(folder: Path, fps: float, model: Path | None = None, **more: Any) -> dict[str, Any]:
    """Return a pipeline that inspects the pictures in `folder` for ever."""
    source = {"kind": "folder", "path": str(folder), "fps": fps, "loop": True}
    model = model or MODELS / "conveyor-parts"
    return {"family": "qc", "model": str(model), "source": source, "evidence": {"keep": []}} | more


def until(seen: Callable[[], object], timeout_s: float = 60) -> float:
    """Wait until `seen` is true; return for how long. Fails when it is not true in time."""
    began_s = time.monotonic()
    wait_until(seen, timeout_s)
    return time.monotonic() - began_s
