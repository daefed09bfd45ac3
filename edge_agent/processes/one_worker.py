"""What the supervisor knows of one worker: its orders, its process, and what was heard of it."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edge_agent.backoff import full_jitter
from edge_agent.processes import wire
from edge_agent.processes.worker_options import EXIT_NO_MEMORY, REPORT_S, write_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from edge_agent.processes.worker_options import WorkerOptions

# A worker reports each second from a thread that does nothing else: three missed reports mean
# that it is stopped, or that native code holds the interpreter lock.
SILENT_S = 3.5
# Loading may take long on a small gateway, with the interpreter lock held by native code.
START_S = 60.0
# The first restart comes at once; a worker that keeps dying is tried less and less often.
REST_BASE_S, REST_CAP_S = 0.5, 30.0


@dataclass
class Worker:
    """One process after the other, with the same name.

    `successor`: the orders for the process after this one, if they need another; `leaving`:
    pipelines that are in the orders no more and may still speak; `alone`: parted from others.
    """

    options: WorkerOptions
    rests: Iterator[float]
    state: str = "resting"
    alone: bool = False
    process: ForkServerProcess | None = None
    pipe: Connection | None = None
    since: float = 0.0
    heard: float = 0.0
    reports: dict[str, wire.PipelineReport] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)
    successor: WorkerOptions | None = None
    stop_by: float = float("inf")

    def trouble(self, now: float) -> str:
        """Return why this worker must be killed, or ""."""
        if self.state == "stopping" and now > self.stop_by:
            return "did not stop in time"
        if self.state not in {"starting", "alive"}:
            return ""
        if now - self.heard > (START_S if self.state == "starting" else SILENT_S):
            return f"silent for {now - self.heard:.1f} s"
        for report in self.reports.values():
            options = self.options.pipelines.get(report.pipeline)
            busy_s = now - report.stage_since_mono_ns / 1e9
            limit_s = options.run_timeout_s if options else SILENT_S
            if report.succession is not None and report.succession.run_limit_s:
                limit_s = min(limit_s, report.succession.run_limit_s)
            if report.stage == "run" and busy_s > limit_s + REPORT_S:
                return f"the model of {report.pipeline} has been running for {busy_s:.1f} s"
        return ""

    def may_speak_for(self) -> set[str]:
        """Return the pipelines that messages of this worker may be about."""
        return self.options.pipelines.keys() | self.leaving

    def follow(self, options: WorkerOptions) -> wire.Configure:
        """Take new orders for the process that runs; return what it is to be told."""
        self.leaving |= self.options.pipelines.keys() - options.pipelines.keys()
        self.options = options
        orders = {name: write_options(each) for name, each in options.pipelines.items()}
        return wire.Configure(options.config_rev, orders)


def resting(options: WorkerOptions, *, alone: bool = False) -> Worker:
    """Return a worker that is to be started at once."""
    return Worker(options, rests(options.name), alone=alone)


def rests(name: str) -> Iterator[float]:
    """Yield how long to wait before each start, in seconds."""
    yield 0.0
    yield from full_jitter(REST_BASE_S, REST_CAP_S, random.Random(name))  # noqa: S311  not a secret


def on_its_own(options: WorkerOptions, pipeline: str) -> WorkerOptions:
    """Return the orders of a worker for one of the pipelines alone."""
    return replace(options, name=pipeline, pipelines={pipeline: options.pipelines[pipeline]})


def same_process(before: WorkerOptions, after: WorkerOptions) -> bool:
    """Say whether a process that was started with `before` can go over to `after`."""
    live = replace(before, config_rev=after.config_rev, pipelines=after.pipelines)
    return live == after


def ending(exitcode: int | None) -> str:
    """Return how a process ended, in words."""
    if exitcode is None:
        return "could not be killed"
    if exitcode == EXIT_NO_MEMORY:
        return "wanted more memory than worker_memory_mb allows"
    if exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"exited with status {exitcode}"
