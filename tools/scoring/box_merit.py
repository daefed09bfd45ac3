"""How good boxes are: average precision of each label at an overlap of one half."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_agent.pictures import boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.floating]

OVERLAP = 0.5


def average_precisions(
    found: Sequence[Array], truths: Sequence[Array], labels: int, overlap: float = OVERLAP
) -> list[float]:
    """Return the average precision of each label; NaN for one that no picture has.

    Per picture: `found` [n, 6] left, top, right, bottom, label, score; `truths` [m, 5] without the
    score. The area under the precision that is still reached at a recall (all points), as Pascal
    VOC has it since 2010.
    """
    return [_average_precision(found, truths, label, overlap) for label in range(labels)]


def f1(
    found: Sequence[Array], truths: Sequence[Array], labels: int, overlap: float = OVERLAP
) -> float:
    """Return the harmonic mean of precision and recall over all boxes of all labels."""
    hits = 0
    for those, real in zip(found, truths, strict=True):
        for label in range(labels):
            given = those[those[:, 4] == label]
            given = given[np.argsort(-given[:, 5], kind="stable")]
            hits += sum(_hits(given, real[real[:, 4] == label][:, :4], overlap))
    both = sum(len(one) for one in found) + sum(len(one) for one in truths)
    return 2 * hits / both if both else 0.0


def _average_precision(
    found: Sequence[Array], truths: Sequence[Array], label: int, overlap: float
) -> float:
    scores: list[float] = []
    hits: list[bool] = []
    total = 0
    for those, real in zip(found, truths, strict=True):
        wanted = real[real[:, 4] == label][:, :4]
        given = those[those[:, 4] == label]
        given = given[np.argsort(-given[:, 5], kind="stable")]
        total += len(wanted)
        scores += given[:, 5].tolist()
        hits += _hits(given, wanted, overlap)
    if not total:
        return float("nan")
    if not hits:
        return 0.0
    right = np.array(hits)[np.argsort(-np.array(scores), kind="stable")]
    reached = np.cumsum(right)
    recall = reached / total
    precision = reached / np.arange(1, len(right) + 1)
    still = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * still).sum())


def _hits(given: Array, wanted: Array, overlap: float) -> list[bool]:
    """Return for boxes, best first, whether each is the first one on a box that is there."""
    free = np.ones(len(wanted), bool)
    hits = []
    for box in given:
        ratio = boxes.iou(box[:4], wanted) * free if len(wanted) else np.zeros(0)
        hit = bool(len(ratio)) and float(ratio.max()) >= overlap
        if hit:
            free[int(ratio.argmax())] = False
        hits.append(hit)
    return hits
