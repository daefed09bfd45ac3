"""From regions and boxes to the defects of a prediction, in pixels of the original picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module
from edge_agent.pictures.image import regions
from edge_agent.types import Defect, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.pictures.geometry import Geometry
else:
    np = lazy_module("numpy")


def defects_in(
    plane: NDArray[np.float32], threshold: float, geometry: Geometry, label: str, min_area: float
) -> list[Defect]:
    """Return a defect for each region of `plane` with values of at least `threshold`.

    `plane`: [h, w] over the part of the picture that is inspected. `min_area`: in pixels of the
    picture. The score is the mean value in the region, at most 1.
    """
    cell_area = geometry.source[2] * geometry.source[3] / plane.size
    found = [r for r in regions(plane, threshold) if r.area * cell_area >= min_area]
    if not found:
        return []
    edges = np.array([(r.left, r.top, r.left + r.width, r.top + r.height) for r in found])
    boxes = geometry.cells_to_picture(edges, plane.shape)
    return [
        defect(label, min(1.0, region.mean), box) for region, box in zip(found, boxes, strict=True)
    ]


def defect(label: str, score: float, box: NDArray[np.float64]) -> Defect:
    """Return the defect in `box`: left, top, right, bottom."""
    left, top, right, bottom = (float(edge) for edge in box)
    return Defect(label, float(score), left, top, right - left, bottom - top)


def worst(
    found: Iterable[Defect], count_max: int, heatmap: NDArray[np.float32] | None = None
) -> Prediction:
    """Return a prediction of the `count_max` defects with the highest scores, the highest first.

    Its score and label are those of the first one; 0 and "" where there is none.
    """
    kept = tuple(sorted(found, key=lambda one: -one.score)[:count_max])
    if not kept:
        return Prediction(score=0.0, heatmap=heatmap)
    return Prediction(score=kept[0].score, label=kept[0].label, defects=kept, heatmap=heatmap)
