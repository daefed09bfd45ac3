"""What the agent shows of itself: retained messages that say how each pipeline is doing."""

from __future__ import annotations

import os
import platform
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge_agent import __version__
from edge_agent.clock import utc_text
from edge_agent.reporting import condition, messages
from edge_agent.reporting.accelerators import Accelerators
from edge_agent.reporting.alerts import Said
from edge_agent.reporting.figures import PipelineFigures, PipelineView
from edge_agent.reporting.standing import standing
from edge_agent.reporting.subjects import Subject
from edge_agent.reporting.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config import Config
    from edge_agent.processes.wire import PipelineReport
    from edge_agent.reporting.alerts import Alerts
    from edge_agent.reporting.condition import Condition
    from edge_agent.reporting.standing import Standing
    from edge_agent.reporting.topics import Family, Topics
    from edge_agent.types import Verdict

# A machine's score is for people and dashboards; that its health has changed is told at once.
HEALTH_EVERY_S = 1.0


@dataclass
class _Pipeline:
    name: str
    family: Family
    figures: PipelineFigures
    state: str = "starting"
    detail: str = ""
    report: PipelineReport | None = None
    reported_s: float | None = None
    restarts: int = 0
    begins_anew: bool = False
    left: int = 0  # how often it went from running to another state
    condition: Condition | None = None
    shown: Condition | None = None


@dataclass
class _Due:
    """When something is to be published again, on the monotonic clock."""

    every_s: float
    at_s: float = 0.0

    def take(self, mono_s: float) -> bool:
        if mono_s < self.at_s:
            return False
        self.at_s = mono_s + self.every_s
        return True


