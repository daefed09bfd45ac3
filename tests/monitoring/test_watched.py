"""A source is watched between its items: no verdict waits for the look at its picture."""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from edge_agent.errors import BadInput
from edge_agent.inference.model import load_model
from edge_agent.line.watched import WatchedSource
from edge_agent.monitoring.camera_health import CameraHealth
from edge_agent.monitoring.model_watch import ModelWatch
from edge_agent.monitoring.options import CameraLimits, DriftOptions, RejectOptions
from edge_agent.monitoring.reference_file import Origin
from edge_agent.monitoring.watch import Watch
from edge_agent.types import Decision, Frame
from tests.agents import MODELS


class Pictures:
    """Gives these pictures, one at a time."""

    capture = "inline"

    def __init__(self, *greys: int) -> None:
        self._frames = [
            Frame(np.full((48, 64, 3), grey, np.uint8), 0, 0, index)
            for index, grey in enumerate(greys)
        ]

    def connect(self) -> None: ...

    def read(self, timeout_s: float) -> Frame | None:  # noqa: ARG002  they are there
        return self._frames.pop(0) if self._frames else None

    def close(self) -> None: ...


def watched(*greys: int) -> tuple[WatchedSource, Watch]:
    health = CameraHealth(CameraLimits(hold_s=0.0), live=False)

    def unknown(_model: object) -> None:
        raise AssertionError("nothing is inspected here")

    watch = Watch("camera", health, unknown, figures_hz=1e6)  # type: ignore[arg-type]
    return WatchedSource(Pictures(*greys), watch), watch  # type: ignore[arg-type]


def test_a_dark_picture_is_named_when_the_next_is_asked_for_also_where_none_is_inspected() -> None:
    source, watch = watched(0, 120, 120)
    source.read(0.0)
    watch.complain()  # the picture itself is answered before it is looked at
    source.read(0.0)
    assert watch.report().source.state == "dark"
    with pytest.raises(BadInput, match="mean grey value 0 of 255"):
        watch.complain()
    source.read(0.0)
    assert watch.report().source.state == "connected"


def test_the_last_picture_is_looked_at_though_no_other_comes() -> None:
    source, watch = watched(0)
    source.read(0.0)
    assert watch.report().source.state == "connected"
    assert source.read(0.0) is None
    assert watch.report().source.state == "dark"


def test_a_picture_is_held_no_longer_than_it_takes_to_be_judged_and_measured() -> None:
    model = load_model(MODELS / "conveyor-parts", threads=1, roi=None)
    origin = Origin(model.bundle.model_sha256, None)
    models = ModelWatch("camera", DriftOptions(), RejectOptions(), origin, family="qc")
    health = CameraHealth(CameraLimits(), live=False)
    watch = Watch("camera", health, lambda _: models, figures_hz=1e6)
    source = WatchedSource(Pictures(120), watch)  # type: ignore[arg-type]
    frame = source.read(0.0)
    assert isinstance(frame, Frame)
    watch.check(model)
    prediction = model.task.interpret(model.backend.run(model.task.prepare(frame)), frame)
    watch.decided(frame, prediction, Decision("pass", 0.7))
    assert watch.report().drift.items == 1
    gone = weakref.ref(frame.pixels)
    del frame, prediction
    assert gone() is None
