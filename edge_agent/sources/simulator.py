"""The simulated cell: a camera over a conveyor, or accelerometers on a motor."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge_agent.cell import conveyor, motor
from edge_agent.errors import ConfigError, EndOfStream, FieldError
from edge_agent.line.pacing import Pace
from edge_agent.options import StrictOptions
from edge_agent.sensing.windowing import Cut, Timing, Windower
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.sources.base import Capture, SourceContext


class Options(StrictOptions):
    """A simulated camera or motor; the same seed gives the same items."""

    kind: Literal["simulator"]
    scene: Literal["conveyor", "motor"]
    seed: Annotated[int, Field(ge=0, le=2**32)] = 0
    realtime: bool = True
    """As fast as a real cell; false: as fast as the items are inspected, none lost."""
    count: Annotated[int, Field(ge=1)] | None = None
    """Ends after so many items; left out: never."""
    fps: Annotated[float, Field(gt=0, le=100)] = 5.0
    """conveyor: pictures a second in real time."""
    defect_rate: Annotated[float, Field(ge=0, le=1)] = 0.2
    """conveyor: share of plates with a defect."""
    name_parts: bool = True
    """conveyor: pictures come with a part id; false: as from a camera, which knows of none."""
    shaft_hz: Annotated[float, Field(ge=5, le=100)] = 25.0
    """motor: turns a second."""
    life_s: Annotated[float, Field(ge=1)] = 120.0
    """motor: a bearing is sound for a third of this, gets worse, and is then replaced."""


class ConveyorSource:
    """Pictures of plates. In real time it is a camera: a picture nobody takes is gone."""

    def __init__(self, options: Options, context: SourceContext) -> None:
        self.capture: Capture = "newest" if options.realtime else "inline"
        self._options = options
        self._conveyor: conveyor.Conveyor | None = None
        self._closed = threading.Event()
        period_s = 1 / options.fps if options.realtime else 0.0
        self._pace = Pace(period_s, self._closed, context.counters)
        self._index = 0

    def connect(self) -> None:
        """Make belt and metal; a second connect goes on where the first left off."""
        self._conveyor = conveyor.Conveyor(self._options.seed, self._options.defect_rate)
        self._pace.due_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next picture, or None when it is not due within `timeout_s`."""
        if self._conveyor is None or self._closed.is_set() or self._index == self._options.count:
            raise EndOfStream("conveyor: stopped")
        if not self._pace.wait(timeout_s):
            return None
        picture = self._conveyor.picture(self._index)
        self._index += 1
        return Frame(
            pixels=picture.pixels,
            captured_ns=time.time_ns(),
            captured_mono_ns=time.monotonic_ns(),
            index=self._index - 1,
            part_id=self._part_id(self._index - 1),
            origin="simulator/conveyor",
        )

    def _part_id(self, index: int) -> str | None:
        return f"plate-{self._options.seed}-{index:06d}" if self._options.name_parts else None

    def close(self) -> None:
        """Stop the belt."""
        self._closed.set()


class MotorSource:
    """Windows of vibration; every one of them, however slowly they are taken."""

    capture: Capture = "inline"

    def __init__(self, options: Options, shape: WindowPreprocess, context: SourceContext) -> None:
        self._options = options
        self._shape = shape
        self._columns = [motor.CHANNELS.index(channel) for channel in shape.channels]
        self._windower = Windower(shape, Timing("index"), context.counters)
        life = motor.Life(options.life_s, options.life_s / 3)
        self._motor = motor.Motor(options.seed, shape.rate_hz, options.shaft_hz, life)
        self._cuts: deque[Cut] = deque()
        self._closed = threading.Event()
        period_s = shape.hop / shape.rate_hz if options.realtime else 0.0
        self._pace = Pace(period_s, self._closed, context.counters)
        self._index = 0

    def connect(self) -> None:
        """Listen from now on."""
        self._pace.due_s = time.monotonic() + self._pace.period_s

    def read(self, timeout_s: float) -> Window | None:
        """Return the next window, or None when it is not complete within `timeout_s`."""
        if self._closed.is_set() or self._index == self._options.count:
            raise EndOfStream("motor: stopped")
        until_s = time.monotonic() + timeout_s
        while not self._cuts:
            if not self._pace.wait(max(0.0, until_s - time.monotonic())):
                return None
            self._listen()
        cut = self._cuts.popleft()
        self._index += 1
        return Window(
            samples=cut.samples,
            channels=self._shape.channels,
            rate_hz=self._shape.rate_hz,
            captured_ns=cut.newest_ns,
            captured_mono_ns=time.monotonic_ns() - max(0, time.time_ns() - cut.newest_ns),
            index=self._index - 1,
            series=cut.series,
            first_sample=cut.first_sample,
            origin="simulator/motor",
        )

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()

    def _listen(self) -> None:
        """Take as many samples as lie between two windows."""
        samples = self._motor.block(self._shape.hop).samples[:, self._columns]
        cuts = self._windower.push(samples, time.time_ns())
        self._cuts.extend(cut for cut in cuts if isinstance(cut, Cut))


def create(options: Options, context: SourceContext) -> ConveyorSource | MotorSource:
    """Build the source. Raises ConfigError when the model wants what the scene does not give."""
    if options.scene == "conveyor":
        if context.window is not None:
            raise _unfit("the model takes samples: use scene 'motor'")
        return ConveyorSource(options, context)
    shape = context.window
    if shape is None:
        raise _unfit("the model takes pictures: use scene 'conveyor'")
    if not set(shape.channels) <= set(motor.CHANNELS):
        raise _unfit(f"the motor has the channels {', '.join(motor.CHANNELS)} only")
    if shape.rate_hz <= motor.MIN_RATE_HZ:
        raise _unfit(f"the motor rings at frequencies that need over {motor.MIN_RATE_HZ:g} Hz")
    return MotorSource(options, shape, context)


def _unfit(message: str) -> ConfigError:
    return ConfigError([FieldError("/source/scene", "scene", message)])
