"""Networks that say how unlike good parts each place of a picture is, learned from good parts only.

Features of two blocks of EfficientNet-Lite0 are put on one grid, whitened (PCA), and compared with
k-means centres of what good parts gave: the squared distance to the nearest centre is the map. Of
the family of Defard et al., "PaDiM", 2020, and Roth et al., "Towards Total Recall in Industrial
Anomaly Detection" (PatchCore), 2021, made so that all of it is one graph: whitening and distances
are 1x1 convolutions,

    |z - c|^2 = |z|^2 - (2 c z - |c|^2)

The features are quantised to int8. What comes after stays float: it is a tenth of the work, and a
small difference of large numbers does not survive 8 bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edge_agent.inference.calibration import POWER
from tools.training.photo_nets import PICTURES_AT_ONCE, folded, trunk

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Byte = NDArray[np.uint8]
    Array = NDArray[np.float32]

# Blocks 4 and 10, counted from 0: cells of 8 and of 16 pixels.
NEAR, FAR = 5, 11
COMPONENTS = 64
CENTRES = 256
# Added to each variance before whitening: directions in which good parts hardly vary are noise.
EPSILON = 0.3
# Cells that components and centres are learned from; more change nothing but the time.
CELLS_MAX = 30_000
ROUNDS = 12
BATCH = 16
# Operators that stay float, by the names that the converter gives to what they answer.
KEEP_FLOAT = (".*Distances.*", "serving_default_output.*")


class Features(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """[n, 3, h, w] to the answers of two blocks: [n, 40, h/8, w/8] and [n, 112, h/16, w/16]."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        layers = folded(trunk(FAR, size))
        stem = len(layers) - FAR
        self.near, self.far = layers[: stem + NEAR], layers[stem + NEAR :]

    def forward(self, pictures: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """Return the features of both blocks."""
        near = self.near(pictures)
        return near, self.far(near)


class Distances(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Features to a map [n, 1, h/8, w/8] of squared distances, smoothed, and a score [n, 1].

    The score is the power mean of the map: between its mean and its maximum.
    """

    def __init__(self, whitening: Any, offset: Any, centres: Any, near: int) -> None:  # noqa: ANN401
        super().__init__()
        self.of_near = _convolution(whitening[:, :near], offset)
        # The far features are whitened where they are: a quarter of the cells.
        self.of_far = _convolution(whitening[:, near:], torch.zeros_like(offset))
        self.to_centres = _convolution(2 * centres, -(centres**2).sum(1))
        self.smooth = nn.AvgPool2d(3, 1, 1, count_include_pad=False)

    def forward(self, features: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return map and score."""
        near, far = features
        grown = functional.interpolate(self.of_far(far), size=near.shape[2:], mode="nearest")
        white = self.of_near(near) + grown
        nearest = self.to_centres(white).amax(1, keepdim=True)
        cells = self.smooth(functional.relu((white * white).sum(1, keepdim=True) - nearest))
        square = cells * cells
        score = torch.sqrt(torch.sqrt((square * square).mean((1, 2, 3), keepdim=True)))
        return cells, score.flatten(1)


class Strangeness(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """A picture to map and score."""

    def __init__(self, features: Any, distances: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.features, self.distances = features, distances

    def forward(self, pictures: Any) -> tuple[Any, Any]:  # noqa: ANN401
        """Return map and score."""
        answer: tuple[Any, Any] = self.distances(self.features(pictures))
        return answer


def features_of(
    network: Any,  # noqa: ANN401  a torch module
    pixels: Byte,
    prepare: Callable[[Any], Any],
    told: Callable[[int], None] = lambda _: None,
) -> tuple[Any, Any]:
    """Return the features of pictures uint8 [n, h, w, 3]; `told` hears how many are done."""
    near, far = [], []
    with torch.no_grad():
        for start in range(0, len(pixels), PICTURES_AT_ONCE):
            some = torch.from_numpy(pixels[start : start + PICTURES_AT_ONCE])
            one, other = network(prepare(some))
            near.append(one)
            far.append(other)
            told(min(len(pixels), start + PICTURES_AT_ONCE))
    return torch.cat(near), torch.cat(far)


def learned(
    features: tuple[Any, Any], seed: int, steps: tuple[float, float] = (0.0, 0.0)
) -> Distances:
    """Return what tells these features, of good parts only, from others.

    `steps`: between two values of near and far features, where these are rounded. By less than
    rounding moves a value no channel is taken to vary: else one that good parts leave at a single
    value would outweigh all others once it moves.
    """
    near, far = features
    generator = torch.Generator().manual_seed(seed)
    rows = _rows(near, far)
    rows = rows[torch.randperm(len(rows), generator=generator)[:CELLS_MAX]]
    least = torch.tensor(steps).repeat_interleave(torch.tensor([near.shape[1], far.shape[1]]))
    mean = rows.mean(0)
    deviation = torch.maximum(rows.std(0) + 1e-6, least / math.sqrt(12))
    normal = (rows - mean) / deviation
    variances, directions = torch.linalg.eigh(normal.T @ normal / len(normal))
    variances, directions = variances.flip(0)[:COMPONENTS], directions.flip(1)[:, :COMPONENTS]
    whitening = (directions / torch.sqrt(variances.clamp(min=0.0) + EPSILON)).T / deviation
    offset = -(whitening @ mean)
    centres = _centres(rows @ whitening.T + offset, generator)
    distances = Distances(whitening, offset, centres, near.shape[1])
    distances.eval()
    return distances


def judged(distances: Distances, features: tuple[Any, Any]) -> tuple[Array, Array]:
    """Return maps [n, h, w] and scores [n] of features."""
    near, far = features
    maps, scores = [], []
    with torch.no_grad():
        for start in range(0, len(near), BATCH):
            part = slice(start, start + BATCH)
            cells, score = distances((near[part], far[part]))
            maps.append(cells[:, 0].numpy())
            scores.append(score[:, 0].numpy())
    return np.concatenate(maps), np.concatenate(scores)


def marred(pixels: Byte, seed: int) -> Byte:
    """Return pictures with defects that no part has: patches moved, turned light, dark or rough.

    For the ranges of the quantiser: on good parts alone it would never see a large distance, and
    the map of a real defect would be cut off.
    """
    rng = np.random.default_rng(seed)
    spoiled = pixels.copy()
    _, height, width, _ = pixels.shape
    for picture in spoiled:
        for kind in rng.permutation(4)[:2].tolist():
            high = int(rng.integers(height // 12, height // 3))
            wide = int(rng.integers(width // 12, width // 3))
            top, left = int(rng.integers(height - high)), int(rng.integers(width - wide))
            place = picture[top : top + high, left : left + wide]
            if kind == 0:
                place[:] = np.roll(picture, (height // 2, width // 2), (0, 1))[:high, :wide]
            elif kind == 1:
                place[:] = 255 - place
            elif kind == 2:
                place[:] = rng.integers(0, 256, place.shape, np.uint8)
            else:
                place[:] = rng.integers(0, 256, 3, np.uint8)
    return spoiled


def _convolution(weight: Any, bias: Any) -> Any:  # noqa: ANN401
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
    with torch.no_grad():
        layer.weight.copy_(weight[:, :, None, None])
        layer.bias.copy_(bias)
    return layer


def _rows(near: Any, far: Any) -> Any:  # noqa: ANN401
    """Return the features of each cell of the finer grid, [cells, channels]."""
    grown = functional.interpolate(far, size=near.shape[2:], mode="nearest")
    joined = torch.cat([near, grown], 1)
    return joined.permute(0, 2, 3, 1).reshape(-1, joined.shape[1])


def _centres(points: Any, generator: Any) -> Any:  # noqa: ANN401
    """Return k-means centres of points [n, components]."""
    count = min(CENTRES, len(points))
    centres = points[torch.randperm(len(points), generator=generator)[:count]].clone()
    for _ in range(ROUNDS):
        owner = torch.cdist(points, centres).argmin(1)
        sizes = torch.zeros(count).index_add_(0, owner, torch.ones(len(points)))
        sums = torch.zeros_like(centres).index_add_(0, owner, points)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1.0)[:, None], centres)
    return centres


assert POWER == 4  # noqa: S101  two square roots in Distances
