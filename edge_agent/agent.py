"""The agent process: builds everything from the config, starts it in order, stops it in reverse.

It never decodes a picture, parses a sample or loads a model: workers do. See docs/architecture.md.
"""

from __future__ import annotations

import gc
import logging
import os
import queue
import time
from functools import partial
from typing import TYPE_CHECKING

from edge_agent.control.control import AgentPorts, Control
from edge_agent.control.ledger import Ledger
from edge_agent.control.products import Products
from edge_agent.control.recipes import Recipes
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.publisher import Publisher
from edge_agent.delivery.retained import Retained, topics_of
from edge_agent.errors import BadInput
from edge_agent.line.pipeline import error_verdict, identities
from edge_agent.line.trigger_desk import TriggerDesk
from edge_agent.modelstore.models import ModelPorts, Models
from edge_agent.mqtt.broker_options import Subscription
from edge_agent.processes import wire
from edge_agent.processes.memory import Tidy
from edge_agent.processes.sharing import workers_of
from edge_agent.processes.supervisor import Listener, Supervisor
from edge_agent.processes.turns import finish_turns
from edge_agent.production.lines import Lines
from edge_agent.reporting.alerts import Alerts
from edge_agent.reporting.board import Board
from edge_agent.reporting.subjects import subjects_of
from edge_agent.reporting.topics import topics
from edge_agent.sdnotify import Systemd
from edge_agent.serving import logs
from edge_agent.serving.collector import Places
from edge_agent.serving.readiness import Readiness
from edge_agent.serving.serving import Serving
from edge_agent.state_lock import only_agent_of
from edge_agent.upload.uploads import Uploads

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from edge_agent.config import Config, PipelineOptions
    from edge_agent.mqtt.broker_options import Message
    from edge_agent.types import Verdict

log = logging.getLogger(__name__)

LOOK_S = 0.1  # how long a stop signal may go unnoticed, or what is due to be shown
FLUSH_S = 5.0  # the disk's share of a stop
DRAIN_S = 2.0  # the broker's share of a stop; what is not acknowledged by then is sent next time


