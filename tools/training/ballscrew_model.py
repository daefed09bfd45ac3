"""The network of models/ballscrew-pitting: a score of the photo and a map of its cells."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tools.compress.measure import latencies, zipped
from tools.compress.quantise import run_model
from tools.compress.structures import applied, clusters, magnitude
from tools.datasets import ballscrew
from tools.training import logistic, photo_recipe
from tools.training.fit import predict
from tools.training.photo_nets import PICTURES_AT_ONCE, folded
from tools.training.photo_recipe import Made
from tools.training.photo_training import refit_head
from tools.training.pictures import normalised, to_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tools.scoring.report import Figure
    from tools.training.photo_recipe import Prepared
    from tools.training.photo_training import Lesson, Trained

    Array = NDArray[np.float32]
    Byte = NDArray[np.uint8]

CELL = 16
# A cell counts as pitted from this share of its area on; cells with less are not judged.
PITTED_SHARE = 0.05
# Of the many clean cells so many teach, and the regression is as strong as this.
CLEAN_CELLS = 40_000
CELL_STRENGTH = 0.01
# Nearly all logits of photos held out shall lie within so much of 0 before the sigmoid: int8 has
# 256 steps from 0 to 1, and sure answers would share the last ones.
REACH = 3.0
# Of the clean photos of training so many have no cell beyond the map's threshold.
CLEAN_MAPS = 0.98
ZEROS = 0.5
CLUSTERS = 16
GATE_PHOTOS = 100


@dataclass(frozen=True, slots=True)
class Compiled:
    """The float and the int8 model, and from which value on a cell of the map is pitted."""

    whole: bytes
    int8: bytes
    map_threshold: float


@dataclass(slots=True)
class Measured:
    """Figures of each variant on the test photos."""

    ready: Prepared
    found: list[ballscrew.Photo]
    figures: list[Figure] = field(default_factory=list)
    models: list[tuple[str, bytes, Array]] = field(default_factory=list)

    def add(self, name: str, model: Compiled) -> None:
        """Measure a variant, float and int8."""
        inputs = inputs_of(self.ready, self.ready.split.test)
        for precision, one in (("float", model.whole), ("int8", model.int8)):
            scores = run_model(one, inputs).reshape(-1)
            what = f"{precision}, {name}"
            self.models.append((what, one, scores))
            self.figures += ballscrew.figures(self.found, scores, what)[:4]
            print(*(": ".join(one) for one in self.figures[-4:]), sep="\n", flush=True)

    def at_limit(self, model: Compiled, fail_at: float) -> None:
        """Add what the limit, found on other positions, does to the test photos."""
        scores = run_model(model.int8, inputs_of(self.ready, self.ready.split.test)).reshape(-1)
        self.figures += ballscrew.figures(self.found, scores, "int8", fail_at)[4:]

    def rows(self) -> list[dict[str, str]]:
        """Return a row for each variant: size, zipped size and latency, measured in turns."""
        sample = inputs_of(self.ready, self.ready.split.test[:1])[0]
        times = latencies([(model, "tflite") for _, model, _ in self.models], sample)
        return [
            {
                "variant": name,
                "kB": f"{len(model) / 1000:.0f}",
                "kB zipped": f"{zipped(model) / 1000:.0f}",
                "p50 ms": f"{time.p50_ms:.2f}",
                "p95 ms": f"{time.p95_ms:.2f}",
            }
            for (name, model, _), time in zip(self.models, times, strict=True)
        ]


class ScoreAndMap(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """[n, 3, h, w] to a score [n, 1] and a map [n, rows, columns], both 0..1."""

    def __init__(self, trained: Trained, cells: logistic.Linear) -> None:
        super().__init__()
        self.front, self.head = folded(trained.network[0]), copy.deepcopy(trained.network[1])
        weights, bias = cells.folded()
        self.cells = nn.Conv2d(weights.shape[1], len(weights), 1)
        with torch.no_grad():
            self.cells.weight.copy_(torch.from_numpy(weights)[:, :, None, None])
            self.cells.bias.copy_(torch.from_numpy(bias))
            for layer in (self.head.from_mean, self.head.from_max):
                layer.weight /= temperature(trained)
            self.head.from_mean.bias /= temperature(trained)

    def forward(self, pictures: Any) -> Any:  # noqa: ANN401
        """Return the score and the map."""
        values = self.front(pictures)
        return torch.sigmoid(self.head(values)), torch.sigmoid(self.cells(values)).squeeze(1)


def compiled(lesson: Lesson, trained: Trained, masks: Byte, gated: int = GATE_PHOTOS) -> Compiled:
    """Return the models of a trained classifier, its map learned from outlines: uint8 [n, h, w].

    `gated`: on so many photos int8 must answer as float does.
    """
    ready = lesson.ready
    values = _values(trained.network[0], ready, lesson.rest)
    cells = _cell_regression(values, masks[lesson.rest], lesson.seed)
    network = ScoreAndMap(trained, cells).eval()
    clean = values[lesson.classes[lesson.rest] == 0]
    worst = [cells.logits(_rows(one[None])).max() for one in clean]
    threshold = 1 / (1 + np.exp(-float(np.quantile(worst, CLEAN_MAPS))))
    made = Made(network, maps=False, task={}, rule={}, labels=(), golden=())
    samples = photo_recipe.calibration(ready, lesson.rest, lesson.seed)
    whole, model = photo_recipe.compiled(made, samples, samples[:gated])
    return Compiled(whole, model, round(float(np.clip(threshold, 0.05, 0.95)), 3))


def unstructured(lesson: Lesson, trained: Trained, masks: Byte) -> Iterator[tuple[str, Compiled]]:
    """Yield variants whose 1x1 kernels have zeros, or few different values: smaller when zipped.

    The other kernels hold few weights and are hurt most. The head is fitted anew. They are for
    comparison and do not ship, so nothing gates them.
    """
    for name, structure in (
        (f"{ZEROS:.0%} of the weights zero", magnitude(ZEROS)),
        (f"{CLUSTERS} values a kernel", clusters(CLUSTERS)),
    ):
        network = copy.deepcopy(trained.network)
        for layer in network[0].modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1):
                kernel = applied(structure, layer.weight.detach().numpy())
                layer.weight.data = torch.from_numpy(np.ascontiguousarray(kernel, np.float32))
        refit_head(lesson, network, trained.depth, lesson.rest)
        yield name, compiled(lesson, replace(trained, network=network, how=name), masks, gated=0)


def temperature(trained: Trained) -> float:
    """Return what the logits are divided by."""
    return float(np.quantile(np.abs(trained.held_logits), 0.95)) / REACH


def scores_of(trained: Trained) -> Array:
    """Return the model's scores of the photos that were held out."""
    logits = trained.held_logits[:, 0] / temperature(trained)
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def inputs_of(ready: Prepared, indices: NDArray[np.int64]) -> list[Array]:
    """Return photos as real input values, [1, h, w, 3] each."""
    return list(normalised(ready.pixels[indices], ready.preprocess)[:, None])


def _values(front: Any, ready: Prepared, indices: NDArray[np.int64]) -> Array:  # noqa: ANN401
    """Return what the front gives for each cell: [photos, channels, rows, columns]."""
    prepare = to_network(ready.preprocess)
    return predict(folded(front), ready.pixels[indices], prepare, PICTURES_AT_ONCE)


def _cell_regression(values: Array, masks: Byte, seed: int) -> logistic.Linear:
    share = masks.reshape(len(masks), masks.shape[1] // CELL, CELL, -1, CELL).mean((2, 4)) / 255
    marked = share.reshape(-1)
    rng = np.random.default_rng(seed)
    clean = np.flatnonzero(marked == 0)
    clean = np.sort(rng.permutation(clean)[:CLEAN_CELLS])
    chosen = np.concatenate([clean, np.flatnonzero(marked >= PITTED_SHARE)])
    pitted = (marked[chosen] > 0).astype(np.int64)
    return logistic.fit_logistic(_rows(values)[chosen], pitted, 2, CELL_STRENGTH)


def _rows(values: Array) -> Array:
    """Return [photos, channels, rows, columns] as a row for each cell."""
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1).reshape(-1, values.shape[1]))
