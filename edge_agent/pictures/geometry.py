"""Where a picture lies in a model's input, and the way back from there to the picture.

    picture                      model input
    +------------------+         +------------+
    |   source         |         |  padding   |
    |   +--------+     |  ---->  +------------+
    |   |        |     |         |   target   |
    |   +--------+     |         +------------+
    +------------------+         +------------+

Edges of a picture are counted, not centres of pixels: a picture of width 4 reaches from 0 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_agent.errors import BadInput
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

Resize = Literal["stretch", "letterbox", "crop"]
Size = tuple[int, int]  # width, height
Rect = tuple[int, int, int, int]  # left, top, width, height


@dataclass(frozen=True, slots=True)
class Geometry:
    """The part `source` of a picture fills the part `target` of a model's input; all in pixels."""

    picture: Size
    source: Rect
    model: Size
    target: Rect

    def boxes_to_picture(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return boxes of the model's input in pixels of the picture, clipped to `source`.

        `boxes`: [n, 4] left, top, right, bottom.
        """
        return _map_boxes(boxes, self.target, self.source)

    def cells_to_picture(
        self, boxes: NDArray[np.floating], cells: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Return boxes of a plane that `cut` gave, [height, width] = `cells`, in the picture."""
        return _map_boxes(boxes, (0, 0, cells[1], cells[0]), self.source)

    def cut(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the part of a model's map that covers `source`, without the padding.

        `plane`: [h, w] over the whole input, in any resolution.
        """
        height, width = plane.shape
        left, top, right, bottom = _edges(self.target)
        x_step, y_step = self.model[0] / width, self.model[1] / height
        x0, x1 = _span(left / x_step, right / x_step, width)
        y0, y1 = _span(top / y_step, bottom / y_step, height)
        return plane[y0:y1, x0:x1]


def fit(resize: Resize, picture: Size, model: Size, roi: Rect | None = None) -> Geometry:
    """Return where `picture`, or the part `roi` of it, goes in an input of size `model`.

    stretch: the aspect ratio is ignored; letterbox: it is kept, and the picture lies in the middle
    of the input; crop: it is kept, and what is too wide or too high is cut at both ends. Raises
    BadInput("roi") where `roi` is not inside the picture.
    """
    source = (0, 0, *picture) if roi is None else _checked(roi, picture)
    whole = (0, 0, *model)
    if resize == "letterbox":
        return Geometry(picture, source, model, _letterbox(source, model))
    if resize == "crop":
        return Geometry(picture, _centre_crop(source, model), model, whole)
    return Geometry(picture, source, model, whole)


def _checked(roi: Rect, picture: Size) -> Rect:
    left, top, width, height = roi
    inside = left >= 0 and top >= 0 and left + width <= picture[0] and top + height <= picture[1]
    if width < 1 or height < 1 or not inside:
        raise BadInput("roi", f"{roi} is not inside a picture of {picture[0]}x{picture[1]}")
    return roi


def _letterbox(source: Rect, model: Size) -> Rect:
    _, _, width, height = source
    scale = min(model[0] / width, model[1] / height)
    new_width = min(model[0], max(1, round(width * scale)))
    new_height = min(model[1], max(1, round(height * scale)))
    return ((model[0] - new_width) // 2, (model[1] - new_height) // 2, new_width, new_height)


def _centre_crop(source: Rect, model: Size) -> Rect:
    left, top, width, height = source
    scale = max(model[0] / width, model[1] / height)
    new_width = min(width, max(1, round(model[0] / scale)))
    new_height = min(height, max(1, round(model[1] / scale)))
    return (
        left + (width - new_width) // 2,
        top + (height - new_height) // 2,
        new_width,
        new_height,
    )


def _map_boxes(boxes: NDArray[np.floating], old: Rect, new: Rect) -> NDArray[np.float64]:
    scale = np.array((new[2] / old[2], new[3] / old[3]) * 2)
    low, high = np.array(new[:2] * 2), np.array(_edges(new)[2:] * 2)
    moved: NDArray[np.float64] = (boxes - np.array(old[:2] * 2)) * scale + low
    return np.clip(moved, low, high)


def _edges(rect: Rect) -> tuple[int, int, int, int]:
    left, top, width, height = rect
    return (left, top, left + width, top + height)


def _span(begin: float, end: float, size: int) -> tuple[int, int]:
    """Return whole cells from `begin` to `end`: at least one, inside 0..size."""
    first = min(round(begin), size - 1)
    return first, max(first + 1, min(round(end), size))
