"""Watches over one pipeline: whether its source can be trusted, and all is as it used to be.

each item, as it comes      -> health: a state; a bad one makes `error` of the item
a picture, once answered    -> its figures: a state for those that follow; no verdict waits for them
each item, once decided     -> drift and reject rate: alerts; the verdict stands
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge_agent.monitoring.conditions import CONNECTED
from edge_agent.monitoring.report import DriftReport, SourceReport, WatchReport
from edge_agent.pictures.figures import PictureFigures, measure
from edge_agent.types import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.inference.model import Model
    from edge_agent.monitoring.conditions import State
    from edge_agent.monitoring.model_watch import ModelWatch
    from edge_agent.monitoring.report import SourceKind
    from edge_agent.types import Decision, Item, Prediction, Window

log = logging.getLogger(__name__)

Rect = tuple[int, int, int, int]

NO_DRIFT = DriftReport(origin="none", items=0, figures=[])


class Health(Protocol):
    """What looks at the items of a source: of a camera or of sensors."""

    @property
    def kind(self) -> SourceKind:
        """What the source is."""

    @property
    def state(self) -> State:
        """What the source is like now."""

    def away(self, mono_s: float, detail: str) -> None:
        """Note that the source is not connected."""

    def connected(self, mono_s: float) -> None:
        """Note that it is connected again."""

    def waiting(self, mono_s: float) -> None:
        """Note that the next item is waited for from now on."""

    def silent(self, mono_s: float) -> None:
        """Note that no item has come up to now."""

    def item(self, item: Item, mono_s: float, utc_ns: int) -> None:
        """Look at an item, that came at `utc_ns` by the gateway's clock."""

    def look(self, figures: PictureFigures, usual_sharpness: float | None, mono_s: float) -> None:
        """Look at the figures of a picture."""

    def check(self) -> None:
        """Raise BadInput where items are not to be trusted."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The time, in seconds that nobody sets and in UTC."""

    mono_s: Callable[[], float] = time.monotonic
    utc_ns: Callable[[], int] = time.time_ns


