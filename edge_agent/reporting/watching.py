"""Shows what workers tell of sources, drift and alerts (monitoring/report.py)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from edge_agent.clock import utc_text
from edge_agent.monitoring.report import WatchedKind
from edge_agent.reporting import messages
from edge_agent.reporting.alerts import Said
from edge_agent.reporting.subjects import Subject
from edge_agent.reporting.watch_messages import DriftMessage, FigureMessage, SourceMessage

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.monitoring.report import AlertReport, SourceReport, WatchReport
    from edge_agent.reporting.alerts import Alerts
    from edge_agent.reporting.topics import Family, Topics

UNKNOWN = "the model that runs by now brings nothing to compare with"
FIGURES_SHOWN = 16  # of a machine with fifty channels, those furthest from usual


@dataclass
class _Watched:
    name: str
    family: Family
    report: WatchReport | None = None
    has_begun: bool = False
    """It is known whether there is an alert."""


class Watching:
    """One thread at a time: the board calls it with its lock held."""

    def __init__(self, topics: Topics, show: Callable[[str, bytes], None], alerts: Alerts) -> None:
        self._topics = topics
        self._show = show
        self._alerts = alerts
        self._pipelines: dict[str, _Watched] = {}

    def take(self, name: str, family: Family, report: WatchReport) -> None:
        """Take a pipeline's report; changes are shown at once."""
        pipeline = self._pipelines.get(name)
        if pipeline is None or pipeline.family != family:
            pipeline = self._pipelines[name] = _Watched(name, family)
        before = pipeline.report.source if pipeline.report else None
        pipeline.report = report
        if before is None or _words(before) != _words(report.source):
            self._show_source(pipeline, report)
        if report.alerts is not None:
            self._show_alerts(pipeline, report.alerts, learning=report.drift.origin == "learning")

    def publish(self) -> None:
        """Show all figures."""
        for pipeline in self._pipelines.values():
            if pipeline.report is not None:
                self._show_source(pipeline, pipeline.report)
                self._show_drift(pipeline, pipeline.report)

    def keep(self, names: set[str]) -> None:
        """Forget pipelines that are no more."""
        self._pipelines = {n: each for n, each in self._pipelines.items() if n in names}

    def _show_source(self, pipeline: _Watched, report: WatchReport) -> None:
        source = report.source
        message = SourceMessage(
            ts=utc_text(time.time_ns()),
            device=self._topics.device,
            pipeline=pipeline.name,
            family=pipeline.family,
            source=source.kind,
            state=source.state,
            detail=source.detail,
            since_ts=utc_text(source.since_ns),
            brightness=source.brightness,
            contrast=source.contrast,
            sharpness=source.sharpness,
        )
        topic = self._topics.source(pipeline.family, pipeline.name)
        self._show(topic, messages.encode(message))

    def _show_drift(self, pipeline: _Watched, report: WatchReport) -> None:
        drift = report.drift
        furthest = drift.figures[0] if drift.figures else None
        message = DriftMessage(
            ts=utc_text(time.time_ns()),
            device=self._topics.device,
            pipeline=pipeline.name,
            family=pipeline.family,
            reference=drift.origin,
            items=drift.items,
            figure=furthest.figure if furthest else "",
            distance=furthest.distance if furthest else None,
            figures=[
                FigureMessage(each.figure, each.distance, each.usual, each.now)
                for each in drift.figures[:FIGURES_SHOWN]
            ],
        )
        topic = self._topics.drift(pipeline.family, pipeline.name)
        self._show(topic, messages.encode(message))

    def _show_alerts(
        self, pipeline: _Watched, alerts: list[AlertReport], *, learning: bool
    ) -> None:
        for alert in alerts:
            self._alert(pipeline, alert)
        judged = {alert.kind for alert in alerts}
        for kind in get_args(WatchedKind):
            # A model that has nothing to compare with says nothing of it, now or later.
            if kind not in judged and not learning:
                self._alerts.clear(Subject(pipeline.family, pipeline.name, kind), Said(UNKNOWN))

    def _alert(self, pipeline: _Watched, alert: AlertReport) -> None:
        """Tell what has changed; an agent that begins says that there is none, once it knows."""
        if alert.raised is None:
            return
        subject = Subject(pipeline.family, pipeline.name, alert.kind)
        said = Said(alert.message, score=alert.value, threshold=alert.limit)
        first, pipeline.has_begun = not pipeline.has_begun, True
        if alert.raised:
            self._alerts.raise_(subject, said)
        # A machine's topic has the alert of its condition: not to be replaced by "nothing new".
        elif not self._alerts.clear(subject, said) and first and pipeline.family == "qc":
            self._alerts.none_of(subject, said)


def _words(source: SourceReport) -> tuple[str, str]:
    return source.state, source.detail
