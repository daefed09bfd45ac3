"""Gathers the metrics, when they are asked for and only then."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent import __version__
from edge_agent.serving import families, process_figures
from edge_agent.serving.exposition import Family, Samples, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge_agent.delivery.outbox import Outbox
    from edge_agent.delivery.publisher import Publisher
    from edge_agent.production.line import ShiftFigures
    from edge_agent.reporting.figures import PipelineView
    from edge_agent.serving.readiness import Readiness
    from edge_agent.upload.figures import Figures

STAGES = ("capture", "wait", "prepare", "run", "interpret", "total")
OUTCOMES = ("pass", "fail", "uncertain", "error")
VERDICTS, DROPPED, BAD_INPUT = "verdicts_", "dropped_", "bad_input_"
FALLBACKS = "accelerator_fallbacks"


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look: each is read when somebody asks for the metrics."""

    device: str
    outbox: Outbox
    publisher: Publisher
    readiness: Readiness
    views: Callable[[], list[PipelineView]]
    shifts: Callable[[], dict[str, ShiftFigures]]
    processes: Callable[[], dict[str, int]]
    uploads: Callable[[], Figures | None] = lambda: None


class Collector:
    """`collect` may be called from any thread."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._began_s = time.monotonic()

    def collect(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        page = _Page()
        self._agent(page)
        for view in self._places.views():
            _pipeline(page, view)
        for name, histogram in self._places.publisher.published.items():
            page(families.STAGE).add_histogram(
                list(histogram.counts), histogram.sum_ms, name, "publish"
            )
        self._delivery(page)
        self._uploads(page)
        self._processes(page)
        for name, figures in self._places.shifts().items():
            _shift(page, name, figures)
        return page.text()

    def _agent(self, page: _Page) -> None:
        states = self._places.readiness.states
        page(families.INFO).add(1, self._places.device, __version__)
        page(families.UPTIME).add(time.monotonic() - self._began_s)
        page(families.READY).add(bool(states) and all(s.state != "fail" for s in states))
        for check in states:
            page(families.CHECK).add(check.state != "fail", check.name, check.pipeline)

    def _delivery(self, page: _Page) -> None:
        outbox, publisher = self._places.outbox, self._places.publisher
        page(families.CONNECTED).add(publisher.connected)
        if publisher.acked_s is not None:
            page(families.ACKED).add(time.monotonic() - publisher.acked_s)
        page(families.DEPTH).add(outbox.depth)
        page(families.AGE).add(outbox.oldest_age_s)
        page(families.PARKED).add(outbox.parked_depth)
        page(families.OUTBOX_BYTES).add(outbox.bytes)
        for event, count in publisher.counters.totals().items():
            page(families.BROKER_EVENTS).add(count, event)
        for event, count in outbox.counters.totals().items():
            page(families.OUTBOX_EVENTS).add(count, event)
        free = self._places.readiness.free_bytes()
        if free is not None:
            page(families.DISK_FREE).add(free)

    def _uploads(self, page: _Page) -> None:
        figures = self._places.uploads()
        if figures is not None:
            page(families.UPLOAD_WAITING).add(figures.waiting)
            page(families.UPLOAD_TODAY).add(figures.today_bytes)
            for event, count in figures.totals.items():
                page(families.UPLOAD_EVENTS).add(count, event)

    def _processes(self, page: _Page) -> None:
        for name, pid in {"agent": os.getpid(), **self._places.processes()}.items():
            found = process_figures.process_figures(pid)
            if found is not None:
                page(families.RESIDENT).add(found.resident_bytes, name)
                page(families.DESCRIPTORS).add(found.descriptors, name)
                page(families.THREADS).add(found.threads, name)
                page(families.CPU).add(found.cpu_s, name)


class _Page:
    """Samples by family, in the order of families.ALL."""

    def __init__(self) -> None:
        self._samples = {family.name: Samples(family) for family in families.ALL}

    def __call__(self, family: Family) -> Samples:
        return self._samples[family.name]

    def text(self) -> bytes:
        return text(self._samples.values())


def _pipeline(page: _Page, view: PipelineView) -> None:
    name, report = view.name, view.report
    for outcome in OUTCOMES:
        page(families.VERDICTS).add(view.totals.get(VERDICTS + outcome, 0), name, outcome)
    for total, count in _others(view.totals.items()):
        if total.startswith(DROPPED):
            page(families.DROPPED).add(count, name, total.removeprefix(DROPPED))
        elif total.startswith(BAD_INPUT):
            page(families.BAD_INPUT).add(count, name, total.removeprefix(BAD_INPUT))
        else:
            page(families.EVENTS).add(count, name, total)
    page(families.STATE).add(1, name, view.state)
    page(families.RESTARTS).add(view.restarts, name)
    if report is None:
        return
    if report.accelerator:
        page(families.ACCELERATOR).add(
            1, name, report.accelerator, report.model, report.model_version
        )
    _acceleration(page, view)
    for stage in STAGES:
        counts = report.latency_counts.get(stage)
        if counts:
            sum_ms = report.latency_sums_ms.get(stage, 0.0)
            page(families.STAGE).add_histogram(counts, sum_ms, name, stage)


def _acceleration(page: _Page, view: PipelineView) -> None:
    found = view.report.acceleration if view.report is not None else None
    if found is None:
        return
    labels = (view.name, found.requested, found.effective, found.reason)
    page(families.EFFECTIVE).add(found.is_effective, *labels)
    page(families.FALLBACKS).add(view.totals.get(FALLBACKS, 0), view.name)
    if found.share is not None:
        page(families.SHARE).add(found.share, view.name)


def _others(totals: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    told = (VERDICTS, FALLBACKS)
    return [(name, count) for name, count in totals if not name.startswith(told)]


def _shift(page: _Page, name: str, figures: ShiftFigures) -> None:
    shift, oee = figures.shift.name, figures.oee
    values = {
        families.PARTS: figures.tally.parts,
        families.GOOD: figures.tally.good,
        families.FIRST_PASS: figures.first_pass_yield,
        families.DOWN: figures.down_s,
        families.PLANNED: figures.planned_s,
        families.CYCLE: figures.cycle_s,
        families.AVAILABILITY: oee.availability,
        families.PERFORMANCE: oee.performance,
        families.QUALITY: oee.quality,
        families.OEE: oee.oee,
    }
    for family, value in values.items():
        if value is not None:
            page(family).add(value, name, shift)
    for bar in figures.pareto:
        page(families.DEFECTS).add(bar.count, name, shift, bar.label)
