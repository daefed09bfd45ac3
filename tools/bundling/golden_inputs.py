"""Golden inputs that are made up, and how far an answer to them may be off.

Data of others must not be copied into a repository, and a golden sample needs none: it proves that
a gateway computes what was computed here. For that its answers have to move as easily as those to
real items do. What rounds otherwise is then let through, what is wrong on real items is not.

The measure of both is one step (edge_agent/inference/golden.py). `atol` is the furthest that
answers to real items move by it; so far may another processor be off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.inference import golden
from tools.compress.quantise import stored_inputs
from tools.datasets import cells
from tools.training.pictures import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import ImagePreprocess
    from edge_agent.types import Tensors

    Array = NDArray[np.float32]
    Moves = dict[str, NDArray[np.float64]]

CASES = 8
SEED = 1
# So many real items are moved.
REAL = 100
# Made-up pictures are of squares of so many pixels. Larger ones are so flat that one step moves the
# answers further than a real picture lets it; equal neighbours and few levels pack well.
SQUARES = (2, 3, 4, 6)
LEVELS = 4  # steps from one grey to the next
BRIGHTNESS, CONTRAST = (70.0, 110.0, 150.0, 190.0), (0.5, 1.0, 2.0)
WALKS = 48


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs as the model stores them, and for each of its outputs how far it may be off."""

    inputs: list[Tensors]
    atol: dict[str, float]


def pictures(model: bytes, preprocess: ImagePreprocess, real: Sequence[Array] | Array) -> Golden:
    """Return pictures of squares. `real`: what the model is for, [1, h, w, 3] as it takes them."""
    _, height, width, _ = tflite.create(BackendContext(model)).inputs[0].shape
    made = np.stack(list(_squares(height, width)))
    return chosen(model, normalised(made, preprocess)[:, None], real)


def walks(model: bytes, real: Sequence[Array] | Array) -> Golden:
    """Return random walks along the samples. `real`: what the model is for, as it takes it."""
    shape = tflite.create(BackendContext(model)).inputs[0].shape
    rng = np.random.default_rng(SEED)
    steps = rng.normal(size=(WALKS, *shape)) * rng.uniform(0.2, 2.0, (WALKS, 1, 1, 1))
    start = rng.normal(size=(WALKS, 1, 1, shape[-1]))
    made = start + steps.cumsum(axis=2) / np.sqrt(shape[1])
    return chosen(model, made.astype(np.float32), real)


def chosen(model: bytes, made: Sequence[Array] | Array, real: Sequence[Array] | Array) -> Golden:
    """Return those of `made` that tell most, and the tolerance that `real` items give.

    From each eighth of the answers, lowest to highest, the input that one step moves furthest, but
    no further than a real one: beyond, what only rounds otherwise would be taken for wrong.
    """
    few = [real[index] for index in np.linspace(0, len(real) - 1, min(REAL, len(real)), dtype=int)]
    _, moves = moved(model, stored_inputs(model, few))
    atol = {name: _rounded_up(float(each.max())) for name, each in moves.items()}
    given = stored_inputs(model, made)
    answers, moves = moved(model, given)
    share = np.max([moves[name] / atol[name] for name in atol], axis=0)
    telling = np.where(share <= 1.0, share, -share)
    order = np.argsort(answers, kind="stable")
    order = order[share[order] > 0.0]  # an answer at the end of its range tells nothing
    if len(order) < CASES:
        raise ValueError(f"one step moves the answers to {len(order)} of {len(made)} golden inputs")
    parts = np.array_split(order, CASES)
    return Golden([given[part[int(telling[part].argmax())]] for part in parts], atol)


def moved(model: bytes, given: Sequence[Tensors]) -> tuple[NDArray[np.float64], Moves]:
    """Return for each input the mean of the first output, and how far one step moves each output.

    The furthest value of an output counts, over all times.
    """
    backend = tflite.create(BackendContext(model))
    names = [spec.name for spec in backend.outputs]
    means = np.zeros(len(given))
    moves: Moves = {name: np.zeros(len(given)) for name in names}
    for index, tensors in enumerate(given):
        answers = backend.run(tensors)
        means[index] = answers[names[0]].astype(np.float64).mean()
        for name, far in golden.moved(backend, tensors, answers).items():
            moves[name][index] = far
    backend.close()
    return means, moves


def _rounded_up(value: float) -> float:
    """Return the tolerance that a move gives."""
    if value <= 0.0:
        raise ValueError("one step of its inputs moves no answer of this model")
    return golden.rounded_up(value)


def _squares(height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Yield parts on the simulated conveyor and noise, both in squares: dark, bright, flat, stark.

    [height, width, 3] each.
    """
    rng = np.random.default_rng(SEED)
    count = len(SQUARES) * len(BRIGHTNESS) * len(CONTRAST)
    parts = [picture.pixels for picture in cells.pictures(cells.TRAINING_SEEDS, count)]
    for part, (square, bright, contrast) in zip(parts, _looks(), strict=True):
        size = (-(-width // square), -(-height // square))
        shrunk = cv2.resize(part, size, interpolation=cv2.INTER_AREA)[:, :, ::-1]
        noise = rng.normal(size=(size[1], size[0], 1)) * rng.uniform(0.8, 1.2, 3)
        for seen in ((shrunk - shrunk.mean()) * contrast, noise * 25.0 * contrast):
            coarse = np.round((bright + seen) / LEVELS) * LEVELS
            grey = np.clip(coarse, 0, 255).astype(np.uint8)
            yield grey.repeat(square, 0).repeat(square, 1)[:height, :width]


def _looks() -> list[tuple[int, float, float]]:
    return [
        (square, bright, contrast)
        for square in SQUARES
        for bright in BRIGHTNESS
        for contrast in CONTRAST
    ]
