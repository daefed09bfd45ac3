"""`edge-agent bench`: what share of this machine's limit a model gets; how many cameras it carries.

Three runs after each other: a bare loop in one thread, the agent with one pipeline, the agent with
one pipeline per core; a real broker and `edge-agent run`, pictures as fast as they are inspected.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from edge_agent.cell import conveyor
from edge_agent.commands import local_plant
from edge_agent.commands.bare_loop import BareResult
from edge_agent.errors import EdgeAgentError
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.lazy import lazy_module
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.mqtt.broker import Connection, Subscription
from edge_agent.pictures import image
from edge_agent.sources.folder import ENDINGS

if TYPE_CHECKING:
    import numpy as np

    from edge_agent.mqtt.broker import BrokerOptions, Message
else:
    np = lazy_module("numpy")

MANIFEST = "manifest.json"
SIMULATED = 30
PICTURES_MOST = 200  # read into memory by the bare loop
START_S = 60.0
BARE_SPARE_S = 60.0
SETTLE_S = 0.5
ROWS_OF_NOISE = 20_000
# What is left to a machine that also does other things, and to pictures that take longer.
LOAD = 0.8
# Nothing is faster than the bare loop: figures beyond this say that something else was running.
BELIEVED = 1.1


@dataclass(frozen=True, slots=True)
class Found:
    """What the runs found. Rates in items a second, times in ms, memory in MB (PSS)."""

    items: str
    unit: str
    bare: BareResult
    one_hz: float
    all_hz: float
    pipelines: int
    p50_ms: float
    p99_ms: float
    agent_mb: float
    worker_mb: float

    def lines(self, rate_hz: float) -> list[str]:
        """Return it in words; `rate_hz`: items a second of one camera or machine."""
        bare, one, every = self.bare.rate_hz, self.one_hz, self.all_hz
        room = max(0.0, _available_mb() - self.agent_mb) / max(1.0, self.worker_mb)
        carries = int(min(LOAD * every / rate_hz, LOAD * room))
        rows = [
            ("bare loop, one thread", f"{bare:8.1f} a second", f"median {self.bare.p50_ms:.2f} ms"),
            ("agent, one pipeline", f"{one:8.1f} a second", f"{one / bare:.0%} of the bare loop"),
            (
                f"agent, {self.pipelines} pipelines",
                f"{every:8.1f} a second",
                f"{every / one:.2f} times one pipeline",
            ),
            (
                "capture to verdict",
                f"{self.p50_ms:8.2f} ms",
                f"median at full load; p99 {self.p99_ms:.2f} ms",
            ),
            ("memory of the agent", f"{self.agent_mb:8.0f} MB", ""),
            ("memory of a pipeline", f"{self.worker_mb:8.0f} MB", ""),
        ]
        lines = [f"{what:<22}{value:<18}{remark}".rstrip() for what, value, remark in rows]
        lines.append(
            f"At {rate_hz:g} a second each, this machine carries {carries} {self.unit}"
            f" with {LOAD:.0%} of its speed and free memory."
        )
        if max(one, every / self.pipelines) > BELIEVED * bare:
            lines.append("The agent beat the bare loop: other work was running. Measure again.")
        return [self.items, *lines]


@dataclass(frozen=True, slots=True)
class _Run:
    rate_hz: float
    p50_ms: float
    p99_ms: float
    agent_mb: float
    worker_mb: float


def bench(bundle: Path, pictures: Path | None, seconds: float) -> Found:
    """Run it. Raises EdgeAgentError: the bundle, the pictures, or the agent are not in order."""
    if not (bundle / MANIFEST).is_file():
        raise EdgeAgentError(
            f"{bundle} is no bundle: a folder with a {MANIFEST} (`edge-agent bundle` makes one)"
        )
    preprocess = load_bundle(bundle).manifest.task.preprocess
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="edge-agent-bench-") as name:
        folder = Path(name)
        if isinstance(preprocess, WindowPreprocess):
            if pictures is not None:
                raise EdgeAgentError(f"{bundle.name} is a model of samples: it takes no --pictures")
            source, files, items = _noise(folder, preprocess)
        else:
            source, files, items = _pictures(folder, pictures)
        pipeline = {"model": str(bundle.resolve()), "source": source, "evidence": {"keep": []}}
        pipeline["family"] = "pdm" if isinstance(preprocess, WindowPreprocess) else "qc"
        bare = _bare(bundle, files, seconds)
        one = _run(folder, pipeline, 1, seconds)
        every = _run(folder, pipeline, cores, seconds) if cores > 1 else one
    return Found(
        items,
        "machines" if isinstance(preprocess, WindowPreprocess) else "cameras",
        bare,
        one.rate_hz,
        every.rate_hz,
        cores,
        one.p50_ms,
        one.p99_ms,
        one.agent_mb,
        one.worker_mb,
    )


def _pictures(folder: Path, pictures: Path | None) -> tuple[dict[str, Any], list[Path], str]:
    if pictures is None:
        pictures = folder / "pictures"
        pictures.mkdir()
        scene = conveyor.Conveyor(seed=1)
        for index in range(SIMULATED):
            pixels = scene.picture(index).pixels
            (pictures / f"{index}.jpg").write_bytes(image.encode_jpeg(pixels))
        items = f"{SIMULATED} simulated pictures of 640 x 480 (say --pictures FOLDER for yours)"
    else:
        items = f"pictures in {pictures}"
    if not pictures.is_dir():
        raise EdgeAgentError(f"{pictures}: no such folder")
    files = sorted(path for path in pictures.iterdir() if path.suffix.lower() in ENDINGS)
    if not files:
        raise EdgeAgentError(f"{pictures}: no pictures in it")
    source = {"kind": "folder", "path": str(pictures.resolve()), "loop": True}
    return source, files[:PICTURES_MOST], items


def _noise(folder: Path, shape: WindowPreprocess) -> tuple[dict[str, Any], list[Path], str]:
    rows = max(ROWS_OF_NOISE, 4 * shape.samples)
    samples = np.random.default_rng(0).normal(size=(rows, len(shape.channels)))
    np.savez(folder / "noise.npz", samples=samples.astype(np.float32))
    source = {
        "kind": "replay",
        "file": str(folder / "noise.npz"),
        "columns": list(shape.channels),
        "speed": 0,
        "loop": True,
    }
    channels = len(shape.channels)
    return source, [], f"windows of {shape.samples} samples of {channels} channels, noise"


def _bare(bundle: Path, files: list[Path], seconds: float) -> BareResult:
    command = [sys.executable, "-m", "edge_agent.commands.bare_loop", str(bundle), str(seconds)]
    done = subprocess.run(  # noqa: S603  our own module
        [*command, *map(str, files)],
        capture_output=True,
        timeout=seconds + BARE_SPARE_S,
        check=False,
    )
    if done.returncode:
        last_line = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise EdgeAgentError(last_line)
    return msgspec.json.decode(done.stdout, type=BareResult)


def _run(folder: Path, pipeline: dict[str, Any], count: int, seconds: float) -> _Run:
    names = [f"bench-{number}" for number in range(count)]
    # A worker each, also where pipelines of a family would share one.
    pipelines = {name: pipeline | {"worker": f"w-{name}"} for name in names}
    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        local_plant.broker(0, Path(own)) as broker,
        local_plant.agent(Path(own), broker, pipelines) as agent,
        _Ear(broker) as ear,
    ):
        ear.wait_for(names)
        latencies_ms = sorted(ear.listen(seconds))
        workers = [_pss_mb(pid) for pid in _children(agent) if _is_worker(pid)]
        if not latencies_ms:
            raise EdgeAgentError(f"no verdict came in {seconds:g} s")
        return _Run(
            rate_hz=len(latencies_ms) / seconds,
            p50_ms=latencies_ms[len(latencies_ms) // 2],
            p99_ms=latencies_ms[int(0.99 * len(latencies_ms))],
            agent_mb=_pss_mb(agent),
            worker_mb=max(workers, default=0.0),
        )


class _Verdict(msgspec.Struct):
    pipeline: str
    latency_ms: float
    verdict: str
    reason: str


class _Ear:
    """Hears the verdicts."""

    def __init__(self, broker: BrokerOptions) -> None:
        self._changed = threading.Condition()
        self._heard: list[_Verdict] = []
        self._reasons: set[str] = set()
        pattern = f"{local_plant.ROOT}/+/+/verdict"
        subscriptions = [Subscription(pattern, 0, self._take)]
        self._connection = Connection(broker, "bench", subscriptions=subscriptions)

    def __enter__(self) -> Self:
        self._connection.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.stop()

    def wait_for(self, pipelines: list[str]) -> None:
        """Wait until all of them inspect. Raises EdgeAgentError: why they do not."""
        wanted = set(pipelines)
        with self._changed:
            if not self._changed.wait_for(
                lambda: wanted <= {verdict.pipeline for verdict in self._heard}, START_S
            ):
                raise EdgeAgentError(f"nothing is inspected: {'; '.join(self._reasons)}")

    def listen(self, seconds: float) -> list[float]:
        """Return the latencies in ms of the verdicts that come in this time."""
        time.sleep(SETTLE_S)
        with self._changed:
            self._heard.clear()
        time.sleep(seconds)
        with self._changed:
            return [verdict.latency_ms for verdict in self._heard]

    def _take(self, message: Message) -> None:
        verdict = msgspec.json.decode(message.payload, type=_Verdict)
        with self._changed:
            if verdict.verdict == "error":
                self._reasons.add(verdict.reason)
            else:
                self._heard.append(verdict)
            self._changed.notify_all()


def _children(pid: int) -> list[int]:
    """Return all processes below `pid`."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                # Field 4 of stat(5), behind the name, which may hold anything.
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
    found = [pid]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found[1:]


def _is_worker(pid: int) -> bool:
    return Path(f"/proc/{pid}/comm").read_text().startswith("ea:")


def _pss_mb(pid: int) -> float:
    """Return what a process holds, with its share of what it shares (proc(5))."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def _available_mb() -> float:
    """Return what is free for more programs (proc(5))."""
    text = Path("/proc/meminfo").read_text()
    return int(text.partition("MemAvailable:")[2].split()[0]) / 1024
