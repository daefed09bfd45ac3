"""The values that travel from capture to verdict: all frozen, none with behaviour of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Tensors = Mapping[str, NDArray[np.generic]]

Outcome = Literal["pass", "fail", "uncertain", "error"]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture.

    `pixels`: uint8 [height, width, 3], BGR. `captured_ns`: UTC, nanoseconds since 1970, when the
    picture was taken or, where the source does not know, when it arrived. `captured_mono_ns`: the
    same instant on `time.monotonic_ns`. `index` counts the source's items from 0, dropped ones
    too. `origin` names the file or topic it came from.
    """

    pixels: NDArray[np.uint8]
    captured_ns: int
    captured_mono_ns: int
    index: int
    part_id: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A run of samples without a gap, all channels on one clock.

    `samples`: float32 [samples, channels]. `captured_ns` and `captured_mono_ns`: of the newest
    sample. `first_sample` counts samples since the series began (a gap or a new asset begins a
    new series, and `series` then grows by one), so that `first_sample == 0` is a fresh start.
    Below 0 it is the number of rows in front that only repeat the first sample (`pad = "edge"`).
    """

    samples: NDArray[np.float32]
    channels: tuple[str, ...]
    rate_hz: float
    captured_ns: int
    captured_mono_ns: int
    index: int
    series: int = 0
    first_sample: int = 0
    part_id: str | None = None
    origin: str = ""


Item = Frame | Window


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A model's input or output. A dimension that may vary is -1. `scale` 0.0: not quantised.

    real value = scale * (stored value - zero_point)
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True, slots=True)
class Defect:
    """A region, in pixels of the original picture: left, top, width, height; score 0..1."""

    label: str
    score: float
    x: float
    y: float
    w: float
    h: float


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a model says of one item, before any rule.

    `score` is what rules compare: the higher the worse for defects and anomalies (0..1 or in the
    unit of the calibration); for a regression it is the value itself, in `unit`. `label`: the
    most likely class or "". `reject_label`: what it is put down to if the item does not pass, where
    that may be another one; None: `label`. `heatmap`: float32 [h, w] over the whole picture, 0..1,
    or None.
    """

    score: float
    label: str = ""
    unit: str = ""
    defects: tuple[Defect, ...] = ()
    heatmap: NDArray[np.float32] | None = None
    reject_label: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A rule's answer: the outcome and the threshold that decided it."""

    outcome: Outcome
    threshold: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """One inspected item, as a worker hands it over; `seq` and `replay` come from the outbox.

    Times in UTC nanoseconds; `latency_ns` from capture to decision. `reason` says why an outcome
    is `error`, in words. `evidence` names the file kept for it, relative to the evidence folder,
    or "". `recipe`: the product variant, or "" for the pipeline's own model.
    """

    id: str
    pipeline: str
    family: Literal["qc", "pdm"]
    part_id: str | None
    outcome: Outcome
    score: float
    threshold: float
    unit: str
    label: str
    defects: tuple[Defect, ...]
    model: str
    model_version: str
    model_sha256: str
    config_rev: int
    captured_ns: int
    decided_ns: int
    latency_ns: int
    accelerator: str
    reason: str = ""
    evidence: str = ""
    recipe: str = ""
