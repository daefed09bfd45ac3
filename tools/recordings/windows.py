"""Series to windows and features, cut and made by the agent's own code: serving sees the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.metrics import Counters
from edge_agent.sensing.features import WindowFeatures
from edge_agent.sensing.windowing import Cut, Timing, Windower
from edge_agent.types import Window
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tools.recordings.series import Recording, Series

    Array = NDArray[np.float32]

# A column that hardly moves in the training part would be blown up by its deviation.
SMALLEST_STD = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Windows of several series.

    `inputs`: float32 [windows, rows, columns], features. `newest`: int64 [windows], the row of the
    newest sample in its series. `series`: int64 [windows], which of the series.
    """

    inputs: Array
    newest: NDArray[np.int64]
    series: NDArray[np.int64]

    def only(self, kept: NDArray[np.bool_]) -> Examples:
        """Return some of the windows."""
        return Examples(self.inputs[kept], self.newest[kept], self.series[kept])


def window_shape(
    channels: Sequence[str],
    samples: int,
    hop: int,
    rate_hz: float,
    features: Sequence[dict[str, Any]],
    *,
    padded: bool = False,
) -> WindowPreprocess:
    """Return the manifest's `preprocess`; raises pydantic's ValidationError where it cannot be."""
    return WindowPreprocess.model_validate(
        {
            "kind": "window",
            "channels": tuple(channels),
            "samples": samples,
            "hop": hop,
            "rate_hz": rate_hz,
            "pad": "edge" if padded else "none",
            "features": tuple(features),
        }
    )


def zscore(series: Sequence[Series]) -> dict[str, Any]:
    """Return the feature that scales each channel by mean and deviation of these series."""
    rows = np.concatenate([each.values for each in series])
    mean, std = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
    return {
        "kind": "zscore",
        "mean": tuple(float(f"{value:.8g}") for value in mean),
        "std": tuple(float(f"{max(value, SMALLEST_STD):.5g}") for value in std),
    }


def windows(series: Series, shape: WindowPreprocess, number: int = 0) -> Iterator[Window]:
    """Yield the windows of a series; none reaches across a hole.

    `captured_ns` is the row of the newest sample, so that its target can be found.
    """
    windower = Windower(shape, Timing("index"), Counters())
    period_ns = round(1e9 / shape.rate_hz)
    rows = series.values.astype(np.float32)
    found = windower.push(rows, (len(rows) - 1) * period_ns)
    for index, cut in enumerate(each for each in found if isinstance(each, Cut)):
        yield Window(
            samples=cut.samples,
            channels=shape.channels,
            rate_hz=shape.rate_hz,
            captured_ns=round(cut.newest_ns / period_ns),
            captured_mono_ns=0,
            index=index,
            # A hole ends a series for the windower, too: numbers must differ from the next one's.
            series=(number << 32) + cut.series,
            first_sample=cut.first_sample,
        )


def examples(recording: Sequence[Series], shape: WindowPreprocess) -> Examples:
    """Return the features of all windows of these series; raise DataUnfit where there are none."""
    inputs, newest, numbers = [], [], []
    for number, series in enumerate(recording):
        features = WindowFeatures(shape)
        for window in windows(series, shape, number):
            inputs.append(features.apply(window))
            newest.append(window.captured_ns)
            numbers.append(number)
    if not inputs:
        names = ", ".join(sorted({series.file for series in recording})[:5])
        raise DataUnfit(f"{names}: no window of {shape.samples} rows fits")
    return Examples(np.stack(inputs), np.array(newest), np.array(numbers))


def targets(found: Examples, recording: Sequence[Series]) -> NDArray[Any]:
    """Return the target at the newest row of each window."""
    values = []
    for row, number in zip(found.newest.tolist(), found.series.tolist(), strict=True):
        target = recording[number].target
        if target is None:
            raise ValueError(f"{recording[number].file} was read without a target")
        values.append(target[row])
    return np.array(values)


def in_stretches(recording: Recording, count: int) -> list[Series]:
    """Return every series cut into `count` stretches in time, each a group of its own.

    For a single recording: no window reaches from one stretch into the next, so nothing leaks but
    what a machine has in common with itself.
    """
    parts = []
    for series in recording.series:
        edges = np.linspace(0, len(series.values), count + 1).astype(int).tolist()
        parts += [
            replace(series.rows(slice(start, stop)), group=f"{series.group} {number}/{count}")
            for number, (start, stop) in enumerate(pairwise(edges), start=1)
        ]
    return parts
