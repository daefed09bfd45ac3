"""A camera that fails in every way there is, beside another pipeline that must not notice."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.agents import MODELS
from tests.faults.conftest import Finding, Trial
from tests.faults.plant import Consumer, Gateway, camera, pictures, until
from tests.mjpeg import MjpegCamera

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.mjpeg import Mood, Pixels

FPS = 50
TICK_S = 0.001  # a verdict's time is cut to milliseconds, and an answer may come within one
NAMED_WITHIN_S = 3
BACK_WITHIN_S = 10
MOST_LOST = 0.05
# In which states a consumer may see the camera. One that gives no picture is late at first, and
# away once the connection is given up.
SILENT = {"late", "away"}
FAULTS: dict[Mood, set[str]] = {
    "stalled": SILENT,
    "dripping": SILENT,
    "garbage": SILENT,
    "frozen": {"frozen"},
    "black": {"dark"},
    "white": {"bright"},
}


def noise(number: int) -> Pixels:
    """Return a picture as a live camera gives it: never the same twice."""
    return np.random.default_rng(number).integers(60, 190, (120, 160, 3), np.uint8)


@pytest.fixture
def server() -> Iterator[MjpegCamera]:
    server = MjpegCamera(noise)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("mood", FAULTS)
def test_a_camera_that_fails_is_named_and_answered_by_errors_and_comes_back(
    mood: Mood, line: Line, server: MjpegCamera
) -> None:
    def begin() -> None:
        server.mood = mood

    def end() -> None:
        server.mood = "good"

    line.suffer(f"camera {mood}", FAULTS[mood], begin, end)


def test_a_camera_that_dies_is_named_and_answered_by_errors_and_comes_back(
    line: Line, server: MjpegCamera
) -> None:
    line.suffer("camera dead", {"away"}, server.stop, server.start)


@pytest.fixture
def line(
    gateway: Callable[..., Gateway],
    consumer: Consumer,
    server: MjpegCamera,
    tmp_path: Path,
    trial: Trial,
) -> Line:
    """Start two pipelines: the camera that will fail, and one beside it."""
    source = {"kind": "camera", "url": server.url}
    model = str(MODELS / "conveyor-parts")
    gateway(
        {
            "failing": {"family": "qc", "model": model, "source": source, "evidence": {"keep": []}},
            "other": camera(pictures(tmp_path / "pictures"), FPS),
        }
    )
    until(lambda: len(consumer.of("failing")) > FPS and len(consumer.of("other")) > FPS)
    return Line(consumer, trial)


class Line:
    """Both pipelines, and what their consumer saw of a fault."""

    def __init__(self, consumer: Consumer, trial: Trial) -> None:
        self._consumer = consumer
        self._trial = trial

    def suffer(
        self, fault: str, states: set[str], begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        """Have a fault for a while, and judge what became of it."""
        began_s, began_utc_s = time.monotonic(), time.time()
        begin()
        state_s = until(lambda: self._state() in states)
        error_s = until(lambda: self._error_since(began_utc_s))
        error_s += state_s
        # Whatever was on its way before the state was named has passed by then.
        settled_s = max(began_s + NAMED_WITHIN_S, time.monotonic())
        time.sleep(max(1.0, began_s + self._lasts_s() - time.monotonic()))
        named = self._state()
        passes = self._passes(settled_s, time.monotonic())
        ended_s, ended_utc_s = time.monotonic(), time.time()
        end()
        back_s = until(lambda: self._inspected_since(ended_utc_s))
        rate = self._rate(began_s, ended_s)
        self._trial.note(
            Finding(
                f"{fault} for {ended_s - began_s:.0f} s",
                1,
                f"{max(0.0, 1 - rate / FPS):.1%} of the other pipeline's rate",
                f"{back_s:.1f} s to inspection",
                f"`{named}` after {state_s:.1f} s, `error` after {error_s:.1f} s",
            )
        )
        assert passes == 0
        assert rate > 0
        if self._trial.full:
            assert state_s <= NAMED_WITHIN_S
            assert error_s <= NAMED_WITHIN_S
            assert back_s <= BACK_WITHIN_S
            assert rate >= FPS * (1 - MOST_LOST)

    def _lasts_s(self) -> float:
        return 20 if self._trial.full else NAMED_WITHIN_S + 1

    def _state(self) -> str:
        return str(self._consumer.sources.get("failing", {}).get("state"))

    def _error_since(self, utc_s: float) -> bool:
        newest = self._consumer.of("failing")[-200:]
        return any(a.verdict == "error" and a.decided_s >= utc_s - TICK_S for a in newest)

    def _inspected_since(self, utc_s: float) -> bool:
        newest = self._consumer.of("failing")[-200:]
        return any(a.verdict != "error" and a.decided_s >= utc_s - TICK_S for a in newest)

    def _passes(self, since_s: float, until_s: float) -> int:
        during = [a for a in self._consumer.of("failing") if since_s <= a.at_s <= until_s]
        return sum(a.verdict != "error" for a in during)

    def _rate(self, since_s: float, until_s: float) -> float:
        during = [a for a in self._consumer.of("other") if since_s <= a.at_s <= until_s]
        return len(during) / (until_s - since_s)
