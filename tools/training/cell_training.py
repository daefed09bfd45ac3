"""A logistic regression on each cell of a pretrained front, from marked cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tools.scoring.merit import average_precision
from tools.training import logistic
from tools.training.fit import THREADS
from tools.training.photo_nets import DEPTHS, WIDTHS, trunk
from tools.training.pictures import to_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tools.scoring.report import Figure
    from tools.training.photo_recipe import Prepared

    Array = NDArray[np.float32]

FINE, COARSE = DEPTHS[8], DEPTHS[16]
CHANNELS = (WIDTHS[FINE - 1], WIDTHS[COARSE - 1])
MARKED_SHARE = 0.1
# Of the many good cells so many teach, and as many marked ones at most.
CELLS = 60_000
STRENGTHS = (0.001, 0.01, 0.1)
BATCH = 16


class TwoLevels(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """[n, 3, h, w] to logits of cells of 8 x 8 pixels, [n, planes, rows, columns].

    Each level has a layer of its own: joined into one tensor, int8 would give both one scale.
    """

    def __init__(self, front: Any, planes: int) -> None:  # noqa: ANN401
        super().__init__()
        layers = list(front)
        self.fine = nn.Sequential(*layers[: FINE + 3])
        self.coarse = nn.Sequential(*layers[FINE + 3 : COARSE + 3])
        self.from_fine = nn.Conv2d(CHANNELS[0], planes, 1)
        self.from_coarse = nn.Conv2d(CHANNELS[1], planes, 1, bias=False)

    def forward(self, pictures: Any) -> Any:  # noqa: ANN401
        """Return the logits."""
        fine = self.fine(pictures)
        coarse = self.from_coarse(self.coarse(fine))
        return self.from_fine(fine) + nn.functional.interpolate(coarse, scale_factor=2)

    def values(self, pictures: Any) -> Any:  # noqa: ANN401
        """Return what the logits are made from: [n, channels, rows, columns]."""
        fine = self.fine(pictures)
        coarse = nn.functional.interpolate(self.coarse(fine), scale_factor=2)
        return torch.cat([fine, coarse], 1)


def cell_network(ready: Prepared, shares: Array, seed: int) -> tuple[Any, list[Figure]]:
    """Return a network fitted to the train part, and figures of the validation part.

    `shares`: how much of each cell is marked, [photos, labels, rows, columns].
    """
    torch.set_num_threads(THREADS)
    network = TwoLevels(trunk(COARSE, ready.size), shares.shape[1]).eval()
    train, held = (
        _cells(network, ready, part, shares, seed)
        for part in (ready.split.train, ready.split.validation)
    )
    figures: list[Figure] = []
    for plane in range(shares.shape[1]):
        linear, text = _best(train, held, plane)
        figures.append((f"regression of label {plane + 1}", text))
        print(f"  label {plane + 1}: {text}", flush=True)
        with torch.no_grad():
            folded, bias = linear.folded()
            weights = torch.from_numpy(folded[0])[:, None, None]
            network.from_fine.weight[plane] = weights[: CHANNELS[0]]
            network.from_coarse.weight[plane] = weights[CHANNELS[0] :]
            network.from_fine.bias[plane] = float(bias[0])
    return network, figures


def _cells(
    network: Any,  # noqa: ANN401
    ready: Prepared,
    part: NDArray[np.int64],
    shares: Array,
    seed: int,
) -> tuple[Array, Array]:
    """Return features [cells, channels] and shares [cells, labels] of some cells of a part."""
    prepare = to_network(ready.preprocess)
    rng = np.random.default_rng(seed)
    each = max(1, CELLS // max(1, len(part)))
    features, truths = [], []
    with torch.inference_mode():
        for start in range(0, len(part), BATCH):
            chosen = part[start : start + BATCH]
            values = network.values(prepare(torch.from_numpy(ready.pixels[chosen]))).numpy()
            for cells, share in zip(values, shares[chosen], strict=True):
                flat, marked = cells.reshape(len(cells), -1).T, share.reshape(len(share), -1).T
                clean = rng.permutation(np.flatnonzero(marked.max(axis=1) == 0))[:each]
                kept = np.concatenate([clean, np.flatnonzero(marked.max(axis=1) > 0)])
                features.append(flat[kept])
                truths.append(marked[kept])
    return np.concatenate(features), np.concatenate(truths)


def _best(
    train: tuple[Array, Array], held: tuple[Array, Array], plane: int
) -> tuple[logistic.Linear, str]:
    """Return the regression with the best average precision on cells held out."""
    best: tuple[float, logistic.Linear, str] | None = None
    for strength in STRENGTHS:
        features, truth = _judged(*train, plane)
        linear = logistic.fit_logistic(features, truth.astype(np.int64), 2, strength)
        features, truth = _judged(*held, plane)
        good = truth.any() and not truth.all()
        precision = average_precision(truth, linear.logits(features)[:, 0]) if good else 0.0
        text = f"strength {strength:g}, average precision {precision:.3f} of validation cells"
        if best is None or precision > best[0]:
            best = (precision, linear, text)
    assert best is not None  # noqa: S101  STRENGTHS is not empty
    return best[1], best[2]


def _judged(features: Array, shares: Array, plane: int) -> tuple[Array, NDArray[np.bool_]]:
    share = shares[:, plane]
    judged = (share == 0) | (share >= MARKED_SHARE)
    return features[judged], share[judged] >= MARKED_SHARE
