"""How much of a picture may leave the gateway: pure functions on boxes and pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.pictures import image

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.types import Defect
    from edge_agent.upload.options import UploadOptions

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Pixels uint8 [h, w, 3] BGR, and where their top left corner lies in the original."""

    pixels: NDArray[np.uint8]
    left: int
    top: int


def excerpt(
    pixels: NDArray[np.uint8], defects: Iterable[Defect], roi: Box | None, options: UploadOptions
) -> Excerpt | None:
    """Return what may be sent of a picture, None where nothing may."""
    height, width = pixels.shape[:2]
    inspected = roi or (0, 0, width, height)
    if options.picture == "whole":
        return _cut(pixels, inspected)
    box = region(defects, inspected, options.margin_px) or roi
    if box is None:
        return None
    if options.picture == "crop":
        return _cut(pixels, box)
    return Excerpt(image.coarse_outside(pixels, box), 0, 0)


def region(defects: Iterable[Defect], inside: Box, margin_px: int) -> Box | None:
    """Return the box around all defects with a margin, within `inside`; None without any there."""
    found = [d for d in defects if all(map(math.isfinite, (d.x, d.y, d.w, d.h)))]
    if not found:
        return None
    x, y, w, h = inside
    left = max(x, math.floor(min(d.x for d in found)) - margin_px)
    top = max(y, math.floor(min(d.y for d in found)) - margin_px)
    right = min(x + w, math.ceil(max(d.x + d.w for d in found)) + margin_px)
    bottom = min(y + h, math.ceil(max(d.y + d.h for d in found)) + margin_px)
    if right <= left or bottom <= top:
        return None
    return left, top, right - left, bottom - top


def _cut(pixels: NDArray[np.uint8], box: Box) -> Excerpt:
    left, top, width, height = box
    return Excerpt(pixels[top : top + height, left : left + width], left, top)
