"""The processes under test: broker, agent, script; what they cost in CPU time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
import psutil

from tools.bench.bare import BareJob, BareResult
from tools.bench.material import ROOT

if TYPE_CHECKING:
    from tools.bench.material import Material, PictureModel

HOST = "127.0.0.1"
DEVICE = dict.fromkeys(("enterprise", "site", "area", "line", "cell"), "bench") | {"name": "gw"}
TOPIC_ROOT = "bench/bench/bench/bench/bench/edge/gw"
START_S = 20.0
STOP_S = 20.0
MEGABYTE = 1e6


class Program:
    """One process and its children, from `with` to the end of it."""

    def __init__(self, command: list[str], log: Path) -> None:
        # Start times are those of an installed agent: its modules lie compiled beside the source.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self._command = command
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, env=self._environment, cwd=ROOT
            )
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def processes(self) -> list[psutil.Process]:
        """Return the process and all its children, the children's too."""
        if self._process is None:
            return []
        own = psutil.Process(self._process.pid)
        return [own, *own.children(recursive=True)]

    def cpu_s(self) -> float:
        """Return the CPU time of all of them so far."""
        return sum(sum(each.cpu_times()[:2]) for each in self.processes())

    def thread_cpu_s(self) -> dict[str, float]:
        """Return the CPU time of each thread so far, by names of process and thread.

        From schedstat (kernel, sched-stats.rst), which counts nanoseconds: ticks are too coarse.
        """
        found: dict[str, float] = {}
        for process in self.processes():
            for task in Path(f"/proc/{process.pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    name = (task / "comm").read_text().strip()
                    spent_ns = int((task / "schedstat").read_text().split()[0])
                    who = "worker" if process.name().startswith("ea:") else "agent"
                    key = f"{who}_{name.partition(':')[0]}"
                    found[key] = found.get(key, 0.0) + spent_ns / 1e9
        return found

    def memory(self) -> Memory:
        """Return what they hold at this moment."""
        processes = self.processes()
        workers = [each for each in processes if each.name().startswith("ea:")]
        return Memory(
            rss_mb=processes[0].memory_info().rss / MEGABYTE,
            worker_rss_mb=[each.memory_info().rss / MEGABYTE for each in workers],
            worker_pss_mb=[each.memory_full_info().pss / MEGABYTE for each in workers],
        )


def beside_cpu_s() -> float:
    """Return the CPU time so far of all that is not measured: this program and its brokers."""
    brokers = [p for p in psutil.Process().children() if p.name() == "mosquitto"]
    return time.process_time() + sum(sum(each.cpu_times()[:2]) for each in brokers)


class Memory(msgspec.Struct, frozen=True):
    """In MB: of the main process, and of each worker."""

    rss_mb: float
    worker_rss_mb: list[float]
    worker_pss_mb: list[float]


class Broker(Program):
    """A mosquitto of its own on a free port of loopback."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        config = folder / "mosquitto.conf"
        # As root mosquitto would become another user, who may not read the file.
        user = pwd.getpwuid(os.getuid()).pw_name
        config.write_text(
            f"user {user}\nlistener {self.port} {HOST}\nallow_anonymous true\npersistence false\n"
            # By default the kernel holds a verdict back until the one before is acknowledged, 40 ms
            # later if its reader has nothing to send.
            "set_tcp_nodelay true\n"
        )
        super().__init__(["mosquitto", "-c", str(config)], folder / "mosquitto.log")

    def __enter__(self) -> Self:
        super().__enter__()
        deadline_s = time.monotonic() + START_S
        while time.monotonic() < deadline_s:
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return self
            time.sleep(0.01)
        raise TimeoutError("mosquitto does not listen")


def agent(
    folder: Path,
    port: int,
    pipelines: dict[str, Any],
    state: Path | None = None,
    **top: Any,  # noqa: ANN401  any JSON
) -> Program:
    """Return an agent with these pipelines; `state`: an empty folder, by default in `folder`."""
    folder.mkdir(parents=True)
    tree = {
        "device": DEVICE,
        "broker": {"host": HOST, "port": port},
        "pipelines": pipelines,
    } | top
    config = folder / "agent.json"
    config.write_text(json.dumps(tree))
    command = [sys.executable, "-m", "edge_agent", "run", str(config)]
    return Program([*command, "--state", str(state or folder / "state")], folder / "agent.log")


def script(folder: Path, port: int, model: PictureModel, topic: str, answers: str) -> Program:
    """Return the script that does everything in on_message."""
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "tools.bench.script", HOST, str(port)]
    return Program([*command, str(model.file), topic, answers], folder / "script.log")


def bare(folder: Path, material: Material, model: PictureModel, **how: float) -> BareResult:
    """Run the bare loop once; `how` as in BareJob."""
    return bare_many(1, folder, material, model, **how)[0]


def bare_many(
    copies: int, folder: Path, material: Material, model: PictureModel, **how: float
) -> list[BareResult]:
    """Run several copies of the bare loop at the same time."""
    folder.mkdir(parents=True)
    job = BareJob(
        model=str(model.file),
        pictures=[str(path) for path in material.pictures],
        mean=model.mean,
        std=model.std,
        interpolation=model.interpolation,
        start_at=time.time() + 2.0,
        seconds=how.get("seconds", 0.0),
        count=int(how.get("count", 0)),
        fps=how.get("fps", 0.0),
    )
    path = folder / "bare.json"
    path.write_bytes(msgspec.json.encode(job))
    command = [sys.executable, "-m", "tools.bench.bare", str(path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
        for _ in range(copies)
    ]
    answers = [process.communicate()[0] for process in running]
    return [msgspec.json.decode(answer, type=BareResult) for answer in answers]
