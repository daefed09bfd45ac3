"""Whether what a model points at is where the marks of a photo are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.photos import Photo
from tools.scoring.box_merit import OVERLAP, average_precisions, f1

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tools.scoring.judged import Regions
    from tools.scoring.report import Figure

# A mark and a box are compared on a raster of so many cells, each way.
CELLS = 256


def figures(regions: Sequence[Regions], *, boxes: bool) -> Iterator[Figure]:
    """Yield how often the best region lies on a mark; for a model of `boxes` how good those are.

    A score may be right by what merely comes with a defect: this tells. Nothing without marks.
    """
    marked = [each for each in regions if each.marks]
    if not marked:
        return
    pointing = [each for each in marked if len(each.boxes)]
    hits = [_on_mark(each) for each in pointing]
    share = f"{np.mean(hits):.1%}" if hits else "none"
    yield (f"best region lies on a mark, {len(pointing)} of {len(marked)} marked photos", share)
    if boxes:
        yield from _boxes(regions)


def _boxes(regions: Sequence[Regions]) -> Iterator[Figure]:
    labels = sorted({mark.label for each in regions for mark in each.marks})
    found = [_found(each, labels) for each in regions]
    truths = [_truths(each, labels) for each in regions]
    precisions = average_precisions(found, truths, len(labels))
    for label, precision in zip(labels, precisions, strict=True):
        yield (f"average precision of boxes, {label}, overlap {OVERLAP:g}", f"{precision:.4f}")
    yield (f"the same, mean of {len(labels)} labels", f"{np.mean(precisions):.4f}")
    yield ("F1 of all boxes that are reported", f"{f1(found, truths, len(labels)):.3f}")


def _found(each: Regions, labels: Sequence[str]) -> NDArray[np.float64]:
    """Return [n, 6]: the box, its label's index, -1 for a label that no mark has, its score."""
    index = [labels.index(label) if label in labels else -1 for label in each.labels]
    return np.concatenate(
        [each.boxes[:, :4], np.array(index, float)[:, None], each.boxes[:, 4:]], axis=1
    )


def _truths(each: Regions, labels: Sequence[str]) -> NDArray[np.float64]:
    rows = [(*mark.box, labels.index(mark.label)) for mark in each.marks]
    return np.array(rows, np.float64).reshape(-1, 5)


def _on_mark(each: Regions) -> bool:
    """Return whether the box of the best region holds any of what is outlined."""
    left, top, right, bottom = each.boxes[each.boxes[:, 4].argmax(), :4] * CELLS
    down = slice(int(top), max(int(top) + 1, round(bottom)))
    across = slice(int(left), max(int(left) + 1, round(right)))
    return bool(_outlined(each)[down, across].any())


def _outlined(each: Regions) -> NDArray[np.bool_]:
    return Photo(Path(), "", "", each.marks).mask((CELLS, CELLS)) > 0
