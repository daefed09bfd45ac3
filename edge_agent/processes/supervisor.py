"""Worker processes: started, listened to, restarted when they die or hang, stopped.

Theory of operation:

    starting --first report--> alive --died, hung--> resting --backoff over--> starting
    any state --stop--> stopping --Stopped or killed--> gone

A worker that was killed for being silent or hung goes the way of one that died.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import selectors
import signal
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from edge_agent.backoff import full_jitter
from edge_agent.errors import EdgeAgentError
from edge_agent.processes import wire
from edge_agent.processes.worker_options import EXIT_NO_MEMORY, REPORT_S, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

    from edge_agent.processes.worker_options import WorkerOptions

log = logging.getLogger(__name__)

# A worker reports each second from a thread that does nothing else: three missed reports mean
# that it is stopped, or that native code holds the interpreter lock.
SILENT_S = 3.5
# Loading may take long on a small gateway, with the interpreter lock held by native code.
START_S = 60.0
# The first restart comes at once; a worker that keeps dying is tried less and less often.
REST_BASE_S, REST_CAP_S = 0.5, 30.0
HEALTHY_S = 60.0  # after this time alive, a death counts as the first again
LEAVE_S = 0.2  # between closing its pipe and having left
KILL_S = 5.0  # a killed process is gone well before that


@dataclass
class _Worker:
    options: WorkerOptions
    state: str
    rests: Iterator[float]
    process: ForkServerProcess | None = None
    pipe: Connection | None = None
    since: float = 0.0
    heard: float = 0.0
    reports: dict[str, wire.PipelineReport] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom the supervisor tells, always from the thread that calls `step`."""

    message: Callable[[wire.FromWorker], None]
    lost: Callable[[tuple[str, ...], str], None]
    """The names of the pipelines whose worker died, and why."""


