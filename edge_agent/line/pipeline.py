"""The straight line: an item, its tensors, the model, a prediction, a decision, a verdict."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from edge_agent.errors import BadInput, ModelError
from edge_agent.metrics import Counters, Histogram
from edge_agent.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_agent.config import PipelineOptions
    from edge_agent.errors import EdgeAgentError
    from edge_agent.inference.model import Model
    from edge_agent.line.evidence import EvidenceRing
    from edge_agent.line.succession import Succession
    from edge_agent.monitoring.watch import Watch
    from edge_agent.rules.base import Rule
    from edge_agent.types import Decision, Item, Prediction

STAGES = ("wait", "prepare", "run", "interpret", "total")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose verdicts these are."""

    pipeline: str
    family: Literal["qc", "pdm"]
    config_rev: int


def identities(pipelines: Mapping[str, PipelineOptions], rev: int) -> dict[str, Identity]:
    """Return whose verdicts come under which name, with revision `rev` of the config."""
    return {name: Identity(name, each.family, rev) for name, each in pipelines.items()}


class Stopwatch:
    """Times each stage of the line, and shows other threads which one runs and since when."""

    def __init__(self) -> None:
        self.histograms = {stage: Histogram() for stage in STAGES}
        self.now: tuple[str, int] = ("", 0)

    def start(self, stage: str) -> None:
        """End the stage that runs, if one does, and begin `stage` ("" for none)."""
        mono_ns = time.monotonic_ns()
        running, since = self.now
        if running:
            self.histograms[running].observe_ns(mono_ns - since)
        self.now = (stage, mono_ns)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an item is inspected by, from its first step to its verdict.

    `recipe`: the product variant, or "" for the pipeline's own model.
    """

    identity: Identity
    recipe: str
    model: Model
    rule: Rule


class Pipeline:
    """One model, one rule. One thread calls `inspect`; any may put other `terms` in place.

    New terms hold from the next item on. `watch`, where there is one, is asked about each item
    before, and told of it by `look_back`; `succession` is told, too, how the model does.
    """

    def __init__(self, terms: Terms, evidence: EvidenceRing, counters: Counters) -> None:
        self.terms = terms
        self.watch: Watch | None = None
        self.succession: Succession | None = None
        self.stopwatch = Stopwatch()
        self.stopwatch.histograms["capture"] = counters.captures
        self._evidence = evidence
        self._counters = counters
        self._look_back: Callable[[], None] | None = None

    @property
    def model(self) -> Model:
        """Return the model of the terms."""
        return self.terms.model

    def inspect(self, item: Item, verdict_id: str, part_id: str | None) -> Verdict:
        """Take one item the whole way.

        Every item gets a verdict: what cannot be inspected gets `error` with the reason.
        """
        if self.succession is not None:
            self.succession.between()
        watch, terms, checked = self.stopwatch, self.terms, False
        model = terms.model
        watch.histograms["wait"].observe_ns(time.monotonic_ns() - item.captured_mono_ns)
        try:
            watch.start("prepare")
            self._check(model)
            checked = True
            tensors = model.task.prepare(item)
            watch.start("run")
            began_ns = watch.now[1]
            outputs = model.backend.run(tensors)
            watch.start("interpret")
            run_ns = watch.now[1] - began_ns
            prediction = model.task.interpret(outputs, item)
            decision = terms.rule.decide(prediction, item)
        except BadInput as error:
            self._counters.add(f"bad_input_{error.reason}")
            self._look_back = partial(self._erred, terms, error) if checked else None
            verdict = self._error(terms, item, verdict_id, part_id, str(error))
        except ModelError as error:
            self._counters.add("model_errors")
            self._look_back = partial(self._erred, terms, error)
            verdict = self._error(terms, item, verdict_id, part_id, str(error))
        else:
            self._look_back = partial(self._decided, terms, item, prediction, decision, run_ns)
            verdict = self._verdict(terms, item, verdict_id, part_id, prediction, decision)
        finally:
            watch.start("")
        watch.histograms["total"].observe_ns(verdict.latency_ns)
        self._counters.add(f"verdicts_{verdict.outcome}")
        return verdict

    def look_back(self) -> None:
        """Learn from the item inspected last; to be called once its verdict has left."""
        look_back, self._look_back = self._look_back, None
        if look_back is not None:
            look_back()

    def _decided(
        self, terms: Terms, item: Item, prediction: Prediction, decision: Decision, run_ns: int
    ) -> None:
        if self.watch is not None:
            self.watch.decided(item, prediction, decision)
        if self.succession is not None:
            self.succession.decided(item, terms, decision, run_ns)

    def _erred(self, terms: Terms, error: EdgeAgentError) -> None:
        if self.succession is not None:
            self.succession.erred(terms, error)

    def _check(self, model: Model) -> None:
        """Raise BadInput where the source is not to be trusted at this moment."""
        if self.watch is not None:
            self.watch.check(model)

    def _verdict(
        self,
        terms: Terms,
        item: Item,
        verdict_id: str,
        part_id: str | None,
        prediction: Prediction,
        decision: Decision,
    ) -> Verdict:
        model = terms.model
        manifest = model.bundle.manifest
        label = prediction.label
        if decision.outcome != "pass" and prediction.reject_label is not None:
            label = prediction.reject_label
        verdict = Verdict(
            id=verdict_id,
            pipeline=terms.identity.pipeline,
            family=terms.identity.family,
            part_id=part_id,
            outcome=decision.outcome,
            score=prediction.score,
            threshold=decision.threshold,
            unit=prediction.unit,
            label=label,
            defects=prediction.defects,
            model=manifest.model_id,
            model_version=manifest.version,
            model_sha256=model.bundle.model_sha256,
            config_rev=terms.identity.config_rev,
            captured_ns=item.captured_ns,
            decided_ns=time.time_ns(),
            latency_ns=time.monotonic_ns() - item.captured_mono_ns,
            accelerator=model.backend.accelerator,
            evidence=self._evidence.name_of(decision.outcome, verdict_id, item),
            recipe=terms.recipe,
        )
        self._evidence.keep(verdict, item)
        return verdict

    def _error(
        self, terms: Terms, item: Item, verdict_id: str, part_id: str | None, reason: str
    ) -> Verdict:
        verdict = error_verdict(
            terms.identity,
            reason,
            verdict_id=verdict_id,
            part_id=part_id,
            captured=(item.captured_ns, item.captured_mono_ns),
            terms=terms,
            evidence=self._evidence.name_of("error", verdict_id, item),
        )
        self._evidence.keep(verdict, item)
        return verdict


def error_verdict(  # noqa: PLR0913  what is known of it
    identity: Identity,
    reason: str,
    *,
    verdict_id: str | None = None,
    part_id: str | None = None,
    captured: tuple[int, int] | None = None,
    terms: Terms | None = None,
    evidence: str = "",
) -> Verdict:
    """Return the verdict for something that was not inspected, and why.

    `captured`: when, in UTC and on the monotonic clock (ns); None: now.
    """
    now_ns, now_mono_ns = time.time_ns(), time.monotonic_ns()
    captured_ns, captured_mono_ns = captured or (now_ns, now_mono_ns)
    model = terms.model if terms else None
    manifest = model.bundle.manifest if model else None
    return Verdict(
        id=verdict_id or str(uuid.uuid4()),
        pipeline=identity.pipeline,
        family=identity.family,
        part_id=part_id,
        outcome="error",
        score=0.0,
        threshold=0.0,
        unit="",
        label="",
        defects=(),
        model=manifest.model_id if manifest else "",
        model_version=manifest.version if manifest else "",
        model_sha256=model.bundle.model_sha256 if model else "",
        config_rev=identity.config_rev,
        captured_ns=captured_ns,
        decided_ns=now_ns,
        latency_ns=now_mono_ns - captured_mono_ns,
        accelerator=model.backend.accelerator if model else "",
        reason=reason,
        evidence=evidence,
        recipe=terms.recipe if terms else "",
    )