class Watch:
    """One pipeline. Any thread may call `report` and `expect`, its own thread calls the rest.

    `models` makes the watch over a model, once for each. `figures_hz`: at most so many items a
    second are measured.
    """

    def __init__(
        self,
        pipeline: str,
        health: Health,
        models: Callable[[Model], ModelWatch],
        figures_hz: float,
        roi: Rect | None = None,
        clocks: Clocks | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._health = health
        self._models = models
        self._known: dict[str, ModelWatch] = {}
        self._model: ModelWatch | None = None
        self._period_s = 1.0 / figures_hz
        self._due_s = 0.0
        self._roi = roi
        self._clocks = clocks or Clocks()
        self._to_measure: tuple[Item, float] | None = None
        self._measured: tuple[Item | None, dict[str, float]] = (None, {})
        self._figures: PictureFigures | None = None
        self._came = True
        self._state = health.state
        self._since_ns = self._clocks.utc_ns()

    def away(self, detail: str) -> None:
        """Note that the source is not connected."""
        self._health.away(self._clocks.mono_s(), detail)
        self._figures = self._to_measure = None
        self._note()

    def connected(self) -> None:
        """Note that the source is connected; what it is like, its items will show."""
        self._health.connected(self._clocks.mono_s())
        self._note()

    def waiting(self) -> None:
        """Note that the next item is waited for; called anew as long as none has come."""
        if self._came:
            self._came = False
            self._health.waiting(self._clocks.mono_s())

    def silent(self) -> bool:
        """Note that nothing came; return whether that has made the source one not to trust."""
        before = self._state
        self._health.silent(self._clocks.mono_s())
        self._note()
        return self._state.name != before.name and not self._state.good

    def saw(self, item: Item) -> None:
        """Look at an item as it comes."""
        self._came = True
        mono_s = self._clocks.mono_s()
        came_ns = self._clocks.utc_ns() - max(0, round(mono_s * 1e9) - item.captured_mono_ns)
        self._health.item(item, mono_s, came_ns)
        if mono_s >= self._due_s:
            self._due_s = mono_s + self._period_s
            self._to_measure = (item, mono_s)
        self._note()

    def look(self) -> None:
        """Measure the item that came last, if it is due and has not been measured."""
        if self._to_measure is None:
            return
        (item, mono_s), self._to_measure = self._to_measure, None
        self._measured = (item, self._measure(item))
        if self._figures is not None:
            usual = self._model.usual("sharpness") if self._model else None
            self._health.look(self._figures, usual, mono_s)
            self._note()

    def expect(self, model: Model) -> None:
        """Get ready for a model that is about to decide; any thread. It takes milliseconds."""
        self._over(model)

    def check(self, model: Model) -> None:
        """Raise BadInput for an item of a source not to be trusted, inspected with this model."""
        if self._model is None or self._model.model_sha256 != model.bundle.model_sha256:
            self._model = self._over(model)
        self._health.check()

    def complain(self) -> None:
        """Raise BadInput where the source is not to be trusted."""
        self._health.check()

    def decided(self, item: Item, prediction: Prediction, decision: Decision) -> None:
        """Take what became of an item that was checked, after its verdict has left."""
        self.look()
        model = self._model
        if model is None:
            return
        reject = decision.outcome == "fail"
        model.count(reject=reject)
        measured, figures = self._measured
        if measured is item:
            self._measured = (None, {})  # a picture is large: no longer than it is needed
            figures = figures | {"score": prediction.score}
            model.add(figures, decision.threshold, reject=reject)

    def close(self) -> None:
        """Keep what is half learned."""
        for model in self._known.values():
            model.close()

    def report(self) -> WatchReport:
        """Return how things are."""
        model, state, figures = self._model, self._state, self._figures
        source = SourceReport(
            kind=self._health.kind,
            state=state.name,
            detail=state.detail,
            since_ns=self._since_ns,
            brightness=figures.brightness if figures else None,
            contrast=figures.contrast if figures else None,
            sharpness=figures.sharpness if figures else None,
        )
        return WatchReport(
            source=source,
            drift=model.drift_report() if model else NO_DRIFT,
            alerts=model.alerts() if model else None,
        )

    def _over(self, model: Model) -> ModelWatch:
        name = model.bundle.model_sha256
        if name not in self._known:
            self._known[name] = self._models(model)
        return self._known[name]

    def _measure(self, item: Item) -> dict[str, float]:
        if isinstance(item, Frame):
            self._figures = figures = measure(item.pixels, self._roi)
            return picture_values(figures)
        return window_values(item)

    def _note(self) -> None:
        """Log a change of state once."""
        state, before = self._health.state, self._state
        self._state = state
        if state.name == before.name:
            return
        self._since_ns = self._clocks.utc_ns()
        level = logging.INFO if state.name == CONNECTED else logging.WARNING
        detail = f": {state.detail}" if state.detail else ""
        log.log(level, "%s: %s %s%s", self._pipeline, self._health.kind, state.name, detail)


def picture_values(figures: PictureFigures) -> dict[str, float]:
    """Return what drift looks at in a picture, by name."""
    values = {
        "brightness": figures.brightness,
        "contrast": figures.contrast,
        "balance_x": figures.balance_x,
        "balance_y": figures.balance_y,
    }
    if figures.sharpness is not None:
        values["sharpness"] = figures.sharpness
    return values


def window_values(window: Window) -> dict[str, float]:
    """Return what drift looks at in samples, by name: mean and deviation of each channel."""
    means, deviations = window.samples.mean(axis=0), window.samples.std(axis=0)
    named = zip(window.channels, means.tolist(), deviations.tolist(), strict=True)
    return {
        name: value
        for channel, mean, deviation in named
        for name, value in ((f"mean {channel}", mean), (f"deviation {channel}", deviation))
    }