@dataclass
class Board:
    """Collects what is known and hands it to `show(topic, payload)`; safe from any thread."""

    config: Config
    topics: Topics
    show: Callable[[str, bytes], None]
    config_rev: int
    alerts: Alerts
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        now = time.monotonic()
        self._pipelines = {
            name: _Pipeline(name, pipeline.family, PipelineFigures(now))
            for name, pipeline in self.config.pipelines.items()
        }
        self._watching = Watching(self.topics, self.show, self.alerts)
        self._accelerators = Accelerators(self.alerts)
        self._stats_due = _Due(self.config.stats_every_s)
        self._health_due = _Due(HEALTH_EVERY_S)

    def introduce(self) -> None:
        """Publish what seldom changes while the agent runs."""
        fallbacks = {name: _fallbacks(each) for name, each in self._pipelines.items()}
        info = messages.InfoMessage(
            ts=utc_text(time.time_ns()),
            device=self.config.device.name,
            agent_version=__version__,
            python=platform.python_version(),
            os=platform.platform(),
            machine=platform.machine(),
            cpus=os.cpu_count() or 1,
            hostname=socket.gethostname(),
            config_rev=self.config_rev,
            pipelines=",".join(self._pipelines),
            accelerators=self._accelerators.states(fallbacks),
        )
        self.show(self.topics.info, messages.encode(info))

    def reconfigure(self, config: Config, config_rev: int) -> None:
        """Go over to another config; pipelines that are gone are shown no more."""
        with self._lock:
            self.config, self.config_rev = config, config_rev
            self._stats_due = _Due(config.stats_every_s)
            before, self._pipelines = self._pipelines, {}
            for name, options in config.pipelines.items():
                present = before.get(name)
                if present is not None and present.family == options.family:
                    self._pipelines[name] = before.pop(name)
                else:
                    figures = PipelineFigures(time.monotonic())
                    self._pipelines[name] = _Pipeline(name, options.family, figures)
            self._watching.keep(set(self._pipelines))
            self._accelerators.keep(set(self._pipelines))
        self.introduce()

    def standings(self) -> dict[str, Standing]:
        """Return how each pipeline stands."""
        with self._lock:
            return {
                name: standing(each.state, each.detail, each.restarts, each.left, each.report)
                for name, each in self._pipelines.items()
            }

    def views(self) -> list[PipelineView]:
        """Return how each pipeline is doing, for checks and metrics."""
        with self._lock:
            return [
                PipelineView(
                    each.name,
                    each.family,
                    each.state,
                    each.detail,
                    each.restarts,
                    each.figures.totals,
                    each.report,
                    each.reported_s,
                    each.begins_anew,
                )
                for each in self._pipelines.values()
            ]

    def report(self, report: PipelineReport) -> bool:
        """Take a pipeline's report; return whether its state changed, which is shown at once."""
        with self._lock:
            pipeline = self._pipelines.get(report.pipeline)
            if pipeline is None:
                return False  # taken out of the config; its worker is about to know
            pipeline.figures.add(report)
            pipeline.report, pipeline.reported_s = report, time.monotonic()
            changed = self._enter(pipeline, report.state, report.detail)
            if report.watch is not None:
                self._watching.take(pipeline.name, pipeline.family, report.watch)
            if self._accelerators.take(pipeline.name, pipeline.family, report.acceleration):
                self._stats_due.at_s = 0.0
                self.introduce()
            return changed

    def worker_lost(self, name: str, reason: str) -> None:
        """Note that a pipeline's worker died; it will be restarted."""
        with self._lock:
            pipeline = self._pipelines.get(name)
            if pipeline is None:
                return
            pipeline.figures.worker_lost()
            pipeline.restarts += 1
            self._enter(pipeline, "restarting", reason)

    def count(self, name: str, what: str) -> None:
        """Count something that the agent itself did for a pipeline."""
        with self._lock:
            if name in self._pipelines:
                self._pipelines[name].figures.count(what)

    def decided(self, verdict: Verdict) -> None:
        """Take a verdict; a change of a machine's health or alert is shown at once."""
        pipeline = self._pipelines.get(verdict.pipeline)
        if pipeline is None or pipeline.family != "pdm":
            return
        with self._lock:
            before = pipeline.condition
            pipeline.condition = condition.after(verdict, before)
            self._alert(pipeline, pipeline.condition)
            if before is None or before.health != pipeline.condition.health:
                self._show_health(pipeline)

    def trouble(self, name: str) -> str:
        """Return why a pipeline may not answer: its state if it is not running, else ""."""
        pipeline = self._pipelines.get(name)
        if pipeline is None or pipeline.state == "running":
            return ""
        return f"{pipeline.state}: {pipeline.detail}" if pipeline.detail else pipeline.state

    def publish(self, mono_s: float, *, at_once: bool = False) -> None:
        """Show what is due at `mono_s` on the monotonic clock, or everything."""
        with self._lock:
            if self._stats_due.take(mono_s) or at_once:
                for pipeline in self._pipelines.values():
                    self._show_stats(pipeline, mono_s)
                self._watching.publish()
            if self._health_due.take(mono_s) or at_once:
                for pipeline in self._pipelines.values():
                    self._show_health(pipeline)

    def _enter(self, pipeline: _Pipeline, state: str, detail: str) -> bool:
        changed = (pipeline.state, pipeline.detail) != (state, detail)
        pipeline.left += pipeline.state == "running" != state
        pipeline.state, pipeline.detail = state, detail
        loads = state == "loading" and pipeline.begins_anew
        pipeline.begins_anew = loads or state == "stopped"
        if changed:
            self._stats_due.at_s = 0.0
        return changed

    def _show_stats(self, pipeline: _Pipeline, mono_s: float) -> None:
        figures, report = pipeline.figures.figures(mono_s), pipeline.report
        totals, acceleration = figures.totals, report.acceleration if report else None
        outcomes = {outcome: totals.get(f"verdicts_{outcome}", 0) for outcome in condition.HEALTH}
        stats = messages.StatsMessage(
            ts=utc_text(time.time_ns()),
            device=self.config.device.name,
            pipeline=pipeline.name,
            family=pipeline.family,
            state=pipeline.state,
            detail=pipeline.detail,
            items=sum(outcomes.values()),
            passes=outcomes["pass"],
            fails=outcomes["fail"],
            uncertain=outcomes["uncertain"],
            errors=outcomes["error"],
            dropped=sum(n for name, n in totals.items() if name.startswith("dropped_")),
            rate_hz=figures.rate_hz,
            p50_ms=figures.p50_ms,
            p99_ms=figures.p99_ms,
            worker_restarts=pipeline.restarts,
            model=report.model if report else "",
            model_version=report.model_version if report else "",
            model_sha256=report.model_sha256 if report else "",
            accelerator=report.accelerator if report else "",
            accelerator_requested=acceleration.requested if acceleration else "",
            accelerator_reason=acceleration.reason if acceleration else "",
            accelerator_share=acceleration.share if acceleration else None,
            accelerator_fallbacks=_fallbacks(pipeline),
            config_rev=self.config_rev,
            recipe=report.recipe if report else "",
        )
        self.show(self.topics.stats(pipeline.family, pipeline.name), messages.encode(stats))

    def _show_health(self, pipeline: _Pipeline) -> None:
        now = pipeline.condition
        if now is None or now is pipeline.shown:
            return
        pipeline.shown = now
        health = messages.HealthMessage(
            ts=utc_text(now.verdict.decided_ns),
            device=self.config.device.name,
            pipeline=pipeline.name,
            health=now.health,
            since_ts=utc_text(now.since_ns),
            score=None if now.health == "unknown" else now.verdict.score,
            threshold=None if now.health == "unknown" else now.verdict.threshold,
            unit=now.verdict.unit,
            label=now.verdict.label,
            model=now.verdict.model,
            model_version=now.verdict.model_version,
        )
        self.show(self.topics.health(pipeline.name), messages.encode(health))

    def _alert(self, pipeline: _Pipeline, now: Condition) -> None:
        tell = {"bad": self.alerts.raise_, "good": self.alerts.clear}.get(now.health)
        if tell is None:
            return
        verdict = now.verdict
        score = f"{verdict.score:g} {verdict.unit}".strip()
        said = Said(
            f"{verdict.label or 'score'} {score}, limit {verdict.threshold:g}",
            score=verdict.score,
            threshold=verdict.threshold,
            unit=verdict.unit,
            at_ns=verdict.decided_ns,
        )
        tell(Subject(pipeline.family, pipeline.name, "condition"), said)


def _fallbacks(pipeline: _Pipeline) -> int:
    return pipeline.figures.totals.get("accelerator_fallbacks", 0)
