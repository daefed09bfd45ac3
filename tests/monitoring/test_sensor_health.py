"""What is wrong with samples is named, and their windows are refused meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_agent.errors import BadInput
from edge_agent.metrics import Counters
from edge_agent.monitoring.options import SensorLimits
from edge_agent.monitoring.sensor_health import SensorHealth
from edge_agent.types import Window
from tests.sources import window_shape

UTC_NS = 1_800_000_000 * 10**9


class Sensors:
    """Two channels at 100 Hz in windows of one second, on a clock of their own."""

    def __init__(self, *, rate_hz: float = 100.0, live: bool = True, **limits: Any) -> None:
        shape = window_shape("x", "y", samples=100, hop=100, rate_hz=rate_hz)
        self.counters = Counters()
        self.heard = {"plant/x": 50.0, "plant/y": 50.0} if live else {}
        self.health = SensorHealth(
            SensorLimits.model_validate(limits), shape, self.heard, self.counters
        )
        self.mono_s = 50.0
        self._index = 0

    @property
    def state(self) -> str:
        return self.health.state.name

    def gives(self, windows: int = 1, *, x: float | None = None, skew_s: float = 0.0) -> None:
        """Have them give windows of noise, or of a value that does not change."""
        for _ in range(windows):
            self.mono_s += 1.0
            self.heard.update(dict.fromkeys(self.heard, self.mono_s))
            samples = np.random.default_rng(self._index).normal(0, 1, (100, 2)).astype(np.float32)
            if x is not None:
                samples[:, 0] = x
            captured_ns = UTC_NS + round(skew_s * 1e9)
            window = Window(samples, ("x", "y"), 100.0, captured_ns, 0, self._index)
            self.health.item(window, self.mono_s, UTC_NS)
            self._index += 1

    def pause(self, seconds: float, *speaking: str) -> None:
        """Have them give no window, while some topics go on."""
        for _ in range(round(seconds * 2)):
            self.mono_s += 0.5
            self.heard.update(dict.fromkeys(speaking, self.mono_s))
            self.health.silent(self.mono_s)


def refusal(sensors: Sensors) -> str:
    with pytest.raises(BadInput) as error:
        sensors.health.check()
    return error.value.reason


def test_sensors_that_give_noise_are_connected_and_inspected() -> None:
    sensors = Sensors()
    sensors.gives(30)
    assert sensors.state == "connected"
    sensors.health.check()


def test_a_topic_that_is_silent_while_another_speaks_is_a_missing_channel() -> None:
    sensors = Sensors()
    sensors.gives(3)
    sensors.pause(4, "plant/y")
    assert (sensors.state, sensors.health.state.detail) == ("missing_channel", "plant/x: silent")
    sensors.gives()
    assert sensors.state == "connected"


def test_messages_that_lack_a_channel_are_a_missing_channel() -> None:
    sensors = Sensors()
    sensors.gives(3)
    sensors.counters.add("dropped_missing")
    sensors.counters.fault("plant/x: nothing at /accel")
    sensors.pause(0.5, "plant/x", "plant/y")
    assert sensors.state == "missing_channel"
    assert "/accel" in sensors.health.state.detail


def test_sensors_of_which_none_speaks_are_late() -> None:
    sensors = Sensors()
    sensors.gives(3)
    sensors.pause(2.5)
    assert sensors.state == "connected"
    sensors.pause(1)
    assert sensors.state == "late"
    sensors.gives()
    assert sensors.state == "connected"


def test_a_recording_is_never_late_nor_skewed() -> None:
    sensors = Sensors(live=False)
    sensors.gives(3, skew_s=-1e6)
    sensors.pause(60)
    assert sensors.state == "connected"


def test_a_gap_lasts_until_a_whole_window_has_come() -> None:
    sensors = Sensors()
    sensors.gives(3)
    sensors.counters.add("gaps")
    sensors.pause(0.5, "plant/x", "plant/y")
    assert sensors.state == "gap"
    sensors.gives()
    assert sensors.state == "connected"


def test_a_value_that_never_changes_is_stuck_and_named() -> None:
    sensors = Sensors()
    sensors.gives(9, x=1.25)
    assert sensors.state == "connected"
    sensors.gives(1, x=1.25)
    assert refusal(sensors) == "sensor_stuck"
    assert sensors.health.state.detail.startswith("x: ")
    sensors.gives()
    assert sensors.state == "connected"


def test_a_value_that_changes_between_windows_is_not_stuck() -> None:
    sensors = Sensors()
    for value in range(30):
        sensors.gives(1, x=float(value))
    assert sensors.state == "connected"


def test_what_may_rest_and_what_is_slow_is_not_stuck() -> None:
    for sensors in (Sensors(may_rest=("x",)), Sensors(rate_hz=1.0)):
        sensors.gives(60, x=1.0)
        assert sensors.state == "connected"


def test_a_value_beyond_its_range_is_named_with_its_value() -> None:
    sensors = Sensors(ranges={"x": (-10.0, 10.0)})
    sensors.gives(2)
    assert sensors.state == "connected"
    sensors.gives(1, x=40.0)
    assert refusal(sensors) == "sensor_out_of_range"
    assert sensors.health.state.detail == "x: 40, not within -10 to 10"


@pytest.mark.parametrize("skew_s", [-120.0, 120.0])
def test_samples_of_another_time_are_skewed(skew_s: float) -> None:
    sensors = Sensors()
    sensors.gives(1, skew_s=skew_s / 4)
    assert sensors.state == "connected"
    sensors.gives(1, skew_s=skew_s)
    assert refusal(sensors) == "sensor_skewed"
    assert ("ahead of" if skew_s > 0 else "behind") in sensors.health.state.detail


def test_sensors_that_are_away_are_so_until_they_are_connected() -> None:
    sensors = Sensors()
    sensors.health.away(50.0, "broker: refused")
    assert refusal(sensors) == "sensor_away"
    sensors.health.connected(51.0)
    assert sensors.state == "connected"
