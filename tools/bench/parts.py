"""The parts of the bench. Each runs once a round and adds what it saw to the samples."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench import processes
from tools.bench.figures import Samples, quantile
from tools.bench.load import Camera, Run, picture_topic, verdict_topic
from tools.bench.sensor_load import QUEUE_WINDOWS, TOPIC, Machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.bench.material import Material, PictureModel, SensorModel
    from tools.bench.processes import Program

# Nothing scores so high: every verdict is a pass, and no evidence is kept, as on most parts.
NEVER = {"kind": "threshold", "fail_at": 1e9}
SCRIPT_TOPIC = "answers/camera"
AHEAD = 8  # pictures before each line: it never waits, and none is dropped
OVERLOAD = 1.5
STATS_S = 0.5
TMPFS = Path("/dev/shm")  # noqa: S108  for a state folder that costs no disk


@dataclass(frozen=True, slots=True)
class Amount:
    """How long each part runs in a round; `rates`: pictures by frame rate."""

    seconds: float
    pictures: dict[int, int]
    overload_pictures: int
    sixteen_pictures: int


FULL = Amount(8.0, {5: 134, 20: 334, 60: 334}, 1000, 640)
QUICK = Amount(2.0, {20: 60}, 100, 64)


@dataclass
class Bench:
    """One run of it: rounds share nothing but what they add to `samples`."""

    folder: Path
    material: Material
    amount: Amount
    samples: Samples = field(default_factory=Samples)
    pooled: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._runs = itertools.count()

    # ------------------------------------------------------------------ speed and memory

    def throughput(self) -> None:
        """Bare loop, script and agent in turn, on both models."""
        add, seconds = self.samples.add, self.amount.seconds
        for name, model in (("mobilenet", self.material.mobilenet), ("vww", self.material.vww)):
            before = self._bare(model, seconds=seconds / 2)
            with self._agent({"camera": _pipeline("camera", model, queue=16)}) as (port, agent):
                run = self._saturate(port, agent, {"camera": verdict_topic("camera")})
                memory = agent.memory()
            # Half of it before and half behind: the machine's speed drifts within seconds.
            bare = (before + self._bare(model, seconds=seconds / 2)) / 2
            add(f"bare_{name}_fps", bare)
            add(f"agent_{name}_fps", run.fps)
            add(f"agent_{name}_share", run.fps / bare)
            if name == "mobilenet":
                add("agent_rss_mb", memory.rss_mb)
                add("worker_rss_mb", max(memory.worker_rss_mb))
            else:
                self._script(run)

    def two_workers(self) -> None:
        """One worker and two, one bare loop and two, MobileNet v2."""
        model, seconds = self.material.mobilenet, self.amount.seconds
        both = {name: _pipeline(name, model, queue=16) for name in ("left", "right")}
        with self._agent({"left": both["left"]}) as (port, agent):
            one = self._saturate(port, agent, {"left": verdict_topic("left")}).fps
        beside: list[float] = []

        def cpu_s() -> float:
            beside.append(processes.beside_cpu_s())
            return agent.cpu_s()

        with self._agent(both) as (port, agent):
            topics = {name: verdict_topic(name) for name in both}
            two = self._saturate(port, agent, topics, cpu_s)
            memory = agent.memory()
        cores_beside = (beside[-1] - beside[0]) / two.seconds
        cores_left = len(os.sched_getaffinity(0)) - cores_beside
        self.samples.add("two_workers_ratio", two.fps / one)
        self.samples.add("two_workers_cpu_ms", two.cpu_s_per_1000)
        self.samples.add("two_workers_beside", cores_beside)
        # No more than two models run at once, whatever other cores there are.
        room = min(2.0, 1e3 * cores_left / two.cpu_s_per_1000 / one)
        self.samples.add("two_workers_room", room)
        self.samples.add("further_worker_pss_mb", max(memory.worker_pss_mb))
        bare = self._bare(model, seconds=seconds)
        pair = processes.bare_many(2, self._new(), self.material, model, seconds=seconds)
        self.samples.add("bare_two_ratio", sum(each.fps for each in pair) / bare)

    def _script(self, agent: Run) -> None:
        model = self.material.vww
        with processes.Broker(self._new(make=True)) as broker:
            script = processes.script(
                self._new(), broker.port, model, picture_topic("camera"), SCRIPT_TOPIC
            )
            with script:
                run = self._saturate(broker.port, script, {"camera": SCRIPT_TOPIC})
                paced = self._pace(broker.port, script, {"camera": SCRIPT_TOPIC}, 60, 300)
        with self._agent({"camera": _pipeline("camera", model, queue=16)}) as (port, program):
            ours = self._pace(port, program, {"camera": verdict_topic("camera")}, 60, 300)
        add = self.samples.add
        add("script_vww_fps", run.fps)
        add("script_vww_cpu_s_per_1000", run.cpu_s_per_1000)
        add("agent_vww_cpu_s_per_1000", agent.cpu_s_per_1000)
        add("cpu_vww_of_script", agent.cpu_s_per_1000 / run.cpu_s_per_1000)
        add("cpu_vww_60fps_of_script", ours.cpu_s_per_1000 / paced.cpu_s_per_1000)

    def stages(self) -> None:
        """CPU of each thread for a picture, with the small model, at full speed and at 60 fps."""
        model, topics = self.material.vww, {"camera": verdict_topic("camera")}
        with (
            self._agent({"camera": _pipeline("camera", model, queue=16)}) as (port, agent),
            self._camera(port, topics) as camera,
        ):
            camera.wake()
            snapshots: list[dict[str, float]] = []

            def snap() -> float:
                snapshots.append(agent.thread_cpu_s())
                return 0.0

            full = camera.saturate(self.amount.seconds, AHEAD, snap)
            paced = camera.pace(60, 300, snap)
        self._add_stages("full", full, *snapshots[:2])
        self._add_stages("60fps", paced, *snapshots[2:])

    def _add_stages(
        self, when: str, run: Run, before: dict[str, float], after: dict[str, float]
    ) -> None:
        for name, cpu_s in after.items():
            spent_ms = 1e3 * (cpu_s - before.get(name, 0.0)) / max(1, run.answered)
            self.samples.add(f"stage_{name}_{when}_ms", spent_ms)

    # ------------------------------------------------------------------ how late

    def latency(self) -> None:
        """Publish to verdict at each rate beside the bare compute at that rate, MobileNet v2."""
        model = self.material.mobilenet
        for fps, count in self.amount.pictures.items():
            compute = processes.bare(self._new(), self.material, model, fps=fps, count=count)
            self._pool(f"compute_{fps}fps", compute.took_ms)
            self._pool(f"latency_{fps}fps", self._latencies(fps, count))
        with tempfile.TemporaryDirectory(dir=TMPFS) as folder:
            count = self.amount.pictures[20]
            self._pool("memory_20fps", self._latencies(20, count, state=Path(folder)))
        self.samples.add("disk_commit_p50_ms", _disk_commit_ms(self.folder))

    def overload(self) -> None:
        """1.5 times what the agent can do, newest wins: how late, and is every picture counted."""
        model = self.material.mobilenet
        topics = {"camera": verdict_topic("camera")}
        with self._agent({"camera": _pipeline("camera", model, queue=16)}) as (port, agent):
            limit = self._saturate(port, agent, topics).fps
        pipelines = {"camera": _pipeline("camera", model, queue=1)}
        with (
            self._agent(pipelines, stats_every_s=STATS_S) as (port, agent),
            self._camera(port, topics) as camera,
        ):
            camera.wake()
            items, dropped = camera.totals(at_least=1 << 62)
            run = camera.pace(OVERLOAD * limit, self.amount.overload_pictures, agent.cpu_s)
            all_items, all_dropped = camera.totals(at_least=items + dropped + run.sent)
        counted = all_items + all_dropped - items - dropped
        self.samples.add("overload_offered", OVERLOAD)
        self.samples.add("overload_p99_frames", quantile(run.latencies_ms, 0.99) * limit / 1e3)
        uncounted = abs(run.sent - counted) + abs(run.answered - (all_items - items))
        self.samples.add("overload_unaccounted", uncounted)

    # ------------------------------------------------------------------ sensors

    def sensors(self) -> None:
        """JSON rows and raw blocks, as fast as they are taken without loss."""
        rows = self._sensor_run(self.material.rows, blocks=False)
        self.samples.add("sensor_json_hz", rows.messages_hz)
        self.samples.add("sensor_json_lost", rows.lost_rows)
        blocks = self._sensor_run(self.material.blocks, blocks=True)
        self.samples.add("sensor_block_samples_hz", blocks.samples_hz)
        self.samples.add("sensor_block_lost", blocks.lost_rows)

    def _sensor_run(self, model: SensorModel, *, blocks: bool) -> Any:  # noqa: ANN401
        with self._agent({"machine": _sensor_pipeline(model, blocks=blocks)}) as (port, _):
            machine = Machine(port, model, "machine", blocks=blocks)
            try:
                machine.wake()
                return machine.saturate(self.amount.seconds)
            finally:
                machine.close()

    # ------------------------------------------------------------------ start, many pipelines

    def start(self) -> None:
        """Start a fresh agent, and wait for its first verdict."""
        pipelines = {"camera": _pipeline("camera", self.material.mobilenet, queue=1)}
        with (
            processes.Broker(self._new(make=True)) as broker,
            self._camera(broker.port, {"camera": verdict_topic("camera")}) as camera,
            processes.agent(self._new(), broker.port, pipelines),
        ):
            self.samples.add("start_s", camera.wake())

    def sixteen(self) -> None:
        """Take the same frame rate through one pipeline and through sixteen, MobileNet v2."""
        model, cpu = self.material.mobilenet, {}
        for count in (1, 16):
            names = [f"camera-{number}" for number in range(count)]
            pipelines = {name: _pipeline(name, model, queue=4) for name in names}
            topics = {name: verdict_topic(name) for name in names}
            with self._agent(pipelines) as (port, agent):
                run = self._pace(port, agent, topics, 20, self.amount.sixteen_pictures)
                cpu[count] = run.cpu_s_per_1000
                pss_mb = agent.memory().worker_pss_mb
        self.samples.add("sixteen_cpu_ratio", cpu[16] / cpu[1])
        self.samples.add("sixteen_worker_pss_mb", sum(pss_mb) / len(pss_mb))

    # ------------------------------------------------------------------ what they share

    def values(self) -> dict[str, float]:
        """Return medians of rounds, and quantiles over all rounds together."""
        values = self.samples.medians()
        for name, latencies_ms in self.pooled.items():
            values[f"{name}_p50_ms"] = quantile(latencies_ms, 0.5)
            values[f"{name}_p99_ms"] = quantile(latencies_ms, 0.99)
        for prefix, name in (("", "latency_20fps"), ("memory_", "memory_20fps")):
            if name in self.pooled:
                for share in ("p50", "p99"):
                    above_ms = values[f"{name}_{share}_ms"] - values["compute_20fps_p50_ms"]
                    values[f"{prefix}over_20fps_{share}_ms"] = above_ms
        if "compute_20fps" in self.pooled:
            spread_ms = values["compute_20fps_p99_ms"] - values["compute_20fps_p50_ms"]
            values["bare_over_20fps_p99_ms"] = spread_ms
        return values

    def _latencies(self, fps: int, count: int, state: Path | None = None) -> list[float]:
        pipelines = {"camera": _pipeline("camera", self.material.mobilenet, queue=4)}
        with self._agent(pipelines, state=state) as (port, agent):
            topics = {"camera": verdict_topic("camera")}
            return self._pace(port, agent, topics, fps, count).latencies_ms

    def _pool(self, name: str, values: list[float]) -> None:
        self.pooled.setdefault(name, []).extend(values)

    def _bare(self, model: PictureModel, seconds: float) -> float:
        return processes.bare(self._new(), self.material, model, seconds=seconds).fps

    def _saturate(
        self,
        port: int,
        program: Program,
        topics: dict[str, str],
        cpu_s: Callable[[], float] | None = None,
    ) -> Run:
        with self._camera(port, topics) as camera:
            camera.wake()
            return camera.saturate(self.amount.seconds, AHEAD, cpu_s or program.cpu_s)

    def _pace(
        self, port: int, program: Program, topics: dict[str, str], fps: float, count: int
    ) -> Run:
        with self._camera(port, topics) as camera:
            camera.wake()
            return camera.pace(fps, count, program.cpu_s)

    @contextmanager
    def _camera(self, port: int, topics: dict[str, str]) -> Iterator[Camera]:
        camera = Camera(port, self.material.pictures, topics)
        try:
            yield camera
        finally:
            camera.close()

    @contextmanager
    def _agent(
        self,
        pipelines: dict[str, Any],
        state: Path | None = None,
        **top: Any,  # noqa: ANN401
    ) -> Iterator[tuple[int, Program]]:
        """Start a fresh broker and a fresh agent."""
        with processes.Broker(self._new(make=True)) as broker:
            program = processes.agent(self._new(), broker.port, pipelines, state=state, **top)
            with program:
                yield broker.port, program

    def _new(self, *, make: bool = False) -> Path:
        folder = self.folder / f"{next(self._runs):04}"
        if make:
            folder.mkdir(parents=True)
        return folder


def _pipeline(name: str, model: PictureModel, queue: int) -> dict[str, Any]:
    source = {"kind": "mqtt_image", "topic": picture_topic(name), "queue": queue}
    source |= {"part_id_level": 2}
    return {"family": "qc", "model": str(model.bundle), "source": source, "rule": NEVER}


def _sensor_pipeline(model: SensorModel, *, blocks: bool) -> dict[str, Any]:
    source: dict[str, Any] = {"kind": "mqtt_sensor", "topic": TOPIC, "queue": QUEUE_WINDOWS}
    if blocks:
        source |= {"format": "float32", "columns": model.channels}
    else:
        source |= {"channels": {name: {"pointer": f"/{name}"} for name in model.channels}}
    return {"family": "pdm", "model": str(model.bundle), "source": source, "rule": NEVER}


def _disk_commit_ms(folder: Path) -> float:
    times_ms = []
    with (folder / "commits").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            began_s = time.perf_counter()
            os.fdatasync(file.fileno())
            times_ms.append(1e3 * (time.perf_counter() - began_s))
    return quantile(times_ms, 0.5)
