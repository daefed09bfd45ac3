"""A picture in six numbers, from a few thousand of its pixels: cheap enough for every picture.

brightness  mean grey value, 0..255
contrast    standard deviation of the grey values
sharpness   mean difference of neighbours / mean difference of pixels 8 apart: about 0.1 for a
            soft picture, 1 for noise; by how much light there is, it does not change
balance_x   where the brightness lies, -1 left .. 1 right: moves when the camera does
balance_y   the same, -1 top .. 1 bottom
mark        a checksum: the same for the same pixels
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Rect = tuple[int, int, int, int]
else:
    np = lazy_module("numpy")

# The grid of pixels that stand for all of them, and the rows looked at in full.
GRID_ROWS, GRID_COLUMNS = 48, 64
SHARP_ROWS = 16
# Neighbours of a blurred edge differ as little as those of a plain; 8 pixels apart they do not.
APART = 8
# Below this a picture is plain, and how sharp it is cannot be said.
COARSE_MIN = 1.0
GREEN = 1  # of BGR: the greater part of what an eye sees as bright, and no sum to be made


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """See the module; `sharpness` is None where the picture is too plain to tell."""

    brightness: float
    contrast: float
    sharpness: float | None
    balance_x: float
    balance_y: float


def mark(pixels: Pixels) -> int:
    """Return a checksum of a grid of `pixels`, uint8 [height, width, 3]."""
    return zlib.crc32(_grid(pixels).tobytes())


def measure(pixels: Pixels, roi: Rect | None = None) -> PictureFigures:
    """Return the figures of BGR `pixels`, uint8 [height, width, 3], or of the part `roi` of them.

    `roi`: left, top, width, height. What of it lies outside of the picture is left out.
    """
    if roi is not None:
        left, top, width, height = roi
        inside = pixels[top : top + height, left : left + width]
        pixels = inside if inside.size else pixels
    grid = _grid(pixels).astype(np.float32)
    columns, rows = grid.mean(axis=0), grid.mean(axis=1)
    brightness = float(rows.mean())
    return PictureFigures(
        brightness=brightness,
        contrast=float(grid.std()),
        sharpness=_sharpness(pixels),
        balance_x=_centre(columns),
        balance_y=_centre(rows),
    )


def _grid(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    return pixels[:: max(1, height // GRID_ROWS), :: max(1, width // GRID_COLUMNS), GREEN]


def _sharpness(pixels: Pixels) -> float | None:
    height, width = pixels.shape[:2]
    if width <= APART:
        return None
    rows = pixels[:: max(1, height // SHARP_ROWS), :, GREEN].astype(np.int16)
    coarse = float(np.abs(rows[:, APART:] - rows[:, :-APART]).mean())
    if coarse < COARSE_MIN:
        return None
    return float(np.abs(rows[:, 1:] - rows[:, :-1]).mean()) / coarse


def _centre(values: NDArray[np.float32]) -> float:
    """Return the centre of gravity of `values`, -1 at the first, 1 at the last."""
    total = float(values.sum())
    if total <= 0.0 or len(values) == 1:
        return 0.0
    return float(values @ np.linspace(-1.0, 1.0, len(values), dtype=np.float32)) / total
