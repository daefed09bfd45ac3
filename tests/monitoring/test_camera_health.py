"""What is wrong with a camera is named, and its pictures are refused meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_agent.errors import BadInput
from edge_agent.monitoring.camera_health import CameraHealth
from edge_agent.monitoring.options import CameraLimits
from edge_agent.pictures.figures import measure
from edge_agent.types import Frame

FPS = 20


class Camera:
    """A camera on a clock of its own."""

    def __init__(self, *, live: bool = True, **limits: Any) -> None:
        self.health = CameraHealth(CameraLimits.model_validate(limits), live=live)
        self.mono_s = 100.0
        self._number = 0

    @property
    def state(self) -> str:
        return self.health.state.name

    def gives(  # noqa: PLR0913  ways in which a camera may fail
        self,
        seconds: float,
        *,
        grey: int = 120,
        size: tuple[int, int] = (80, 60),
        same: bool = False,
        step: int = 1,
        usual: float | None = None,
        soft: bool = False,
    ) -> None:
        """Have it give pictures for so long."""
        for _ in range(round(seconds * FPS)):
            self._number += 0 if same else step
            rng = np.random.default_rng(self._number)
            pixels = rng.integers(max(0, grey - 20), min(255, grey + 20) + 1, (*size[::-1], 3))
            if soft:
                pixels = np.repeat(pixels[:, ::16], 16, axis=1)[:, : size[0]]
            frame = Frame(pixels.astype(np.uint8), 0, 0, self._number)
            self.health.item(frame, self.mono_s, 0)
            self.health.look(measure(frame.pixels), usual, self.mono_s)
            self.health.waiting(self.mono_s)
            self.mono_s += 1 / FPS

    def is_silent(self, seconds: float) -> None:
        """Have it give nothing for so long."""
        for _ in range(round(seconds * 2)):
            self.mono_s += 0.5
            self.health.silent(self.mono_s)


def refusal(camera: Camera) -> str:
    with pytest.raises(BadInput) as error:
        camera.health.check()
    return error.value.reason


def test_a_camera_that_gives_pictures_is_connected_and_they_are_inspected() -> None:
    camera = Camera()
    camera.gives(5)
    assert camera.state == "connected"
    camera.health.check()


def test_a_camera_that_gives_nothing_is_late_until_it_gives_something() -> None:
    camera = Camera()
    camera.gives(1)
    camera.is_silent(1)
    assert camera.state == "connected"
    camera.is_silent(1)
    assert camera.state == "late"
    assert refusal(camera) == "camera_late"
    camera.gives(0.1)
    assert camera.state == "connected"


def test_a_camera_is_not_late_for_the_time_that_a_model_takes() -> None:
    camera = Camera()
    camera.gives(1)
    camera.mono_s += 5
    camera.health.waiting(camera.mono_s)
    camera.is_silent(1)
    assert camera.state == "connected"


def test_a_camera_that_gives_the_same_picture_again_and_again_is_frozen() -> None:
    camera = Camera()
    camera.gives(1)
    camera.gives(0.9, same=True)
    assert camera.state == "connected"
    camera.gives(0.3, same=True)
    assert camera.state == "frozen"
    assert refusal(camera) == "camera_frozen"
    camera.gives(0.1)
    assert camera.state == "connected"


def test_a_folder_may_repeat_itself_and_give_nothing_and_any_size() -> None:
    camera = Camera(live=False)
    camera.gives(3, same=True)
    camera.gives(1, size=(40, 30))
    camera.is_silent(60)
    assert camera.state == "connected"


@pytest.mark.parametrize(("grey", "state"), [(0, "dark"), (255, "bright")])
def test_a_camera_without_light_or_with_too_much_of_it_is_named(grey: int, state: str) -> None:
    camera = Camera(dark_below=15, bright_above=240)
    camera.gives(1)
    camera.gives(0.4, grey=grey)
    assert camera.state == "connected"
    camera.gives(0.4, grey=grey)
    assert camera.state == state
    camera.gives(0.3)
    assert camera.state == state
    camera.gives(0.5)
    assert camera.state == "connected"


def test_a_camera_is_blurred_beside_what_is_usual_and_never_without_it() -> None:
    camera = Camera()
    camera.gives(2, soft=True)
    assert camera.state == "connected"
    camera.gives(2, soft=True, usual=0.9)
    assert camera.state == "blurred"


def test_another_size_than_that_of_the_first_picture_is_wrong() -> None:
    camera = Camera()
    camera.gives(1)
    camera.gives(1, size=(40, 60))
    assert camera.state == "wrong_size"
    assert "40x60 pixels, not 80x60" in camera.health.state.detail


def test_the_size_may_be_said_and_then_holds_for_a_folder_too() -> None:
    camera = Camera(live=False, size=(640, 480))
    camera.gives(1)
    assert camera.state == "wrong_size"


def test_a_camera_most_of_whose_pictures_are_overtaken_is_dropped_where_that_matters() -> None:
    easy, strict = Camera(), Camera(dropped_above=0.5)
    for camera in (easy, strict):
        camera.gives(6, step=5)
    assert (easy.state, strict.state) == ("connected", "dropped")
    assert "80%" in strict.health.state.detail
    strict.gives(6)
    assert strict.state == "connected"


def test_a_camera_that_is_away_is_so_until_its_first_picture() -> None:
    camera = Camera()
    camera.gives(1)
    camera.health.away(camera.mono_s, "no picture came in time")
    assert camera.state == "away"
    camera.health.connected(camera.mono_s)
    assert camera.state == "away"
    camera.gives(0.05)
    assert camera.state == "connected"
