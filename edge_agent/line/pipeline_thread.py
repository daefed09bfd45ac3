"""Runs one pipeline: loads its model, keeps its source connected, and says how it is doing.

States, published as they are:

    loading   the model is being loaded
    waiting   the source is away; it is tried again and again
    running   items are inspected, or awaited
    blocked   the accelerator is away, and the config says to answer with `error` then
    failed    the model, its manifest or the config cannot be used; nothing is inspected until
              their files are others
    degraded  a bug ended this pipeline; the log has the traceback
    ended     the source has no more items
    stopped   the agent ends, or has the pipeline end or begin anew
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import deque
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.backoff import full_jitter
from edge_agent.errors import BadInput, ConfigError, EndOfStream, ModelError, NotConnected
from edge_agent.line import pipeline_report
from edge_agent.line.accelerating import wanted
from edge_agent.line.bundle_files import BundleFiles
from edge_agent.line.evidence import EvidenceRing
from edge_agent.line.next_model import Stand
from edge_agent.line.pipeline import Pipeline, error_verdict
from edge_agent.line.succession import Succession
from edge_agent.line.triggers import TriggerQueue
from edge_agent.line.variants import Ready, Variants, warn_of_doubts
from edge_agent.line.watched import open_watched
from edge_agent.metrics import Counters

if TYPE_CHECKING:
    from edge_agent.acceleration.accelerated import Acceleration
    from edge_agent.config import PipelineOptions
    from edge_agent.line.pipeline_context import PipelineContext
    from edge_agent.processes.wire import PipelineReport, Succeed, Trigger
    from edge_agent.sources.base import Source
    from edge_agent.types import Item

log = logging.getLogger(__name__)

READ_S = 0.5  # how long a stop may go unnoticed while no item comes
TRIGGERED_READ_S = 0.02  # how long an item may wait for a trigger to be looked at
RETRY_BASE_S, RETRY_CAP_S = 0.2, 5.0
EVIDENCE_CLOSE_S = 2.0
SILENCE_S = 10.0  # a connected source that gives nothing for this long is worth a word
FAULT_SHOWN_S = 10.0


class PipelineThread:
    """One pipeline in a thread of its own."""

    def __init__(self, options: PipelineOptions, context: PipelineContext) -> None:
        self.name = context.identity.pipeline
        self._options = options
        self._context = context
        self._counters = Counters()
        self._random = random.Random(self.name)  # noqa: S311  spreads retries, hides nothing
        self._stopping = threading.Event()
        self._state = ("loading", "")
        self._read_s = time.monotonic()
        self._in_trouble = False
        self._triggers: TriggerQueue | None = None
        if options.trigger is not None:
            self._triggers = TriggerQueue(int(options.trigger.lookback_ms * 1e6))
        self._snapshots: deque[str] = deque()
        self._follows = threading.Lock()  # with it held: what to inspect by
        self._identity = context.identity
        self._evidence: EvidenceRing | None = None
        self._variants: Variants | None = None
        self._pipeline: Pipeline | None = None
        self._source: Source | None = None
        self._thread = threads.thread(self._run, self.name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Accept nothing more; what was accepted is still inspected."""
        self._stopping.set()
        if self._source is not None:
            self._source.close()

    def join(self, timeout_s: float) -> bool:
        """Wait until everything accepted is inspected; return whether it is."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def forget(self) -> None:
        """Once it has ended: let go of its models, or they stay until Python looks for cycles."""
        if self._pipeline is not None:
            self._pipeline.succession = None  # which knows how to change what this pipeline runs
        self._pipeline = self._variants = self._evidence = self._source = None

    def trigger(self, trigger: Trigger) -> None:
        """Ask for one inspection."""
        if self._triggers is not None:
            self._triggers.put(trigger)

    def follow(self, options: PipelineOptions, config_rev: int) -> None:
        """Go on with these from the next item on; they differ in variants.LIVE_FIELDS at most."""
        with self._follows:
            self._options = options
            self._identity = replace(self._identity, config_rev=config_rev)
            if self._pipeline and self._variants and self._evidence:
                self._evidence.options = options.evidence
                self._pipeline.terms = self._variants.terms(self._identity, options)

    def succeed(self, order: Succeed) -> None:
        """Go one step with the next model; see succession.py."""
        if self._pipeline and self._pipeline.succession:
            self._pipeline.succession.obey(order)

    def snapshot(self, snapshot_id: str) -> None:
        """Have the next item told to `seen`; asked twice, it is told once."""
        if snapshot_id not in self._snapshots:
            self._snapshots.append(snapshot_id)

    def open_snapshots(self) -> tuple[str, ...]:
        """Return those that no item came for."""
        return tuple(self._snapshots)

    @property
    def state(self) -> str:
        """Return in which of the states above it is."""
        return self._state[0]

    def report(self) -> PipelineReport:
        """Return how this pipeline is doing."""
        state, detail = self._state
        if state == "running":
            detail = self._trouble()
        return pipeline_report.report(
            self._identity, (state, detail), self._counters, self._pipeline, self._options
        )

    def _run(self) -> None:
        try:
            while not self._ends():
                pass
        except MemoryError:
            raise  # no bug: the worker ends, and a new one starts clean
        except Exception:
            # The one broad except of the agent: a bug here must end this pipeline alone.
            log.exception("%s: bug", self.name)
            self._enter("degraded", "a bug ended this pipeline; see the log")
            self._emit_error("a bug ended this pipeline")

    def _ends(self) -> bool:
        """Inspect until that ends; return False when it failed and may go better now."""
        files = BundleFiles(self._context.folder, self._options)
        try:
            self._inspect_all()
        except (ModelError, ConfigError) as error:
            self._enter("failed", str(error))
            self._emit_error(str(error))
            return not files.wait_for_others(self._stopping)
        return True

    def _inspect_all(self) -> None:
        options, here = self._options, self._context
        with ExitStack() as stack:
            evidence = EvidenceRing(
                here.evidence_folder, options.evidence, self._counters, options.roi, here.upload
            )
            stack.callback(evidence.close, EVIDENCE_CLOSE_S)
            acceleration = wanted(self.name, options, here.accelerator, self._counters, stack)
            variants = Variants(options, here.folder, here.calibration, acceleration, stack)
            with self._follows:  # with what was said while the models were loaded
                evidence.options = self._options.evidence
                terms = variants.terms(self._identity, self._options)
                pipeline = Pipeline(terms, evidence, self._counters)
                self._pipeline, self._variants, self._evidence = pipeline, variants, evidence
            pipeline.succession = Succession(self._stand(pipeline, variants, acceleration))
            stack.callback(pipeline.succession.close)
            if terms.model.note:
                log.warning("%s: %s", self.name, terms.model.note)
            warn_of_doubts(self.name, terms.model)
            source, pipeline.watch = open_watched(options, self._context, variants, self._counters)
            stack.callback(pipeline.watch.close)
            stack.callback(source.close)
            self._source = source
            terms.model.wait_settled(self._stopping)
            self._connect(source)
            while self._step(source, pipeline):
                pass
            self._enter("stopped" if self._stopping.is_set() else "ended", "")

    def _stand(
        self, pipeline: Pipeline, variants: Variants, acceleration: Acceleration | None
    ) -> Stand:
        def exchange(ready: Ready) -> Ready:
            if pipeline.watch is not None:
                pipeline.watch.expect(ready.model)  # not between the two items
            warn_of_doubts(self.name, ready.model)
            with self._follows:
                before = variants.exchange(ready, self._options)
                pipeline.terms = variants.terms(self._identity, self._options)
            return before

        return Stand(self._context, lambda: self._options, exchange, variants, acceleration)

    def _connect(self, source: Source) -> None:
        """Connect, however long it takes; return when connected or stopping."""
        for delay_s in full_jitter(RETRY_BASE_S, RETRY_CAP_S, self._random):
            if self._stopping.is_set():
                source.close()
                return
            try:
                source.connect()
            except NotConnected as error:
                self._away(error)
                self._stopping.wait(delay_s)
            else:
                self._read_s = time.monotonic()
                self._enter("running", "")
                return

    def _step(self, source: Source, pipeline: Pipeline) -> bool:
        """Read at most one item and inspect it. Return whether there may be another."""
        try:
            item = source.read(READ_S if self._triggers is None else TRIGGERED_READ_S)
        except NotConnected as error:
            self._away(error)
            self._connect(source)
            return True
        except BadInput as error:
            self._counters.add(f"bad_input_{error.reason}")
            self._emit_error(str(error), error.part_id)
            return True
        except EndOfStream:
            return False
        if item is not None:
            self._read_s = time.monotonic()
        if self._triggers is not None:
            if item is not None and self._triggers.offer(item):
                self._counters.add("not_asked_for")
            self._answer_triggers(self._triggers, pipeline)
        elif item is not None:
            self._inspect(pipeline, item)
        return True

    def _answer_triggers(self, triggers: TriggerQueue, pipeline: Pipeline) -> None:
        while (match := triggers.match()) is not None:
            trigger, item = match
            self._context.taken(trigger.id)
            self._inspect(pipeline, item, trigger)

    def _inspect(self, pipeline: Pipeline, item: Item, trigger: Trigger | None = None) -> None:
        if trigger is None:
            verdict = pipeline.inspect(item, str(uuid.uuid4()), item.part_id)
            self._context.emit(verdict)
        else:
            verdict = pipeline.inspect(item, trigger.id, trigger.part_id)
            self._context.answer(verdict)
        pipeline.look_back()
        while self._snapshots:
            self._context.seen(self._snapshots.popleft(), verdict, item)

    def _trouble(self) -> str:
        """Return what is wrong with a source that is connected; log it when it begins."""
        detail = self._counters.latest_fault(FAULT_SHOWN_S)
        silent_s = time.monotonic() - max(self._read_s, self._counters.silent_from_s)
        if not detail and self._triggers is None and silent_s > SILENCE_S:
            detail = "connected, but nothing comes"
        if detail and not self._in_trouble:
            log.warning("%s: %s", self.name, detail)
        self._in_trouble = bool(detail)
        return detail

    def _away(self, error: NotConnected) -> None:
        # One verdict and one log line for the change of state, not for every try.
        if self._state[0] != "waiting":
            self._enter("waiting", str(error))
            self._emit_error(str(error))

    def _emit_error(self, reason: str, part_id: str | None = None) -> None:
        # A triggered pipeline answers triggers and nothing else.
        if self._triggers is None:
            self._counters.add("verdicts_error")
            self._context.emit(error_verdict(self._identity, reason, part_id=part_id))

    def _enter(self, state: str, detail: str) -> None:
        if self._state[0] != state:
            level = logging.INFO if state in {"running", "ended", "stopped"} else logging.WARNING
            log.log(level, "%s: %s%s", self.name, state, f": {detail}" if detail else "")
        self._state = (state, detail)
