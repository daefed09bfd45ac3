"""Workers are real processes here, and are killed for real."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import pytest

from edge_agent.config import parse_json
from edge_agent.processes import forkserver, wire
from edge_agent.processes.supervisor import Listener, Supervisor
from edge_agent.processes.worker_options import WorkerOptions
from tests.agents import DEVICE
from tests.bundles import write_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.types import Verdict

IMAGE = {"kind": "image", "mean": [0], "std": [1]}


class Line:
    """A supervisor with its listener; `until` drives it until something is seen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.verdicts: list[Verdict] = []
        self.reports: dict[str, wire.PipelineReport] = {}
        self.lost: list[tuple[tuple[str, ...], str]] = []
        self.supervisor = Supervisor([], Listener(self._heard, self._lost))

    def start(self, workers: dict[str, dict[str, Any]], memory_bytes: int = 10**9) -> None:
        """Start workers with these pipelines."""
        pipelines = {name: p for group in workers.values() for name, p in group.items()}
        config = parse_json(json.dumps({"device": DEVICE, "pipelines": pipelines}).encode())
        self.supervisor = Supervisor(
            [
                WorkerOptions(
                    name=worker,
                    device="gw",
                    config_rev=1,
                    folder=self.folder,
                    evidence_folder=self.folder / "evidence",
                    broker=config.broker,
                    pipelines={name: config.pipelines[name] for name in group},
                    log_level=30,
                    memory_bytes=memory_bytes,
                )
                for worker, group in workers.items()
            ],
            Listener(self._heard, self._lost),
        )

    def until(self, seen: Callable[[], object], timeout_s: float = 60) -> None:
        """Drive the supervisor until `seen` is true; a step ends early where a message comes."""
        by_s = time.monotonic() + timeout_s
        while time.monotonic() < by_s:
            if seen():
                return
            self.supervisor.step(0.1)
        pytest.fail(f"not seen within {timeout_s:g} s")

    def count(self, pipeline: str) -> int:
        return sum(verdict.pipeline == pipeline for verdict in self.verdicts)

    def _heard(self, message: wire.FromWorker) -> None:
        if isinstance(message, wire.Verdicts):
            self.verdicts += message.verdicts
        elif isinstance(message, wire.Report):
            self.reports |= {report.pipeline: report for report in message.pipelines}

    def _lost(self, pipelines: tuple[str, ...], reason: str) -> None:
        self.lost.append((pipelines, reason))


@pytest.fixture
def line(tmp_path: Path, shared_data: Path) -> Iterator[Line]:
    model = (shared_data / "mlperf_tiny/models/vww_96_int8.tflite").read_bytes()
    task = {"kind": "classify", "preprocess": {"kind": "image"}}
    rule = {"kind": "threshold", "fail_at": 0.5}
    write_bundle(tmp_path / "model", model, task=task, rule=rule, labels="none\nperson\n")
    rng = np.random.default_rng(1)
    (tmp_path / "pictures").mkdir()
    for index in range(5):
        pixels = rng.integers(0, 256, (96, 96, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "pictures" / f"{index}.png"), pixels)
    forkserver.start()
    line = Line(tmp_path)
    yield line
    line.supervisor.stop(5)


def pipeline(fps: float | None = 50, *, loop: bool = True, model: str = "model") -> dict[str, Any]:
    source = {"kind": "folder", "path": "pictures", "loop": loop} | ({"fps": fps} if fps else {})
    return {"family": "qc", "model": model, "source": source, "evidence": {"keep": []}}


def test_no_thread_of_a_worker_stops_another_in_the_middle_of_a_picture(line: Line) -> None:
    line.start({"camera": {"camera": pipeline()}})
    line.until(lambda: line.count("camera"))
    tasks = Path(f"/proc/{line.supervisor.processes()['camera']}/task")
    policies = {os.sched_getscheduler(int(task.name)) for task in tasks.iterdir()}
    assert policies == {os.SCHED_BATCH}


def test_a_folder_of_pictures_becomes_verdicts_in_order(line: Line) -> None:
    line.start({"camera": {"camera": pipeline(fps=None, loop=False)}})
    line.until(lambda: line.reports.get("camera") and line.reports["camera"].state == "ended")
    assert line.count("camera") == 5
    assert {verdict.outcome for verdict in line.verdicts} <= {"pass", "fail"}
    captured = [verdict.captured_ns for verdict in line.verdicts]
    assert captured == sorted(captured)
    assert line.reports["camera"].accelerator == "cpu"


def test_a_killed_worker_comes_back_and_the_other_never_notices(line: Line) -> None:
    line.start({"a": {"a": pipeline()}, "b": {"b": pipeline()}})
    line.until(lambda: line.count("a") and line.count("b"))
    other = line.supervisor.processes()["b"]
    os.kill(line.supervisor.processes()["a"], signal.SIGKILL)
    line.until(lambda: line.lost)
    assert line.lost == [(("a",), "worker a killed by SIGKILL")]
    before = line.count("a")
    line.until(lambda: line.count("a") > before + 10)
    assert line.supervisor.processes()["b"] == other


def test_a_worker_that_hangs_is_killed_and_replaced(line: Line) -> None:
    line.start({"a": {"a": pipeline()}})
    line.until(lambda: line.count("a") and line.reports.get("a"))
    os.kill(line.supervisor.processes()["a"], signal.SIGSTOP)
    line.until(lambda: line.lost)
    assert "silent for" in line.lost[0][1]
    before = line.count("a")
    line.until(lambda: line.count("a") > before + 10)


