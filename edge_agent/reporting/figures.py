"""What a pipeline has done so far: totals that outlive its workers, and rates since last asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.metrics import quantile_ms

if TYPE_CHECKING:
    from edge_agent.processes.wire import PipelineReport
    from edge_agent.reporting.topics import Family


@dataclass(frozen=True, slots=True)
class Figures:
    """Totals since the agent started; `rate_hz` and the latencies since the figures before.

    Latencies in milliseconds from capture to verdict, None where there was no verdict.
    """

    totals: dict[str, int]
    rate_hz: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class PipelineView:
    """How a pipeline is doing, at one moment; `reported_s` on the monotonic clock, None: never.

    `begins_anew`: it was told to stop, and has at most begun to load since.
    """

    name: str
    family: Family
    state: str
    detail: str
    restarts: int
    totals: dict[str, int]
    report: PipelineReport | None
    reported_s: float | None
    begins_anew: bool


class PipelineFigures:
    """Adds up the reports of one pipeline; a new worker counts from 0 again."""

    def __init__(self, mono_s: float) -> None:
        self._before: dict[str, int] = {}
        self._latest: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._counts: list[int] = []
        self._asked_s = mono_s
        self._asked_items = 0
        self._asked_counts: list[int] = []

    def add(self, report: PipelineReport) -> None:
        """Take the latest report of the present worker, or of a pipeline that began anew in it."""
        counts = report.latency_counts.get("total", [])
        if self._begins_anew(report.totals, counts):
            self.worker_lost()
        self._latest = report.totals
        totals = dict(self._before)
        for name, count in report.totals.items():
            totals[name] = totals.get(name, 0) + count
        self._totals = totals
        self._counts = counts

    @property
    def totals(self) -> dict[str, int]:
        """Return the totals since the agent started."""
        return dict(self._totals)

    def worker_lost(self) -> None:
        """Note that the next report counts from 0."""
        self._before, self._latest = dict(self._totals), {}
        self._counts, self._asked_counts = [], []

    def _begins_anew(self, totals: dict[str, int], counts: list[int]) -> bool:
        fewer = any(totals.get(name, 0) < count for name, count in self._latest.items())
        # One that had done nothing yet has no totals to fall short of, but no histogram either now.
        return fewer or len(counts) < len(self._counts)

    def count(self, name: str) -> None:
        """Count something that the agent did for this pipeline itself."""
        self._before[name] = self._before.get(name, 0) + 1
        self._totals[name] = self._totals.get(name, 0) + 1

    def figures(self, mono_s: float) -> Figures:
        """Return the figures; rates are since the call before this one."""
        items = sum(n for name, n in self._totals.items() if name.startswith("verdicts_"))
        seconds = max(1e-3, mono_s - self._asked_s)
        old = self._asked_counts or [0] * len(self._counts)
        counts = [now - before for now, before in zip(self._counts, old, strict=True)]
        figures = Figures(
            totals=dict(self._totals),
            rate_hz=(items - self._asked_items) / seconds,
            p50_ms=quantile_ms(counts, 0.5),
            p99_ms=quantile_ms(counts, 0.99),
        )
        self._asked_s, self._asked_items, self._asked_counts = mono_s, items, self._counts
        return figures
