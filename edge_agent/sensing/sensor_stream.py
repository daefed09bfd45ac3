"""From decoded samples to the windows of a pipeline: joined, cut, and named after their machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from edge_agent.errors import BadInput
from edge_agent.lazy import lazy_module
from edge_agent.types import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.sensing.joining import Joiner
    from edge_agent.sensing.windowing import Cut, Windower

    Rows = NDArray[np.float32]
else:
    np = lazy_module("numpy")


class SensorStream:
    """All topics of one pipeline, or one recording. One thread uses it.

    Times are UTC when the samples carry their own, else of `time.monotonic_ns`: arrival is
    measured on a clock that nobody sets, and only the finished window is given the time of day.
    `joiner` is None where all channels come together.
    """

    def __init__(
        self,
        shape: WindowPreprocess,
        windower: Windower,
        joiner: Joiner | None = None,
        *,
        utc: bool,
        origin: str = "",
    ) -> None:
        self._shape = shape
        self._windower = windower
        self._joiner = joiner
        self._utc = utc
        self._origin = origin
        self._part_id: str | None = None
        self._index = 0

    def push(
        self, topic: int, values: Sequence[float] | Rows, last_ns: int, part_id: str | None
    ) -> Sequence[Window | BadInput]:
        """Take a row (a number per channel) or rows, float32 [samples, channels], of one topic.

        `last_ns` is the time of the last row. Another part begins a new series.
        """
        if part_id != self._part_id:
            ended = self.new_series()
            self._part_id = part_id
            return (*ended, *self.push(topic, values, last_ns, part_id))
        if self._joiner is None:
            return self._cut(values, last_ns)
        if isinstance(values, np.ndarray):
            blocks = self._joiner.push(topic, values, last_ns)
            return [each for rows, time_ns in blocks for each in self._cut(rows, time_ns)]
        done: list[Window | BadInput] = []
        for joined, joined_ns in self._joiner.push_row(topic, values, last_ns):
            done += self._cut(joined, joined_ns)
        return done

    def new_series(self) -> Sequence[Window | BadInput]:
        """Begin a new series: what comes next does not follow on what came before."""
        return self._windows(self._windower.new_series())

    def _cut(self, values: Sequence[float] | Rows, last_ns: int) -> Sequence[Window | BadInput]:
        if isinstance(values, np.ndarray):
            done = self._windower.push(values, last_ns)
        else:
            done = self._windower.push_row(values, last_ns)
        return self._windows(done) if done else ()

    def _windows(self, done: Sequence[Cut | BadInput]) -> Sequence[Window | BadInput]:
        return [each if isinstance(each, BadInput) else self._window(each) for each in done]

    def _window(self, cut: Cut) -> Window:
        mono_ns = time.monotonic_ns()
        self._index += 1
        return Window(
            samples=cut.samples,
            channels=self._shape.channels,
            rate_hz=self._shape.rate_hz,
            captured_ns=cut.newest_ns if self._utc else cut.newest_ns + time.time_ns() - mono_ns,
            # When it came: latency counts from there, whatever clock the samples have.
            captured_mono_ns=mono_ns,
            index=self._index - 1,
            series=cut.series,
            first_sample=cut.first_sample,
            part_id=self._part_id,
            origin=self._origin,
        )