class Agent:
    """One gateway; `control` is whom to ask for another config."""

    def __init__(self, config: Config, *, folder: Path, state_folder: Path) -> None:
        """`folder`: where relative paths of the config start; `state_folder`: outbox, evidence."""
        self._lock = only_agent_of(state_folder)
        ledger = Ledger(state_folder / "config", config)
        # `base`: as it was written; `config`: with the product variants that were chosen.
        self._base, self._rev = ledger.good.config, ledger.good.rev
        self._recipes = Recipes(ledger.document.choices, lambda: self._change(None))
        self._config = config = self._recipes.of(self._base)
        rev = self._rev
        self._identities = identities(config.pipelines, rev)
        # None: what is in force, but with other models or product variants.
        self._changes: queue.SimpleQueue[tuple[Config, int] | None] = queue.SimpleQueue()
        self._outbox = Outbox(
            state_folder / "outbox.db",
            max_bytes=int(config.outbox.max_mb * 1e6),
            max_age_s=config.outbox.max_age_h * 3600,
        )
        own = topics(config.device)
        self._retained = Retained(state_folder / "retained.json", own)
        self._alerts = Alerts(own, state_folder / "alerts.json")
        self._publisher = Publisher(
            config.broker,
            config.device,
            self._outbox,
            on_shown=(self._retained.taken, self._alerts.taken),
        )
        self._models = self._new_models(config, folder, state_folder)
        self._board = Board(config, own, self._publisher.state, rev, self._alerts)
        self._products = Products(self._recipes, self._alerts)
        self._publisher.resubscribe(self._subscriptions())
        listener = Listener(self._heard, self._worker_lost)
        self._supervisor = Supervisor(self._models.workers(config, rev), listener)
        self._desk = TriggerDesk(self._supervisor.order, self._accept, self._board.trouble)
        self.control = self._new_control(ledger, folder)
        self._lines = Lines(own, self._publisher.state, self._alerts, state_folder / "lines")
        self._lines.configure(config)
        self._uploads = Uploads(config, folder, state_folder / "upload")
        self._readiness = Readiness(
            self._outbox, self._publisher, state_folder, config.health, self._uploads.figures
        )
        self._serving = self._new_serving(config)
        logs.name_pipelines(config.pipelines)
        self._tidy = Tidy()

    def _new_models(self, config: Config, folder: Path, state_folder: Path) -> Models:
        workers = partial(workers_of, folder=folder, state_folder=state_folder)
        ports = ModelPorts(
            folder, state_folder, self._publisher, workers, self._order, self._change
        )
        return Models(config, ports)

    def _new_control(self, ledger: Ledger, folder: Path) -> Control:
        ports = AgentPorts(
            apply=lambda new, new_rev: self._change((new, new_rev)),
            standings=self._board.standings,
            show=self._publisher.state,
            order=self._supervisor.order,
            folder=folder,
            topics=self._publisher.topics,
        )
        return Control(self._config, ledger, self._recipes, ports)

    def _order(self, order: wire.Order) -> bool:
        return self._supervisor.order(order)

    def _new_serving(self, config: Config) -> Serving:
        places = Places(
            device=config.device.name,
            outbox=self._outbox,
            publisher=self._publisher,
            readiness=self._readiness,
            views=self._board.views,
            shifts=self._lines.figures,
            processes=self._supervisor.processes,
            uploads=self._uploads.figures,
        )
        return Serving(config, places)

    def _change(self, change: tuple[Config, int] | None) -> None:
        """Have the agent's own thread go over to this, at once."""
        self._changes.put(change)
        self._supervisor.wake()

    def run(self, stopping: threading.Event, reloading: threading.Event | None = None) -> None:
        """Inspect until either is set, then finish what was accepted.

        `reloading`: the service does not end, it begins anew with another config.
        """
        systemd = Systemd(os.environ, os.getpid())
        finish_turns()
        self._outbox.start(on_live=self._publisher.live)
        self._board.introduce()
        self._show_no_others(self._config)
        self._alerts.start(self._publisher.state)
        self._publisher.start()
        self.control.start()
        self._models.start()
        self._lines.start()
        self._readiness.depends_on(control=self.control, models=self._models)
        self._serving.start()
        self._uploads.start()
        gc.freeze()  # what is there by now stays: no need to look through it again and again
        systemd.ready()
        ends = [stopping] if reloading is None else [stopping, reloading]
        look_s = 0.0
        while not any(end.is_set() for end in ends):
            self._supervisor.step(max(0.0, look_s - time.monotonic()))
            while not self._changes.empty():
                self._apply(*(self._changes.get() or (self._base, self._rev)))
            if time.monotonic() < look_s:
                continue  # a verdict came: that is no reason to look at everything else
            look_s = time.monotonic() + LOOK_S
            self._look_around(time.monotonic())
            # A thread that a bug ended comes back only with a new process.
            if not self._readiness.dead_threads():
                systemd.alive()
        if stopping.is_set():
            systemd.stopping(self._config.stop_timeout_s)
        self._stop()

    def close(self) -> None:
        """End workers that a bug has left behind: they and this process would await each other."""
        self._supervisor.stop(0.0)

    def _show_no_others(self, config: Config) -> None:
        """Clear alerts and topics of pipelines that the agent had before, and has no more."""
        self._alerts.watch(subjects_of(config))
        self._publisher.display(frozenset(config.pipelines))
        for topic in self._retained.shows(topics_of(config, self._publisher.topics)):
            if not self._alerts.empty(topic):
                self._publisher.state(topic, b"")

    def _look_around(self, mono_s: float) -> None:
        self._retained.step()
        self._tidy.step(mono_s)
        self._board.publish(mono_s)
        self._lines.step(mono_s, self._board.trouble)
        self._serving.step(mono_s)

    def _stop(self) -> None:
        began_s = time.monotonic()
        self._desk.refuse_more()
        self._readiness.end()
        self._serving.stop()
        self.control.stop()
        self._models.stop()
        self._uploads.stop()
        self._supervisor.stop(self._config.stop_timeout_s)
        self._desk.close()  # after the last answer of a worker
        self._board.publish(time.monotonic(), at_once=True)
        self._lines.close()
        self._outbox.flush(FLUSH_S)
        left = self._publisher.drain(DRAIN_S)
        self._publisher.stop()
        self._alerts.close()
        self._outbox.close()
        log.info("stopped in %.1f s; %d verdicts kept for later", time.monotonic() - began_s, left)

    def _apply(self, config: Config, rev: int) -> None:
        """Go over to another config; what it does not touch does not notice."""
        self._base, self._rev = config, rev
        self._config = config = self._recipes.of(config)
        # Those of pipelines that are gone stay: their last verdicts are still to come.
        self._identities = self._identities | identities(config.pipelines, rev)
        self._board.reconfigure(config, rev)
        self._lines.configure(config)
        self._show_no_others(config)
        self._serving.configure(config)
        logs.name_pipelines(config.pipelines)
        self._models.configure(config, rev)
        self._supervisor.configure(self._models.workers(config, rev), config.stop_timeout_s)
        self._publisher.resubscribe(self._subscriptions())
        self._products.configure(self._base)

    def _heard(self, message: wire.FromWorker) -> None:
        match message:
            case wire.Verdicts(verdicts):
                for verdict in verdicts:
                    self._accept(verdict)
            case wire.Answer(verdict):
                self._answered(verdict)
            case wire.Report(reports):
                news = [self._board.report(report) for report in reports]
                self._serving.step(time.monotonic(), at_once=any(news))
                self._models.heard(message)
            case wire.TriggerTaken(trigger_id):
                self._desk.taken(trigger_id)
            case wire.SnapshotTaken() | wire.Logged():
                self.control.heard(message)

    def _answered(self, verdict: Verdict) -> None:
        if self._desk.settle(verdict):
            self._accept(verdict)
        else:
            self._board.count(verdict.pipeline, "dropped_after_deadline")

    def _accept(self, verdict: Verdict) -> None:
        self._outbox.append([verdict])
        self._board.decided(verdict)
        self._lines.decided(verdict)
        self._readiness.decided(verdict)
        self.control.decided(verdict)

    def _worker_lost(self, pipelines: tuple[str, ...], reason: str) -> None:
        self._models.lost(pipelines, reason)
        for name in pipelines:
            self._board.worker_lost(name, reason)
            self._serving.step(time.monotonic(), at_once=True)
            # Triggers are answered by the desk at their deadlines; other pipelines say it here.
            options = self._config.pipelines.get(name)
            if options is None or options.trigger is None:
                self._board.count(name, "verdicts_error")
                self._accept(error_verdict(self._identities[name], reason))

    def _subscriptions(self) -> list[Subscription]:
        products = self._products.subscriptions(self._base)
        return self._triggers() + self._models.subscriptions() + products

    def _triggers(self) -> list[Subscription]:
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
