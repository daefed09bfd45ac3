"""A small detector: cells of 8 x 8 pixels, each of which may be the middle of a box.

Like CenterNet (Zhou et al., "Objects as Points", 2019) with FCOS's distances (Tian et al., 2019):
a cell says how likely each label is there, and how far the four sides of its box are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tools.training.photo_nets import DEPTHS, WIDTHS, trunk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

CELL = 8
FINE, COARSE = DEPTHS[8], DEPTHS[16]
HIDDEN = 64
# Cells whose middle lies within so much of a box's size of its middle are taught the box.
NEAR = 0.25
# Focal loss (Lin et al., 2017), as CenterNet has it.
FOCUS, FALL = 2.0, 4.0
BOXES_WEIGHT = 1.0


class Detector(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """[n, 3, h, w] to logits and distances of each cell: [n, labels + 4, rows, columns].

    The last four: how far left, top, right, bottom are, 0..1 of half the picture's size.
    """

    def __init__(self, size: tuple[int, int], labels: int) -> None:
        super().__init__()
        layers = list(trunk(COARSE, size))
        self.fine = nn.Sequential(*layers[: FINE + 3])
        self.coarse = nn.Sequential(*layers[FINE + 3 :])
        self.from_fine = nn.Conv2d(WIDTHS[FINE - 1], HIDDEN, 1)
        self.from_coarse = nn.Conv2d(WIDTHS[COARSE - 1], HIDDEN, 1, bias=False)
        self.neck = nn.Sequential(
            nn.BatchNorm2d(HIDDEN),
            nn.ReLU6(),
            nn.Conv2d(HIDDEN, HIDDEN, 3, 1, 1, bias=False),
            nn.BatchNorm2d(HIDDEN),
            nn.ReLU6(),
        )
        self.classes = nn.Conv2d(HIDDEN, labels, 1)
        self.sides = nn.Conv2d(HIDDEN, 4, 1)
        nn.init.constant_(self.classes.bias, -4.0)  # middles of boxes are rare
        nn.init.constant_(self.sides.bias, -2.0)

    def forward(self, pictures: Any) -> Any:  # noqa: ANN401
        """Return what each cell says."""
        return torch.cat(self.heads(pictures), 1)

    def heads(self, pictures: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """Return the logits of the labels and the distances of the sides, apart."""
        fine = self.fine(pictures)
        coarse = nn.functional.interpolate(self.from_coarse(self.coarse(fine)), scale_factor=2)
        values = self.neck(self.from_fine(fine) + coarse)
        return self.classes(values), torch.sigmoid(self.sides(values)) / 2


class Decoded(nn.Module):  # type: ignore[misc]
    """A detector that answers as the agent's yolo_v8 decoder wants: [n, 4 + labels, cells].

    Middle and size 0..1 of the picture, then the probability of each label: all of one range, so
    that int8 can have one scale for them.
    """

    def __init__(self, detector: Any, size: tuple[int, int]) -> None:  # noqa: ANN401
        super().__init__()
        self.detector = detector
        rows, columns = size[0] // CELL, size[1] // CELL
        down, across = torch.meshgrid(
            (torch.arange(rows) + 0.5) / rows,
            (torch.arange(columns) + 0.5) / columns,
            indexing="ij",
        )
        self.register_buffer("middles", torch.stack([across, down]).reshape(1, 2, -1))

    def forward(self, pictures: Any) -> Any:  # noqa: ANN401
        """Return boxes and probabilities."""
        # Never side by side in one tensor: int8 would give distances the coarse scale of logits.
        logits, sides = (head.flatten(2) for head in self.detector.heads(pictures))
        likely, near, far = torch.sigmoid(logits), sides[:, :2], sides[:, 2:]
        return torch.cat([self.middles + (far - near) / 2, near + far, likely], 1)


def targets(boxes: Array, labels: int, size: tuple[int, int]) -> Array:
    """Return what cells shall say of boxes [n, 5]: [labels + 5, rows, columns].

    Per label 1 at a middle, less around it; then the four distances, and whether they count.
    """
    rows, columns = size[0] // CELL, size[1] // CELL
    wanted = np.zeros((labels + 5, rows, columns), np.float32)
    down, across = np.mgrid[:rows, :columns]
    y, x = (down + 0.5) / rows, (across + 0.5) / columns
    # Large boxes first: where boxes overlap, a cell belongs to the smaller one.
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for left, top, right, bottom, label in boxes[np.argsort(-areas)]:
        width, height = max(right - left, 1 / columns), max(bottom - top, 1 / rows)
        middle = (
            int(np.clip((top + bottom) / 2 * rows, 0, rows - 1)),
            int(np.clip((left + right) / 2 * columns, 0, columns - 1)),
        )
        off_x = (x - x[middle]) / (width * NEAR)
        off_y = (y - y[middle]) / (height * NEAR)
        plane = wanted[int(label)]
        np.maximum(plane, np.exp(-2 * (off_x**2 + off_y**2)), out=plane)
        near = (np.abs(off_x) <= 1) & (np.abs(off_y) <= 1)
        sides = np.stack([x - left, y - top, right - x, bottom - y])
        near &= (sides > 0).all(axis=0)
        near[middle] = True
        wanted[labels : labels + 4, near] = np.clip(sides, 0, 0.5)[:, near]
        wanted[labels + 4, near] = 1
    return wanted


def loss(found: Any, wanted: Any) -> Any:  # noqa: ANN401  torch tensors
    """Return the loss of what cells say for `targets`."""
    logits, sides = found[:, :-4], found[:, -4:]
    heat, distances, counts = wanted[:, :-5], wanted[:, -5:-1], wanted[:, -1:]
    likely = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    middle = (heat > 0.99).float()
    hits = middle * (1 - likely) ** FOCUS * torch.log(likely)
    misses = (1 - middle) * (1 - heat) ** FALL * likely**FOCUS * torch.log(1 - likely)
    focal = -(hits + misses).sum() / middle.sum().clamp(min=1)
    return focal + BOXES_WEIGHT * (_overlap_loss(sides, distances) * counts[:, 0]).sum() / (
        counts.sum().clamp(min=1)
    )


def _overlap_loss(sides: Any, wanted: Any) -> Any:  # noqa: ANN401
    """Return 1 - intersection over union of boxes around the same point, per cell."""
    least = torch.minimum(sides, wanted)
    inside = (least[:, 0] + least[:, 2]) * (least[:, 1] + least[:, 3])
    areas = [(one[:, 0] + one[:, 2]) * (one[:, 1] + one[:, 3]) for one in (sides, wanted)]
    return 1 - (inside + 1e-6) / (areas[0] + areas[1] - inside + 1e-6)
