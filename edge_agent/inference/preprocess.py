"""The manifest's word on how an item becomes a tensor: explicit, and never "optimised" here.

The transforms themselves are pure functions in image.py, features.py and spectrum.py.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.options import StrictOptions


class ImagePreprocess(StrictOptions):
    """Picture to tensor: crop to the region of interest, resize, order colours, normalise.

    value = (pixel - mean) / std per channel, pixel 0..255; then quantised as the model's input is.
    """

    kind: Literal["image"]
    resize: Literal["stretch", "letterbox", "crop"] = "stretch"
    """stretch: ignore the aspect ratio; letterbox: keep it, pad; crop: keep it, cut the centre."""
    interpolation: Literal["nearest", "linear", "area", "cubic"] = "linear"
    color: Literal["rgb", "bgr", "gray"] = "rgb"
    mean: tuple[float, ...] = (0.0,)
    """One number for all channels or one per channel, in pixel values 0..255."""
    std: tuple[Annotated[float, Field(gt=0)], ...] = (255.0,)
    pad: Annotated[int, Field(ge=0, le=255)] = 114
    """Grey value of the letterbox's border."""

    @model_validator(mode="after")
    def _counts(self) -> ImagePreprocess:
        channels = 1 if self.color == "gray" else 3
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in {1, channels}:
                raise ValueError(f"{name} must have 1 or {channels} numbers")
        return self


class Feature(StrictOptions):
    """One step of a window's way to the model; steps run in order, on [rows, columns].

    Steps on single samples (zscore, ema, delta_from_start, age) come before those that need the
    whole window (normalise, spectrum_bands): what a sample becomes cannot depend on which of the
    overlapping windows it is seen in.
    """

    def shape(self, rows: int, columns: int, rate_hz: float) -> tuple[int, int]:  # noqa: ARG002  some need it
        """Return the shape after this step; raise ValueError where it cannot follow that shape."""
        return rows, columns


class ZScore(Feature):
    """(x - mean) / std, one number per column or one for all."""

    kind: Literal["zscore"]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]

    def shape(self, rows: int, columns: int, rate_hz: float) -> tuple[int, int]:  # noqa: ARG002  the same for all
        """As it was; `mean` and `std` must fit the columns."""
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in {1, columns}:
                raise ValueError(f"zscore: {name} must have 1 or {columns} numbers")
        return rows, columns


class Normalise(Feature):
    """Each column less its own mean in this window, divided by its own deviation if `scale`."""

    kind: Literal["normalise"]
    scale: bool = True


class Ema(Feature):
    """Append the bias-corrected exponential mean of each column over the whole series."""

    kind: Literal["ema"]
    alpha: Annotated[float, Field(gt=0, le=1)]

    def shape(self, rows: int, columns: int, rate_hz: float) -> tuple[int, int]:  # noqa: ARG002  the same for all
        """Twice the columns."""
        return rows, 2 * columns


class DeltaFromStart(Feature):
    """Append each column's difference from its mean over the first `samples` of the series.

    Until the series has that many, from the mean of those so far: a stream cannot look ahead.
    """

    kind: Literal["delta_from_start"]
    samples: Annotated[int, Field(ge=1)]

    def shape(self, rows: int, columns: int, rate_hz: float) -> tuple[int, int]:  # noqa: ARG002  the same for all
        """Twice the columns."""
        return rows, 2 * columns


class Age(Feature):
    """Append a column: (samples since the series began) / per - 1, clipped to -1..1."""

    kind: Literal["age"]
    per: Annotated[float, Field(gt=0)]

    def shape(self, rows: int, columns: int, rate_hz: float) -> tuple[int, int]:  # noqa: ARG002  the same for all
        """One column more."""
        return rows, columns + 1


class SpectrumBands(Feature):
    """Replace the samples by log10 band energies of the spectrum: [bands, columns]."""

    kind: Literal["spectrum_bands"]
    edges_hz: Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2)]
    """Band i reaches from edges_hz[i] to edges_hz[i + 1]."""
    envelope_hz: tuple[float, float] | None = None
    """Take the spectrum of the envelope of this frequency band, not of the signal: for bearings,
    whose defects ring a resonance far above the rate at which they pass."""

    def shape(self, rows: int, columns: int, rate_hz: float) -> tuple[int, int]:
        """One row per band; no band may be narrower than the spectrum resolves."""
        resolution_hz = rate_hz / rows
        widths = [high - low for low, high in pairwise(self.edges_hz)]
        if min(widths) < resolution_hz * (1 - 1e-9):
            raise ValueError(f"spectrum_bands: edges_hz must rise by {resolution_hz:g} or more")
        low, high = self.envelope_hz or (0.0, rate_hz / 2)
        if not 0 <= low < high <= rate_hz / 2 or self.edges_hz[-1] > rate_hz / 2:
            raise ValueError(f"spectrum_bands: frequencies must lie within 0..{rate_hz / 2:g}")
        return len(widths), columns


AnyFeature = Annotated[
    ZScore | Normalise | Ema | DeltaFromStart | Age | SpectrumBands, Field(discriminator="kind")
]


class WindowPreprocess(StrictOptions):
    """Samples to tensor: which channels, how many samples, how often, and the features."""

    kind: Literal["window"]
    channels: Annotated[tuple[str, ...], Field(min_length=1)]
    samples: Annotated[int, Field(ge=1, le=1_000_000)]
    hop: Annotated[int, Field(ge=1)]
    rate_hz: Annotated[float, Field(gt=0)]
    pad: Literal["none", "edge"] = "none"
    """edge: while a series is shorter than a window, repeat its first sample in front."""
    features: tuple[AnyFeature, ...] = ()

    @property
    def output_shape(self) -> tuple[int, int]:
        """Return [rows, columns] of the features of one window."""
        rows, columns = self.samples, len(self.channels)
        for step in self.features:
            rows, columns = step.shape(rows, columns, self.rate_hz)
        return rows, columns

    @model_validator(mode="after")
    def _steps_fit(self) -> WindowPreprocess:
        _ = self.output_shape
        whole = [isinstance(step, Normalise | SpectrumBands) for step in self.features]
        late = [
            step.kind
            for index, step in enumerate(self.features)
            if isinstance(step, Ema | DeltaFromStart | Age) and any(whole[:index])
        ]
        if late:
            raise ValueError(f"features: {late[0]} must come before normalise and spectrum_bands")
        every = any(isinstance(step, Ema | DeltaFromStart) for step in self.features)
        if every and self.hop > self.samples:
            raise ValueError("hop must not exceed samples: ema and delta_from_start need every one")
        return self


Preprocess = Annotated[ImagePreprocess | WindowPreprocess, Field(discriminator="kind")]
