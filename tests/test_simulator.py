"""The simulator as a source: pictures or windows, paced or not, and an end."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.errors import ConfigError, EndOfStream
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.metrics import Counters
from edge_agent.mqtt.broker_options import BrokerOptions
from edge_agent.sources import simulator
from edge_agent.sources.base import SourceContext
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    from edge_agent.sources.simulator import ConveyorSource, MotorSource


def shape(**changes: object) -> WindowPreprocess:
    fields: dict[str, object] = {
        "kind": "window",
        "channels": ("accel_x", "accel_y"),
        "samples": 512,
        "hop": 128,
        "rate_hz": 8192.0,
    }
    return WindowPreprocess.model_validate(fields | changes)


def source(
    window: WindowPreprocess | None = None, **options: object
) -> ConveyorSource | MotorSource:
    scene = "conveyor" if window is None else "motor"
    fields = {"kind": "simulator", "scene": scene, "realtime": False} | options
    context = SourceContext("p", "d", BrokerOptions(), Counters(), window)
    return simulator.create(simulator.Options.model_validate(fields), context)


def frame_of(conveyor: ConveyorSource | MotorSource) -> Frame:
    item = conveyor.read(5.0)
    assert isinstance(item, Frame)
    return item


def window_of(motor: ConveyorSource | MotorSource) -> Window:
    item = motor.read(30.0)
    assert isinstance(item, Window)
    return item


def test_the_conveyor_gives_so_many_pictures_and_then_ends() -> None:
    conveyor = source(seed=3, count=3)
    conveyor.connect()
    frames = [frame_of(conveyor) for _ in range(3)]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert len({frame.part_id for frame in frames}) == 3
    with pytest.raises(EndOfStream):
        conveyor.read(1.0)


def test_the_same_seed_shows_the_same_plates() -> None:
    pixels = []
    for seed in (3, 3, 4):
        conveyor = source(seed=seed)
        conveyor.connect()
        pixels.append(frame_of(conveyor).pixels)
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[0], pixels[2])


def test_in_real_time_the_conveyor_is_a_camera_and_waits_for_each_plate() -> None:
    assert source().capture == "inline"
    conveyor = source(realtime=True, fps=0.5)
    assert conveyor.capture == "newest"
    conveyor.connect()
    assert conveyor.read(5.0) is not None
    assert conveyor.read(0.0) is None


def test_closing_wakes_a_reader_that_waits_for_the_next_plate() -> None:
    conveyor = source(realtime=True, fps=0.1)
    conveyor.connect()
    conveyor.read(5.0)
    got: list[object] = []
    reader = threading.Thread(target=lambda: got.append(conveyor.read(60.0)))
    reader.start()
    conveyor.close()
    reader.join(60)
    assert got == [None]
    with pytest.raises(EndOfStream):
        conveyor.read(1.0)


def test_windows_of_the_motor_follow_each_other_without_a_gap() -> None:
    motor = source(shape(), count=4)
    motor.connect()
    windows = [window_of(motor) for _ in range(4)]
    assert [window.first_sample for window in windows] == [0, 128, 256, 384]
    assert {window.series for window in windows} == {0}
    for before, after in pairwise(windows):
        np.testing.assert_array_equal(before.samples[128:], after.samples[:-128])
    with pytest.raises(EndOfStream):
        motor.read(1.0)


def test_the_motor_gives_the_channels_that_the_model_wants_in_its_order() -> None:
    both, turned = source(shape()), source(shape(channels=("accel_y",)))
    for motor in (both, turned):
        motor.connect()
    np.testing.assert_array_equal(window_of(turned).samples[:, 0], window_of(both).samples[:, 1])


def test_in_real_time_a_window_comes_when_its_samples_would_have() -> None:
    motor = source(shape(samples=4096, hop=2048), realtime=True)
    motor.connect()
    began_s = time.monotonic()
    assert motor.read(0.0) is None
    assert motor.read(30.0) is not None
    assert time.monotonic() - began_s >= 0.49  # two hops of a quarter of a second


def test_a_scene_that_the_model_cannot_use_is_refused_by_name() -> None:
    options = simulator.Options(kind="simulator", scene="motor")
    context = SourceContext("p", "d", BrokerOptions(), Counters(), None)
    with pytest.raises(ConfigError, match=r"/source/scene.*conveyor"):
        simulator.create(options, context)
    with pytest.raises(ConfigError, match=r"/source/scene.*motor"):
        source(shape(), scene="conveyor")
    with pytest.raises(ConfigError, match="accel_x, accel_y only"):
        source(shape(channels=("temperature",)))
    with pytest.raises(ConfigError, match="over 6100 Hz"):
        source(shape(rate_hz=1000.0))
