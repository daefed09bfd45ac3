"""Drift and reject rate of one pipeline with one model; a product variant has its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_agent.monitoring import reference_file
from edge_agent.monitoring.drift import Drift, Learning, Reference
from edge_agent.monitoring.learning_file import LearningFile
from edge_agent.monitoring.reject_rate import RejectRate
from edge_agent.monitoring.report import AlertReport, DriftReport, FigureReport

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge_agent.monitoring.options import DriftOptions, RejectOptions
    from edge_agent.monitoring.reference_file import Origin

log = logging.getLogger(__name__)

FIGURES_NAMED = 3  # in the words of an alert
LEARNED_ITEMS = {"qc": 500, "pdm": 0}


class ModelWatch:
    """One thread calls everything but `drift_report` and `alerts`, which any may call."""

    def __init__(  # noqa: PLR0913  what it is made of
        self,
        pipeline: str,
        drift: DriftOptions,
        rejects: RejectOptions,
        origin: Origin,
        *,
        family: str,
        bundle: Reference | None = None,
        kept_in: Path | None = None,
    ) -> None:
        """`bundle`: what the bundle says is usual; `kept_in`: where the learned lies, or will."""
        self._pipeline = pipeline
        self._drift_options = drift
        self._reject_options = rejects
        self._origin = origin
        self._kept_in = kept_in
        self._count_rejects = family == "qc" if rejects.on is None else rejects.on
        self._drift: Drift | None = None
        self._learning: Learning | None = None
        self._learning_file = LearningFile(kept_in, origin) if kept_in else None
        self._rejects: RejectRate | None = None
        learned = reference_file.find(kept_in, origin) if kept_in else None
        # What was measured here says more than what was measured when the model was made; after a
        # calibration scores mean something else.
        reference = learned or (bundle if not origin.calibration else None)
        wanted = drift.learn_items if drift.learn_items is not None else LEARNED_ITEMS[family]
        if reference is not None:
            self._use(reference)
        elif drift.on and wanted:
            self._learning = Learning(wanted)
            self._go_on()
        if self._rejects is None:
            self._expect(rejects.expected)

    @property
    def model_sha256(self) -> str:
        """The model that this belongs to."""
        return self._origin.model_sha256

    def usual(self, figure: str) -> float | None:
        """Return the median of a figure, if it is known."""
        return self._drift.reference.usual(figure) if self._drift else None

    def count(self, *, reject: bool) -> None:
        """Take the outcome of one item."""
        if self._rejects is not None and self._rejects.add(reject=reject):
            self._log(self.alerts()[-1])

    def add(self, figures: Mapping[str, float], threshold: float, *, reject: bool) -> None:
        """Take the figures of one item, its score among them, and the rule's threshold."""
        if self._drift is not None:
            if self._drift.add(figures, threshold):
                self._log(self.alerts()[0])
        elif self._learning is not None:
            self._learn(self._learning, figures, reject=reject)
            if self._learning is not None and self._learning_file is not None:
                self._learning_file.add(figures, reject=reject)

    def drift_report(self) -> DriftReport:
        """Return how far everything is from what is usual."""
        drift, learning = self._drift, self._learning
        if drift is None:
            items = learning.items if learning else 0
            return DriftReport(origin="learning" if learning else "none", items=items, figures=[])
        return DriftReport(
            origin=drift.reference.origin,
            items=drift.reference.items,
            figures=[
                FigureReport(each.figure, each.distance, each.usual, each.now)
                for each in drift.distances
            ],
        )

    def alerts(self) -> list[AlertReport]:
        """Return what there is reason to alert of, or was, or not yet."""
        found = []
        drift, rejects = self._drift, self._rejects
        if drift is not None:
            far = [
                each for each in drift.distances if each.distance >= self._drift_options.clear_at
            ]
            words = "; ".join(str(each) for each in far[:FIGURES_NAMED]) or "as usual"
            furthest = drift.distances[0].distance if drift.distances else 0.0
            limit = self._drift_options.raise_at
            found.append(_alert("drift", drift.raised, words, furthest, limit))
        if rejects is not None:
            share, expected = rejects.rate, rejects.expected
            words = f"{share:.1%} of the newest items fail, expected {expected:.1%}"
            found.append(_alert("reject_rate", rejects.raised, words, share, expected))
        return found

    def close(self) -> None:
        """Keep what is half learned."""
        if self._learning_file is not None:
            self._learning_file.close()

    def _go_on(self) -> None:
        """Learn what was learned before a restart."""
        for item in self._learning_file.items() if self._learning_file else ():
            if self._learning is not None:
                self._learn(self._learning, item.figures, reject=item.reject)

    def _learn(self, learning: Learning, figures: Mapping[str, float], *, reject: bool) -> None:
        reference = learning.add(figures, reject=reject)
        if reference is None:
            return
        self._learning = None
        self._use(reference)
        if self._kept_in is not None:
            reference_file.write(self._kept_in, reference, self._origin)
        if self._learning_file is not None:
            self._learning_file.remove()

    def _use(self, reference: Reference) -> None:
        if self._drift_options.on:
            self._drift = Drift(self._drift_options, reference)
        if self._reject_options.expected is None:
            self._expect(reference.reject_rate)

    def _expect(self, rate: float | None) -> None:
        if self._count_rejects and rate is not None:
            self._rejects = RejectRate(self._reject_options, rate)

    def _log(self, alert: AlertReport) -> None:
        level = logging.WARNING if alert.raised else logging.INFO
        what = "alert" if alert.raised else "no alert"
        log.log(level, "%s: %s: %s: %s", self._pipeline, alert.kind, what, alert.message)


def _alert(kind: str, raised: bool | None, words: str, value: float, limit: float) -> AlertReport:  # noqa: FBT001  a field
    return AlertReport(kind=kind, raised=raised, message=words, value=value, limit=limit)  # type: ignore[arg-type]
