"""The agent process: builds everything from the config, starts it in order, stops it in reverse.

It never decodes a picture, parses a sample or loads a model: workers do. See docs/architecture.md.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import time
from functools import partial
from typing import IO, TYPE_CHECKING

from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.publisher import Publisher
from edge_agent.errors import BadInput, EdgeAgentError
from edge_agent.line.pipeline import Identity, error_verdict
from edge_agent.line.trigger_desk import TriggerDesk
from edge_agent.mqtt.broker_options import Subscription
from edge_agent.processes import wire
from edge_agent.processes.supervisor import Listener, Supervisor
from edge_agent.processes.worker_options import WorkerOptions
from edge_agent.reporting.board import Board
from edge_agent.sdnotify import Systemd

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from edge_agent.config import Config, PipelineOptions
    from edge_agent.mqtt.broker_options import Message
    from edge_agent.types import Verdict

log = logging.getLogger(__name__)

STEP_S = 0.2  # how long a stop signal may go unnoticed
FLUSH_S = 5.0  # the disk's share of a stop
DRAIN_S = 2.0  # the broker's share of a stop; what is not acknowledged by then is sent next time
# Pipelines of this family share a worker unless the config says otherwise. Not a Name, so that no
# worker of the config can be called the same.
SHARED = {"pdm": "(pdm)"}
CONFIG_REV = 1


class Agent:
    """One gateway."""

    def __init__(self, config: Config, *, folder: Path, state_folder: Path) -> None:
        """`folder`: where relative paths of the config start; `state_folder`: outbox, evidence."""
        self._config = config
        self._lock = _only_one(state_folder)
        self._identities = {
            name: Identity(name, pipeline.family, CONFIG_REV)
            for name, pipeline in config.pipelines.items()
        }
        self._outbox = Outbox(
            state_folder / "outbox.db",
            max_bytes=int(config.outbox.max_mb * 1e6),
            max_age_s=config.outbox.max_age_h * 3600,
        )
        self._publisher = Publisher(
            config.broker, config.device, self._outbox, subscriptions=self._subscriptions()
        )
        self._board = Board(config, self._publisher.topics, self._publisher.state, CONFIG_REV)
        self._supervisor = Supervisor(
            _workers(config, folder, state_folder / "evidence"),
            Listener(self._heard, self._worker_lost),
        )
        self._desk = TriggerDesk(self._supervisor.trigger, self._accept, self._board.trouble)

    def run(self, stopping: threading.Event) -> None:
        """Inspect until `stopping` is set, then finish what was accepted."""
        systemd = Systemd(os.environ, os.getpid())
        self._outbox.start(on_live=self._publisher.live)
        self._board.introduce()
        self._publisher.start()
        gc.freeze()  # what is there by now stays: no need to look through it again and again
        systemd.ready()
        while not stopping.is_set():
            self._supervisor.step(STEP_S)
            self._board.publish(time.monotonic())
            # A thread that a bug ended comes back only with a new process.
            if self._outbox.alive and self._publisher.alive:
                systemd.alive()
        systemd.stopping()
        self._stop()

    def _stop(self) -> None:
        began_s = time.monotonic()
        self._desk.close()
        self._supervisor.stop(self._config.stop_timeout_s)
        self._board.publish(time.monotonic(), at_once=True)
        self._outbox.flush(FLUSH_S)
        left = self._publisher.drain(DRAIN_S)
        self._publisher.stop()
        self._outbox.close()
        log.info("stopped in %.1f s; %d verdicts kept for later", time.monotonic() - began_s, left)

    def _heard(self, message: wire.FromWorker) -> None:
        match message:
            case wire.Verdicts(verdicts):
                for verdict in verdicts:
                    self._decided(verdict)
            case wire.Report(reports):
                for report in reports:
                    self._board.report(report)
            case wire.TriggerTaken(trigger_id):
                self._desk.taken(trigger_id)

    def _decided(self, verdict: Verdict) -> None:
        triggered = self._config.pipelines[verdict.pipeline].trigger is not None
        if triggered and not self._desk.settle(verdict):
            self._board.count(verdict.pipeline, "dropped_after_deadline")
            return
        self._accept(verdict)

    def _accept(self, verdict: Verdict) -> None:
        self._outbox.append([verdict])
        self._board.decided(verdict)

    def _worker_lost(self, pipelines: tuple[str, ...], reason: str) -> None:
        for name in pipelines:
            self._board.worker_lost(name, reason)
            # Triggers are answered by the desk at their deadlines; other pipelines say it here.
            if self._config.pipelines[name].trigger is None:
                self._board.count(name, "verdicts_error")
                self._accept(error_verdict(self._identities[name], reason))

    def _subscriptions(self) -> list[Subscription]:
        return [
            Subscription(pipeline.trigger.topic, 1, partial(self._triggered, name, pipeline))
            for name, pipeline in self._config.pipelines.items()
            if pipeline.trigger is not None
        ]

    def _triggered(self, name: str, pipeline: PipelineOptions, message: Message) -> None:
        # A retained trigger is an old one: its part is long gone.
        if pipeline.trigger is None or message.retain:
            return
        try:
            self._desk.trigger(self._identities[name], pipeline.trigger, message.payload)
        except BadInput as error:
            # It is answered, too: whoever asked must not wait for ever.
            log.warning("%s: %s", name, error)
            self._board.count(name, f"bad_input_{error.reason}")
            self._board.count(name, "verdicts_error")
            self._accept(error_verdict(self._identities[name], str(error)))


def _only_one(state_folder: Path) -> IO[bytes]:
    """Return an open file that is locked for as long as this process lives.

    Raises EdgeAgentError where another agent holds it: two would send each other's verdicts.
    """
    state_folder.mkdir(parents=True, exist_ok=True)
    lock = (state_folder / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise EdgeAgentError(
            f"another edge-agent runs with the state folder {state_folder}"
        ) from None
    return lock


def _workers(config: Config, folder: Path, evidence_folder: Path) -> list[WorkerOptions]:
    groups: dict[str, dict[str, PipelineOptions]] = {}
    for name, pipeline in config.pipelines.items():
        worker = pipeline.worker or SHARED.get(pipeline.family, name)
        groups.setdefault(worker, {})[name] = pipeline
    return [
        WorkerOptions(
            name=worker,
            device=config.device.name,
            config_rev=CONFIG_REV,
            folder=folder,
            evidence_folder=evidence_folder,
            broker=config.broker,
            pipelines=pipelines,
            log_level=log.getEffectiveLevel(),
            memory_bytes=int(config.worker_memory_mb * 1e6),
        )
        for worker, pipelines in groups.items()
    ]
