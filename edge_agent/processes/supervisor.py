"""Worker processes: started, listened to, restarted when they die or hang, stopped.

Theory of operation:

    starting --first report--> alive --died, hung--> resting --backoff over--> starting
    any state --stop--> stopping --Stopped or killed--> gone, or its successor starts

A worker that was killed for being silent or hung goes the way of one that died.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import selectors
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import EdgeAgentError
from edge_agent.processes import wire
from edge_agent.processes.one_worker import (
    Worker,
    ending,
    on_its_own,
    resting,
    rests,
    same_process,
)
from edge_agent.processes.worker_options import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from edge_agent.processes.worker_options import WorkerOptions

log = logging.getLogger(__name__)

LOOK_S = 0.1  # how soon a worker that is silent for too long is noticed
HEALTHY_S = 60.0  # after this time alive, a death counts as the first again
LEAVE_S = 0.2  # between closing its pipe and having left
KILL_S = 5.0  # a killed process is gone well before that


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom the supervisor tells, always from the thread that calls `step`."""

    message: Callable[[wire.FromWorker], None]
    lost: Callable[[tuple[str, ...], str], None]
    """The names of the pipelines whose worker died, and why."""


class Supervisor:
    """All workers. One thread calls `step` and `stop`; any thread may call `order`."""

    def __init__(self, workers: list[WorkerOptions], listener: Listener) -> None:
        self._listener = listener
        self._context = multiprocessing.get_context("forkserver")
        self._lock = threading.Lock()  # guards the pipes against `order` from another thread
        self._pipes = selectors.DefaultSelector()
        # Whoever has something for the thread that calls `step` ends its wait.
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pipes.register(self._bell, selectors.EVENT_READ)
        self._workers = [resting(options) for options in workers]
        self._look_s = 0.0

    def step(self, timeout_s: float) -> None:
        """Start what is due, then wait up to `timeout_s` for messages and pass them on."""
        now = time.monotonic()
        for entry in self._workers:
            if entry.state == "resting" and now >= entry.since:
                self._start(entry)
        self._listen(timeout_s)
        now = time.monotonic()
        if now < self._look_s:
            return  # one of them spoke: that is no reason to look whether others are silent
        self._look_s = now + LOOK_S
        for entry in list(self._workers):
            reason = entry.trouble(now)
            if reason:
                self._lose(entry, reason)

    def wake(self) -> None:
        """End the wait of `step`; any thread."""
        os.eventfd_write(self._bell, 1)

    def order(self, order: wire.Order) -> bool:
        """Pass an order to the pipeline that it names; return False when its worker is away."""
        with self._lock:
            for entry in self._workers:
                running = entry.pipe is not None and entry.state != "stopping"
                if running and order.pipeline in entry.options.pipelines:
                    return entry.pipe is not None and _sent(entry.pipe, order)
        return False

    def configure(self, workers: list[WorkerOptions], stop_timeout_s: float) -> None:
        """Have these from now on. What is unchanged runs on; what must go may take that long."""
        # Those that were parted after a death stay apart.
        apart = {entry.options.name for entry in self._workers if entry.alone}
        wanted = {
            (each.name, alone): each
            for options in workers
            for alone, each in _parted(options, apart)
        }
        for entry in list(self._workers):
            options = wanted.pop((entry.options.name, entry.alone), None)
            if entry.pipe is None and options is not None:
                entry.options, entry.rests = options, rests(options.name)
                entry.since = time.monotonic()
            elif options is None or not same_process(entry.options, options):
                self._retire(entry, options, stop_timeout_s)
            elif entry.state == "stopping":
                entry.successor = options
            else:
                with self._lock:
                    orders = entry.follow(options)
                    _ = entry.pipe is not None and _sent(entry.pipe, orders)
        self._workers += [resting(each, alone=alone) for (_, alone), each in wanted.items()]

    def stop(self, timeout_s: float) -> None:
        """Let every worker finish what it accepted; kill those that take longer."""
        deadline = time.monotonic() + timeout_s
        for entry in self._workers:
            entry.successor = None
            if entry.pipe is not None and _sent(entry.pipe, wire.Stop()):
                entry.state = "stopping"
        while time.monotonic() < deadline and any(e.pipe is not None for e in self._workers):
            self._listen(min(0.2, max(0.0, deadline - time.monotonic())))
        for entry in list(self._workers):
            if entry.pipe is not None:
                log.warning("worker %s: killed, it did not stop in time", entry.options.name)
            self._end(entry)

    def processes(self) -> dict[str, int]:
        """Return the process id of each worker that runs, by name."""
        return {
            entry.options.name: process.pid or 0
            for entry in list(self._workers)
            if (process := entry.process) is not None  # asked from another thread, too
        }

    def _start(self, entry: Worker) -> None:
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
            if key.fileobj == self._bell:
                os.eventfd_read(self._bell)
            else:
                self._receive(key.data, key.fileobj)  # type: ignore[arg-type]

    def _receive(self, entry: Worker, pipe: Connection) -> None:
        try:
            message = wire.from_worker(pipe.recv_bytes())
        except (EOFError, OSError):
            self._lose(entry, "")
            return
        except msgspec.DecodeError as error:
            self._lose(entry, f"sent what no worker sends: {error}")
            return
        if unknown := wire.pipelines_of(message) - entry.may_speak_for():
            self._lose(entry, f"spoke for pipelines that it does not run: {', '.join(unknown)}")
            return
        entry.heard = time.monotonic()
        if isinstance(message, wire.Report):
            entry.reports = {report.pipeline: report for report in message.pipelines}
            if entry.state == "starting":
                entry.state = "alive"
        if isinstance(message, wire.Configured) and message.config_rev == entry.options.config_rev:
            entry.leaving.clear()
        self._listener.message(message)
        if isinstance(message, wire.Stopped):
            self._end(entry)
            self._succeed(entry)

    def _lose(self, entry: Worker, reason: str) -> None:
        """Answer a death: clear up, tell, and see to the restart."""
        lived_s = time.monotonic() - entry.since
        was_stopping = entry.state == "stopping"
        reason = self._end(entry) if not reason else f"{reason} ({self._end(entry)})"
        if was_stopping:
            self._succeed(entry)
            return
        pipelines = tuple(entry.options.pipelines)
        log.error("worker %s: %s", entry.options.name, reason)
        if len(pipelines) > 1:
            # Which of them did it cannot be told from outside; apart, they cannot harm each other.
            self._workers.remove(entry)
            self._workers += [
                resting(on_its_own(entry.options, name), alone=True) for name in pipelines
            ]
        else:
            if lived_s > HEALTHY_S:
                entry.rests = rests(entry.options.name)
            entry.state, entry.since = "resting", time.monotonic() + next(entry.rests)
        self._listener.lost(pipelines, f"worker {entry.options.name} {reason}")

    def _retire(self, entry: Worker, successor: WorkerOptions | None, timeout_s: float) -> None:
        """Stop a worker; its successor, which may want the same camera, starts afterwards."""
        entry.successor = successor
        if entry.state == "stopping":
            return
        if entry.pipe is None:
            self._succeed(entry)
        elif _sent(entry.pipe, wire.Stop()):
            entry.state, entry.stop_by = "stopping", time.monotonic() + timeout_s
        else:  # it has just died, and nobody wants it back
            self._end(entry)
            self._succeed(entry)

    def _succeed(self, entry: Worker) -> None:
        self._workers.remove(entry)
        if entry.successor is not None:
            self._workers.append(resting(entry.successor, alone=entry.alone))

    def _end(self, entry: Worker) -> str:
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
        return ending(process.exitcode) if process is not None else "never started"

    def _hear_out(self, pipe: Connection) -> None:
        """Take the verdicts that a dead worker had already written."""
        try:
            while pipe.poll(0):
                message = wire.from_worker(pipe.recv_bytes())
                if isinstance(message, wire.Verdicts | wire.Answer):
                    self._listener.message(message)
        except (EOFError, OSError, msgspec.DecodeError):
            return


def _sent(pipe: Connection, message: wire.ToWorker) -> bool:
    try:
        wire.send(pipe, message)
    except OSError:
        return False
    return True


def _parted(options: WorkerOptions, apart: set[str]) -> list[tuple[bool, WorkerOptions]]:
    """Return the orders as they are, and those of pipelines that must have a worker each."""
    own = apart & options.pipelines.keys()
    together = {name: each for name, each in options.pipelines.items() if name not in own}
    alone = [(True, on_its_own(options, name)) for name in sorted(own)]
    return alone + ([(False, replace(options, pipelines=together))] if together else [])
