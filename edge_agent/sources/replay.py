"""A recording, CSV or NPZ, read as if its samples came in now; for tests, demos and tuning."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge_agent.errors import BadInput, ConfigError, EndOfStream, FieldError, NotConnected
from edge_agent.lazy import lazy_module
from edge_agent.line.pacing import Schedule, is_due
from edge_agent.options import StrictOptions
from edge_agent.sensing.recordings import RecordingLayout, read_recording
from edge_agent.sensing.sensor_stream import SensorStream
from edge_agent.sensing.timestamps import TimeUnit
from edge_agent.sensing.windowing import Timing, Windower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.sensing.recordings import Block
    from edge_agent.sources.base import Capture, SourceContext
    from edge_agent.types import Window
else:
    np = lazy_module("numpy")

ColumnName = Annotated[str, Field(min_length=1, max_length=128)]


class Options(StrictOptions):
    """A recording of sensor samples."""

    kind: Literal["replay"]
    file: Annotated[str, Field(min_length=1)]
    """CSV or NPZ, relative to the config file."""
    columns: tuple[ColumnName, ...] = ()
    """Names of the columns of a CSV without a header, or of an NPZ's one table."""
    delimiter: Literal["", ",", ";", "\t", " "] = ""
    """"" finds it out from the first line; " " is any white space."""
    channels: dict[ColumnName, ColumnName] = {}  # noqa: RUF012  pydantic copies it
    """The column of each channel of the model, where it is not named like the channel."""
    unit_column: ColumnName | None = None
    """Names the machine or part: it becomes the part id, and a new value begins a new series."""
    time_column: ColumnName | None = None
    """When each sample was taken: what is further apart than the rate says is a gap. Left out,
    every row is the next step."""
    time_unit: TimeUnit = "s"
    tolerance_ms: Annotated[float, Field(gt=0)] | None = None
    """How far from its due time a sample may be; by default half a period."""
    rate_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """How far the rate may be from the model's, as a fraction; with `time_column`."""
    speed: Annotated[float, Field(ge=0, le=1_000_000)] = 1.0
    """1: as fast as it was recorded; 10: ten times as fast; 0: as fast as the model takes it."""
    loop: bool = False
    """Begin again at the end."""


class ReplaySource:
    """Cuts windows as mqtt_sensor does, and hands each out when its last sample is due."""

    capture: Capture = "inline"

    def __init__(self, options: Options, context: SourceContext, shape: WindowPreprocess) -> None:
        self._options = options
        self._path: Path = context.folder / options.file
        self._counters = context.counters
        self._columns = [options.channels.get(name, name) for name in shape.channels]
        self._period_ns = round(1e9 / shape.rate_hz)
        timing = Timing(
            clock="index" if options.time_column is None else "event",
            tolerance_ns=round((options.tolerance_ms or 0.0) * 1e6),
            rate_tolerance=options.rate_tolerance,
        )
        windower = Windower(shape, timing, context.counters)
        # Recorded times, or for rows without any the place in the recording, both in one field.
        self._stream = SensorStream(shape, windower, utc=True, origin=self._path.name)
        self._schedule = Schedule(options.speed)
        self._blocks: Iterator[Block] = iter(())
        self._done: deque[Window | BadInput] = deque()
        self._rows = 0
        self._unit: str | None = None
        self._ended = False
        self._closed = threading.Event()

    def connect(self) -> None:
        """Open the recording, from its beginning. Raises NotConnected."""
        self._restart()
        try:
            self._read_block()
        except BadInput as error:
            raise NotConnected(str(error)) from None

    def read(self, timeout_s: float) -> Window | None:
        """Return the next window, or None when it is not due within `timeout_s`.

        Raises NotConnected, BadInput and EndOfStream.
        """
        while not self._done and not self._ended and not self._closed.is_set():
            self._read_block()
        if self._closed.is_set() or not self._done:
            raise EndOfStream(f"{self._path.name}: no more samples")
        window = self._done[0]
        if isinstance(window, BadInput):
            self._done.popleft()
            raise window
        self._counters.silent_from_s = due_s = self._schedule.due_s(window.captured_ns)
        if not is_due(due_s, timeout_s, self._closed):
            if self._closed.is_set():
                raise EndOfStream(f"{self._path.name}: closed")
            return None
        self._done.popleft()
        timed = self._options.time_column is not None
        return replace(
            window,
            captured_ns=window.captured_ns if timed else time.time_ns(),
            captured_mono_ns=time.monotonic_ns(),
        )

    def close(self) -> None:
        """Hand out nothing more: nobody waits for the rest of a recording."""
        self._closed.set()

    def _restart(self) -> None:
        self._blocks = read_recording(self._path, _layout(self._options), self._columns)
        self._stream.new_series()
        self._schedule.restart()
        self._ended = False

    def _read_block(self) -> None:
        """Cut the windows of the next block, or come to the end."""
        block = next(self._blocks, None)
        if block is None:
            self._ended = not (self._options.loop and self._rows)
            if not self._ended:
                self._restart()
            return
        if block.unit != self._unit:
            self._unit = block.unit
            self._schedule.restart()
        if block.times_ns is None:
            with np.errstate(over="ignore"):  # beyond float32 is infinite; the windower drops that
                rows = block.values.astype(np.float32)
            self._schedule.start_at(self._rows * self._period_ns)
            self._rows += len(rows)
            last_ns = (self._rows - 1) * self._period_ns
            self._done += self._stream.push(0, rows, last_ns, block.unit)
            return
        self._rows += len(block.values)
        for row, time_ns in zip(block.values.tolist(), block.times_ns.tolist(), strict=True):
            self._schedule.start_at(time_ns)
            self._done += self._stream.push(0, row, time_ns, block.unit)


def create(options: Options, context: SourceContext) -> ReplaySource:
    """Build the source; opens nothing yet. Raises ConfigError when the model wants pictures."""
    if context.window is None:
        raise ConfigError([FieldError("/source/kind", "kind", "the model takes pictures")])
    return ReplaySource(options, context, context.window)


def _layout(options: Options) -> RecordingLayout:
    return RecordingLayout(
        columns=options.columns,
        delimiter=options.delimiter,
        time=options.time_column,
        time_unit=options.time_unit,
        unit=options.unit_column,
    )
