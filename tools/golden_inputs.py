"""Golden inputs that are made up: for models of data that must not be copied into a repository.

A golden sample proves that a gateway computes what was computed here. For that any input will do
that makes the model's values move; it need not be one that the model is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from tools import cells
from tools.pictures import normalised
from tools.quantise import stored_inputs

if TYPE_CHECKING:
    from edge_agent.inference.preprocess import ImagePreprocess
    from edge_agent.types import Tensors

CASES = 2
SEED = 1


def pictures(model: bytes, preprocess: ImagePreprocess) -> list[Tensors]:
    """Return pictures of the simulated conveyor as the model stores its input."""
    _, height, width, _ = tflite.create(BackendContext(model)).inputs[0].shape
    taken = [picture.pixels for picture in cells.pictures(cells.TRAINING_SEEDS, CASES)]
    shrunk = [
        cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)[:, :, ::-1]
        for pixels in taken
    ]
    return list(stored_inputs(model, normalised(np.stack(shrunk), preprocess)[:, None]))


def walks(model: bytes) -> list[Tensors]:
    """Return random walks of unit size along the samples, as the model stores its input."""
    shape = tflite.create(BackendContext(model)).inputs[0].shape
    steps = np.random.default_rng(SEED).normal(size=(CASES, *shape)).astype(np.float32)
    return list(stored_inputs(model, steps.cumsum(axis=2) / np.sqrt(shape[1])))
