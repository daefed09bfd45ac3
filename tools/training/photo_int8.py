"""A classifier's head for its front as int8 stores it.

Rounding moves all photos of like parts the same way. Where they hardly differ it moves them further
than good and bad ones lie apart, and a head that was fitted to float features then calls each part
bad, though it still ranks them well. A head that is fitted to rounded features knows no other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.quantise import float_model, int8_model, run_model
from tools.training.photo_nets import classifier
from tools.training.photo_training import fit_head
from tools.training.pictures import normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tools.training.photo_training import Lesson, Trained

    Array = NDArray[np.float32]


def refitted(lesson: Lesson, before: Trained, samples: Sequence[Array]) -> Trained:
    """Return the classifier with a head for what its front answers once it is int8.

    `samples`: real inputs, [1, h, w, 3] each, that the int8 model will be calibrated with: the same
    give the same ranges. Its `held_logits` are then those of the int8 model.
    """
    print("quantising the front ...", flush=True)
    front = before.network[0]
    features = _pooled(front, lesson, samples)
    network = classifier(front, before.channels, lesson.rows)
    chosen = fit_head(lesson, network, features, lesson.rest)
    known = np.isin(lesson.rest, before.held)
    figures = [*before.figures, ("the same by the int8 front", f"{chosen.loss:.4f}")]
    network.eval()
    return replace(before, network=network, held_logits=chosen.logits[known], figures=figures)


def _pooled(front: Any, lesson: Lesson, samples: Sequence[Array]) -> Array:  # noqa: ANN401  a torch module
    """Return mean and maximum of each channel of the int8 front: [photos, 2 * channels]."""
    model = int8_model(float_model(front, samples[0], picture=True), samples, fewest=len(samples))
    pictures = normalised(lesson.ready.pixels[lesson.rest], lesson.ready.preprocess)[:, None]
    cells = run_model(model, pictures)
    return np.concatenate([cells.mean((2, 3)), cells.max((2, 3))], axis=1)
