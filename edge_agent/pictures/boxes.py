"""Boxes as arrays: [n, 4] left, top, right, bottom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Boxes = NDArray[np.floating]
else:
    np = lazy_module("numpy")


def from_centres(boxes: Boxes) -> Boxes:
    """Return boxes given as centre x, centre y, width, height."""
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def iou(box: Boxes, others: Boxes) -> Boxes:
    """Return the intersection of `box` [4] with each of `others` [n, 4], over their union: [n]."""
    overlap = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    intersection = np.prod(np.maximum(overlap, 0.0), axis=1)
    area = np.prod(box[2:] - box[:2])
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = np.maximum(area + areas - intersection, np.finfo(np.float32).tiny)
    ratio: Boxes = intersection / union
    return ratio


def suppress(
    boxes: Boxes, scores: Boxes, classes: NDArray[np.integer], iou_max: float, count_max: int
) -> NDArray[np.intp]:
    """Return the indices of the boxes to keep, best score first: non-maximum suppression.

    Of two boxes of one class that overlap by more than `iou_max`, the better one stays; boxes of
    different classes do not meet. At most `count_max` are kept. Equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < count_max:
        best, order = order[0], order[1:]
        kept.append(int(best))
        rivals = classes[order] == classes[best]
        rivals &= iou(boxes[best], boxes[order]) > iou_max
        order = order[~rivals]
    return np.array(kept, dtype=np.intp)