def test_pipelines_of_a_shared_worker_that_died_come_back_apart(line: Line) -> None:
    line.start({"both": {"a": pipeline(), "b": pipeline()}})
    line.until(lambda: line.count("a") and line.count("b"))
    os.kill(line.supervisor.processes()["both"], signal.SIGSEGV)
    line.until(lambda: set(line.supervisor.processes()) == {"a", "b"})
    assert line.lost == [(("a", "b"), "worker both killed by SIGSEGV")]
    before = len(line.verdicts)
    line.until(lambda: len(line.verdicts) > before + 10)


def test_a_model_that_cannot_be_loaded_is_a_state_and_not_a_crash_loop(line: Line) -> None:
    (line.folder / "bad").mkdir()
    line.start({"a": {"a": pipeline(model="bad")}, "b": {"b": pipeline()}})
    line.until(lambda: line.reports.get("a") and line.reports["a"].state == "failed")
    assert "manifest.json" in line.reports["a"].detail
    assert "manifest.json" in line.verdicts[0].reason
    line.until(lambda: line.count("b") > 10)
    assert line.lost == []


def test_a_source_that_is_away_is_one_error_and_is_picked_up_when_it_comes(line: Line) -> None:
    (line.folder / "pictures").rename(line.folder / "elsewhere")
    line.start({"a": {"a": pipeline()}})
    line.until(lambda: line.reports.get("a") and line.reports["a"].state == "waiting")
    assert "pictures" in line.reports["a"].detail
    (line.folder / "elsewhere").rename(line.folder / "pictures")
    line.until(lambda: line.count("a") > 10 and line.reports["a"].state == "running")
    errors = [verdict for verdict in line.verdicts if verdict.outcome == "error"]
    assert len(errors) == 1
    assert "pictures" in errors[0].reason


def test_a_picture_that_cannot_be_read_is_an_error_and_the_next_is_inspected(line: Line) -> None:
    (line.folder / "pictures" / "2.png").write_bytes(b"no picture")
    line.start({"a": {"a": pipeline(fps=None, loop=False)}})
    line.until(lambda: line.reports.get("a") and line.reports["a"].state == "ended")
    assert [verdict.outcome == "error" for verdict in line.verdicts] == [0, 0, 1, 0, 0]
    assert "2.png" in line.verdicts[2].reason
    assert line.reports["a"].totals["bad_input_undecodable"] == 1


def test_a_worker_that_wants_too_much_memory_is_replaced_and_the_other_never_notices(
    line: Line,
) -> None:
    picture = np.zeros((5000, 5000, 3), np.uint8)
    (line.folder / "large").mkdir()
    cv2.imwrite(str(line.folder / "large" / "1.jpg"), picture)
    large = pipeline(5)
    large["source"]["path"] = "large"
    line.start({"a": {"a": large}, "b": {"b": pipeline()}}, memory_bytes=150_000_000)
    line.until(lambda: len(line.lost) > 1)
    assert {pipelines for pipelines, _ in line.lost} == {("a",)}
    assert line.lost[0][1] == "worker a wanted more memory than worker_memory_mb allows"
    line.until(lambda: line.count("b") > 10)


def test_a_stop_finishes_what_was_accepted_and_leaves_no_process(line: Line) -> None:
    line.start({"a": {"a": pipeline()}})
    line.until(lambda: line.count("a") > 5)
    pid = line.supervisor.processes()["a"]
    line.supervisor.stop(5)
    assert line.reports["a"].state == "stopped", "its source had more"
    total = sum(n for name, n in line.reports["a"].totals.items() if name.startswith("verdicts_"))
    assert line.count("a") == total
    assert not Path(f"/proc/{pid}").exists()
    assert line.lost == []


def test_a_worker_leaves_when_the_agent_is_gone(line: Line) -> None:
    line.start({"a": {"a": pipeline()}})
    line.until(lambda: line.count("a"))
    (worker,) = line.supervisor._workers
    assert worker.pipe is not None
    process = worker.process
    assert process is not None
    worker.pipe.close()
    worker.pipe = None
    process.join(60)
    assert process.exitcode == 0


def test_a_worker_that_speaks_for_a_pipeline_it_does_not_run_is_replaced(line: Line) -> None:
    line.start({"camera": {"camera": pipeline()}})
    line.until(lambda: line.count("camera") > 3)
    ours, theirs = multiprocessing.Pipe()
    report = replace_pipeline(line.reports["camera"], "somebody-else")
    wire.send(theirs, wire.Report([report]))
    line.supervisor._receive(line.supervisor._workers[0], ours)
    ((pipelines, reason),) = line.lost
    assert pipelines == ("camera",)
    assert "somebody-else" in reason
    before = line.count("camera")
    line.until(lambda: line.count("camera") > before + 3)


def replace_pipeline(report: wire.PipelineReport, name: str) -> wire.PipelineReport:
    return msgspec.structs.replace(report, pipeline=name)


def test_a_worker_that_died_a_moment_before_its_pipeline_was_removed_stays_away(line: Line) -> None:
    line.start({"camera": {"camera": pipeline()}})
    line.until(lambda: line.count("camera") > 3)
    process = line.supervisor._workers[0].process
    assert process is not None
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    line.supervisor.configure([], 5.0)
    assert not line.supervisor._workers
    assert not line.lost


def test_whoever_has_something_to_do_need_not_wait_for_a_message(line: Line) -> None:
    waiting = threading.Thread(target=line.supervisor.step, args=(3600,), daemon=True)
    waiting.start()
    line.supervisor.wake()
    waiting.join(30)
    assert not waiting.is_alive()
