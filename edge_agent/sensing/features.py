"""From a window of samples to what a model reads: the features of a manifest, step by step.

Training calls this very code, window by window, so that training and serving cannot differ.

Some steps depend on the whole series (ema, delta_from_start). Their state moves forward once per
new sample, and what each sample became is kept for as long as it lies in the window:

    window 1   |0 1 2 3|          0 1 2 3 are new
    window 2     |2 3 4 5|        4 5 are new; 2 3 are taken as they were
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from edge_agent.errors import BadInput
from edge_agent.inference.preprocess import (
    Age,
    DeltaFromStart,
    Ema,
    Normalise,
    SpectrumBands,
    ZScore,
)
from edge_agent.lazy import lazy_module
from edge_agent.sensing import spectrum

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import AnyFeature, WindowPreprocess
    from edge_agent.types import Window

    Array = NDArray[np.floating]
    WholeStep = Callable[[Array], Array]
else:
    np = lazy_module("numpy")

# A column that does not move in a window is divided by this instead of by 0.
SMALLEST_STD = 1e-6


class WindowFeatures:
    """Applies the features of one model to the windows of one stream, in order."""

    def __init__(self, preprocess: WindowPreprocess) -> None:
        self._preprocess = preprocess
        split = _first_whole(preprocess.features)
        self._sample_options = preprocess.features[:split]
        self._whole = [_whole_step(step, preprocess) for step in preprocess.features[split:]]
        remembering = (Ema, DeltaFromStart)
        self._remembers = any(isinstance(step, remembering) for step in preprocess.features)
        self._series: int | None = None
        self._next_sample = 0
        self._steps: list[_SampleStep] = []
        self._rows: Array = np.empty((0, 0))

    def apply(self, window: Window) -> NDArray[np.float32]:
        """Return the features of `window`: float32 [rows, columns].

        State starts afresh when the series changes or a sample is missing between this window and
        the last. Raises BadInput (`channels`, `shape`, `nan`); the state is then as it was.
        """
        self._check(window)
        padding = max(0, -window.first_sample)
        begin = window.first_sample + padding
        end = window.first_sample + len(window.samples)
        follows = window.series == self._series and begin <= self._next_sample <= end
        if not (self._remembers and follows):
            self._start(window.series, begin)
        fresh = window.samples[len(window.samples) - (end - self._next_sample) :]
        self._advance(fresh)
        features = self._rows
        if padding:
            features = np.concatenate([np.repeat(features[:1], padding, axis=0), features])
        for step in self._whole:
            features = step(features)
        return features.astype(np.float32)

    def _check(self, window: Window) -> None:
        preprocess = self._preprocess
        if window.channels != preprocess.channels:
            raise BadInput("channels", f"{window.channels} instead of {preprocess.channels}")
        if window.samples.shape != (preprocess.samples, len(preprocess.channels)):
            raise BadInput("shape", f"{window.samples.shape}")
        if not np.isfinite(window.samples).all():
            raise BadInput("nan", "a sample is not a finite number")

    def _start(self, series: int, first_sample: int) -> None:
        self._series = series
        self._next_sample = first_sample
        self._steps = [_sample_step(step) for step in self._sample_options]
        self._rows = np.empty((0, 0))

    def _advance(self, fresh: Array) -> None:
        """Take samples that were not seen before, and let go of those that left the window."""
        rows: Array = fresh.astype(np.float64)
        for step in self._steps:
            rows = step.advance(rows, self._next_sample)
        self._next_sample += len(fresh)
        kept = np.concatenate([self._rows, rows]) if len(self._rows) else rows
        self._rows = kept[-self._preprocess.samples :]


class _SampleStep(Protocol):
    def advance(self, rows: Array, first_sample: int) -> Array:
        """Return what the next samples of the series become: [rows, more columns]."""


class _ZScoreStep:
    def __init__(self, options: ZScore) -> None:
        self._mean = np.asarray(options.mean)
        self._std = np.asarray(options.std)

    def advance(self, rows: Array, first_sample: int) -> Array:  # noqa: ARG002  as every step
        scaled: Array = (rows - self._mean) / self._std
        return scaled


class _EmaStep:
    """Bias correction as in Adam (Kingma and Ba 2015, section 3): divided by 1 - (1 - alpha)^n."""

    def __init__(self, options: Ema) -> None:
        self._alpha = options.alpha
        self._weight = 0.0
        self._mean: Array | float = 0.0

    def advance(self, rows: Array, first_sample: int) -> Array:  # noqa: ARG002  as every step
        smooth = np.empty_like(rows)
        for index, row in enumerate(rows):
            self._mean = self._mean + self._alpha * (row - self._mean)
            self._weight += self._alpha * (1.0 - self._weight)
            smooth[index] = self._mean / self._weight
        return np.concatenate([rows, smooth], axis=1)


class _DeltaStep:
    def __init__(self, options: DeltaFromStart) -> None:
        self._samples = options.samples
        self._count = 0
        self._sum: Array | float = 0.0

    def advance(self, rows: Array, first_sample: int) -> Array:  # noqa: ARG002  as every step
        early = rows[: self._samples - self._count]
        sums = self._sum + np.cumsum(early, axis=0)
        counts = self._count + np.arange(1, len(early) + 1)
        means = sums / counts[:, None]
        if len(early):
            self._sum, self._count = sums[-1], self._count + len(early)
        later = np.broadcast_to(self._sum / self._count, rows[len(early) :].shape)
        return np.concatenate([rows, rows - np.concatenate([means, later])], axis=1)


class _AgeStep:
    def __init__(self, options: Age) -> None:
        self._per = options.per

    def advance(self, rows: Array, first_sample: int) -> Array:
        since = np.arange(first_sample, first_sample + len(rows))
        age = np.clip(since / self._per - 1.0, -1.0, 1.0)
        return np.concatenate([rows, age[:, None]], axis=1)


def _sample_step(options: AnyFeature) -> _SampleStep:
    match options:
        case ZScore():
            return _ZScoreStep(options)
        case Ema():
            return _EmaStep(options)
        case DeltaFromStart():
            return _DeltaStep(options)
        case Age():
            return _AgeStep(options)
    raise AssertionError(options.kind)  # preprocess.py keeps steps on whole windows out of here


def _first_whole(steps: tuple[AnyFeature, ...]) -> int:
    whole = (i for i, step in enumerate(steps) if isinstance(step, Normalise | SpectrumBands))
    return next(whole, len(steps))


def _whole_step(options: AnyFeature, preprocess: WindowPreprocess) -> WholeStep:
    match options:
        case Normalise():
            return lambda rows: _normalise(rows, scale=options.scale)
        case SpectrumBands():
            layout = spectrum.bands(preprocess.samples, preprocess.rate_hz, options.edges_hz)
            return lambda rows: _bands(rows, layout, options, preprocess.rate_hz)
        case ZScore():
            step = _ZScoreStep(options)
            return lambda rows: step.advance(rows, 0)
    raise AssertionError(options.kind)  # preprocess.py keeps steps on samples before these


def _normalise(rows: Array, *, scale: bool) -> Array:
    normal: Array = rows - rows.mean(axis=0)
    if scale:
        normal = normal / np.maximum(rows.std(axis=0), SMALLEST_STD)
    return normal


def _bands(rows: Array, layout: spectrum.Bands, options: SpectrumBands, rate_hz: float) -> Array:
    if options.envelope_hz is not None:
        rows = spectrum.envelope(rows, rate_hz, options.envelope_hz)
    return spectrum.band_energies(rows, layout)
