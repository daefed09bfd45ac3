"""One labelled photo: where it lies, what it shows, and what it must not be parted from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_agent.pictures import image
from edge_agent.types import Frame

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Fractions of a pixel that OpenCV's fillPoly is told: 4 bits.
SHIFT = 4


@dataclass(frozen=True, slots=True)
class Mark:
    """An outlined region: `points` are (x, y) as shares 0..1 of the picture's width and height."""

    label: str
    points: tuple[tuple[float, float], ...]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom, 0..1."""
        across, down = zip(*self.points, strict=True)
        return min(across), min(down), max(across), max(down)


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and what is known of it.

    `label`: its class; in layouts that outline regions that of the first region, or the label of
    good photos where there is none. `group`: photos of one group never get into different parts
    of a split. `part`: "train", "validation" or "test" where the data come with a split, else "".
    """

    path: Path
    label: str
    group: str
    marks: tuple[Mark, ...] = ()
    part: str = ""

    def frame(self) -> Frame:
        """Return the picture as the agent gets it. Raises BadInput."""
        return Frame(image.decode(self.path.read_bytes()), 0, 0, 0, origin=self.path.name)

    def boxes(self, labels: tuple[str, ...]) -> NDArray[np.float32]:
        """Return [n, 5]: left, top, right, bottom, 0..1, and the index of the label."""
        rows = [(*mark.box, labels.index(mark.label)) for mark in self.marks]
        return np.array(rows, np.float32).reshape(-1, 5)

    def mask(self, size: tuple[int, int], label: str | None = None) -> NDArray[np.uint8]:
        """Return uint8 [height, width]: 255 times the share of each pixel that lies in a mark.

        With `label`, in marks of that label alone.
        """
        height, width = size
        fine = 4  # drawn so many times finer, then averaged
        canvas = np.zeros((height * fine, width * fine), np.uint8)
        scale = np.array([width * fine, height * fine]) * 2**SHIFT
        for mark in self.marks:
            if label in {None, mark.label}:
                outline = np.rint(np.array(mark.points) * scale).astype(np.int32)
                cv2.fillPoly(canvas, [outline], 255, shift=SHIFT)
        shrunk: Any = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(shrunk, np.uint8)


def rectangle(label: str, left: float, top: float, right: float, bottom: float) -> Mark:
    """Return a box as a mark."""
    return Mark(label, ((left, top), (right, top), (right, bottom), (left, bottom)))