class Supervisor:
    """All workers. One thread calls `step` and `stop`; any thread may call `trigger`."""

    def __init__(self, workers: list[WorkerOptions], listener: Listener) -> None:
        self._listener = listener
        self._context = multiprocessing.get_context("forkserver")
        self._lock = threading.Lock()  # guards the pipes against `trigger` from another thread
        self._pipes = selectors.DefaultSelector()
        self._workers = [self._resting(options) for options in workers]

    def step(self, timeout_s: float) -> None:
        """Start what is due, then wait up to `timeout_s` for messages and pass them on."""
        now = time.monotonic()
        for entry in self._workers:
            if entry.state == "resting" and now >= entry.since:
                self._start(entry)
        self._listen(timeout_s)
        for entry in list(self._workers):
            reason = self._trouble(entry, time.monotonic())
            if reason:
                self._lose(entry, reason)

    def trigger(self, trigger: wire.Trigger) -> bool:
        """Pass a trigger to its pipeline; return False when its worker is away."""
        with self._lock:
            for entry in self._workers:
                if trigger.pipeline in entry.options.pipelines and entry.pipe is not None:
                    return _sent(entry.pipe, trigger)
        return False

    def stop(self, timeout_s: float) -> None:
        """Let every worker finish what it accepted; kill those that take longer."""
        deadline = time.monotonic() + timeout_s
        for entry in self._workers:
            if entry.pipe is not None and _sent(entry.pipe, wire.Stop()):
                entry.state = "stopping"
        while time.monotonic() < deadline and any(e.pipe is not None for e in self._workers):
            self._listen(min(0.2, max(0.0, deadline - time.monotonic())))
        for entry in self._workers:
            if entry.pipe is not None:
                log.warning("worker %s: killed, it did not stop in time", entry.options.name)
            self._end(entry)

    def processes(self) -> dict[str, int]:
        """Return the process id of each worker that runs, by name."""
        return {
            entry.options.name: entry.process.pid or 0
            for entry in self._workers
            if entry.process is not None
        }

    def _start(self, entry: _Worker) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=run, args=(theirs, entry.options), name=entry.options.name, daemon=True
        )
        try:
            process.start()
        except (OSError, EOFError) as error:
            # Without the fork server nothing can run; a restart of the agent begins with a new one.
            raise EdgeAgentError(
                f"cannot start worker processes ({error}): may this user run {sys.executable}?"
            ) from None
        theirs.close()
        now = time.monotonic()
        with self._lock:
            entry.process, entry.pipe = process, ours
        entry.state, entry.since, entry.heard = "starting", now, now
        entry.reports = {}
        self._pipes.register(ours, selectors.EVENT_READ, entry)

    def _listen(self, timeout_s: float) -> None:
        due = [entry.since for entry in self._workers if entry.state == "resting"]
        if due:
            timeout_s = min(timeout_s, max(0.0, min(due) - time.monotonic()))
        for key, _ in self._pipes.select(timeout_s):
            self._receive(key.data, key.fileobj)  # type: ignore[arg-type]

    def _receive(self, entry: _Worker, pipe: Connection) -> None:
        try:
            message = wire.from_worker(pipe.recv_bytes())
        except (EOFError, OSError):
            self._lose(entry, "")
            return
        except msgspec.DecodeError as error:
            self._lose(entry, f"sent what no worker sends: {error}")
            return
        if unknown := wire.pipelines_of(message) - entry.options.pipelines.keys():
            self._lose(entry, f"spoke for pipelines that it does not run: {', '.join(unknown)}")
            return
        entry.heard = time.monotonic()
        if isinstance(message, wire.Report):
            entry.reports = {report.pipeline: report for report in message.pipelines}
            if entry.state == "starting":
                entry.state = "alive"
        self._listener.message(message)
        if isinstance(message, wire.Stopped):
            self._end(entry)

    def _trouble(self, entry: _Worker, now: float) -> str:
        """Return why this worker must be killed, or ""."""
        if entry.state not in {"starting", "alive"}:
            return ""
        if now - entry.heard > (START_S if entry.state == "starting" else SILENT_S):
            return f"silent for {now - entry.heard:.1f} s"
        for report in entry.reports.values():
            limit_s = entry.options.pipelines[report.pipeline].run_timeout_s
            busy_s = now - report.stage_since_mono_ns / 1e9
            if report.stage == "run" and busy_s > limit_s + REPORT_S:
                return f"the model of {report.pipeline} has been running for {busy_s:.1f} s"
        return ""

    def _lose(self, entry: _Worker, reason: str) -> None:
        """Answer a death: clear up, tell, and see to the restart."""
        lived_s = time.monotonic() - entry.since
        was_stopping = entry.state == "stopping"
        reason = self._end(entry) if not reason else f"{reason} ({self._end(entry)})"
        if was_stopping:
            return
        pipelines = tuple(entry.options.pipelines)
        log.error("worker %s: %s", entry.options.name, reason)
        if len(pipelines) > 1:
            # Which of them did it cannot be told from outside; apart, they cannot harm each other.
            self._workers.remove(entry)
            self._workers += [
                self._resting(_alone(entry.options, pipeline)) for pipeline in pipelines
            ]
        else:
            if lived_s > HEALTHY_S:
                entry.rests = _rests(entry.options.name)
            entry.state, entry.since = "resting", time.monotonic() + next(entry.rests)
        self._listener.lost(pipelines, f"worker {entry.options.name} {reason}")

    def _end(self, entry: _Worker) -> str:
        """Make sure that the process is gone; return how it ended."""
        process, entry.process = entry.process, None
        if process is not None:
            process.join(LEAVE_S)
            if process.exitcode is None:
                process.kill()
                process.join(KILL_S)
        with self._lock:
            pipe, entry.pipe = entry.pipe, None
        if pipe is not None:
            self._pipes.unregister(pipe)
            self._hear_out(pipe)
            pipe.close()
        entry.state = "gone"
        return _ending(process.exitcode) if process is not None else "never started"

    def _hear_out(self, pipe: Connection) -> None:
        """Take the verdicts that a dead worker had already written."""
        try:
            while pipe.poll(0):
                message = wire.from_worker(pipe.recv_bytes())
                if isinstance(message, wire.Verdicts):
                    self._listener.message(message)
        except (EOFError, OSError, msgspec.DecodeError):
            return

    def _resting(self, options: WorkerOptions) -> _Worker:
        return _Worker(options, "resting", _rests(options.name))


def _rests(name: str) -> Iterator[float]:
    yield 0.0
    yield from full_jitter(REST_BASE_S, REST_CAP_S, random.Random(name))  # noqa: S311  not a secret


def _alone(options: WorkerOptions, pipeline: str) -> WorkerOptions:
    return replace(options, name=pipeline, pipelines={pipeline: options.pipelines[pipeline]})


def _sent(pipe: Connection, message: wire.ToWorker) -> bool:
    try:
        wire.send(pipe, message)
    except OSError:
        return False
    return True


def _ending(exitcode: int | None) -> str:
    if exitcode is None:
        return "could not be killed"
    if exitcode == EXIT_NO_MEMORY:
        return "wanted more memory than worker_memory_mb allows"
    if exitcode < 0:
        return f"killed by {signal.Signals(-exitcode).name}"
    return f"exited with status {exitcode}"
