"""A classifier of photos from a pretrained front: frozen, or tuned."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tools.training import logistic
from tools.training.fit import Schedule, fit, predict
from tools.training.photo_nets import PICTURES_AT_ONCE, WIDTHS, classifier, folded, set_head, trunk
from tools.training.pictures import to_network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tools.scoring.report import Figure
    from tools.training.photo_recipe import Prepared

    Array = NDArray[np.float32]
    Byte = NDArray[np.uint8]

# Where features are taken, unless the user says how deep. What tells one surface from another is
# found in the middle, what tells things apart at the end.
DEPTHS = (5, 8, 11, 15)
TUNING = Schedule(epochs=0, rate=3e-4, batch=32, decay=1e-3, patience=4)


@dataclass(frozen=True, slots=True)
class Trained:
    """A classifier, and what it says of photos that had no say in its weights.

    `network`: [n, 3, h, w] to logits. `held`: indices of those photos, sorted; `held_logits`: of
    each, by a network that saw nothing of its group.
    """

    network: Any
    depth: int
    how: str
    held_logits: Array
    held: NDArray[np.int64]
    figures: Sequence[Figure]

    @property
    def channels(self) -> int:
        """Return the channels of the head's input."""
        return int(self.network[-1].from_mean.in_features)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What networks are trained on: everything but the test part."""

    ready: Prepared
    classes: NDArray[np.int64]
    count: int
    seed: int

    @property
    def rest(self) -> NDArray[np.int64]:
        """Return the indices of all photos that are not for testing."""
        return np.sort(np.concatenate([self.ready.split.train, self.ready.split.validation]))

    @property
    def rows(self) -> int:
        """Return how many logits there are: one for two classes."""
        return 1 if self.count == 2 else self.count


def frozen(lesson: Lesson, depths: Sequence[int]) -> Trained:
    """Return the front as it is and the best head for it, among the fronts of these depths."""
    ready, rest = lesson.ready, lesson.rest
    front = trunk(max(depths), ready.size)
    pictures = ready.pixels[rest]
    features = pooled(front, pictures, to_network(ready.preprocess), depths)
    groups = [ready.groups[index] for index in rest]
    best: tuple[float, int, logistic.Chosen] | None = None
    for depth in depths:
        chosen = logistic.choose(
            features[depth], lesson.classes[rest], lesson.count, groups, lesson.seed
        )
        print(f"  {depth} blocks: loss {chosen.loss:.4f} on groups held out", flush=True)
        if best is None or chosen.loss < best[0]:
            best = (chosen.loss, depth, chosen)
    assert best is not None  # noqa: S101  depths is not empty
    _, depth, chosen = best
    linear = logistic.fit_logistic(
        features[depth], lesson.classes[rest], lesson.count, chosen.strength
    )
    network = classifier(trunk(depth, ready.size), WIDTHS[depth - 1], lesson.rows)
    set_head(network, linear)
    figures = [
        ("blocks of the front", str(depth)),
        ("strength of the regression", f"{chosen.strength:g}"),
        ("loss on groups held out", f"{chosen.loss:.4f}"),
    ]
    how = ", frozen"
    return Trained(network.eval(), depth, how, chosen.logits, rest, figures)


def pooled(
    front: Any,  # noqa: ANN401  a torch module
    pictures: Byte,
    prepare: Any,  # noqa: ANN401
    depths: Sequence[int],
) -> dict[int, Array]:
    """Return for each depth mean and maximum of its channels: [pictures, 2 * channels]."""
    found: dict[int, list[Any]] = {depth: [] for depth in depths}
    front = folded(front)
    stem = 3  # convolution, normalisation, activation
    with torch.inference_mode():
        for start in range(0, len(pictures), PICTURES_AT_ONCE):
            values = prepare(torch.from_numpy(pictures[start : start + PICTURES_AT_ONCE]))
            for number, layer in enumerate(front):
                values = layer(values)
                depth = number + 1 - stem
                if depth in found:
                    both = torch.cat([values.mean((2, 3)), values.amax((2, 3))], 1)
                    found[depth].append(both.numpy())
    return {depth: np.concatenate(parts) for depth, parts in found.items()}


def tuned(lesson: Lesson, before: Trained, epochs: int) -> Trained:
    """Train the front, too, and return the better of the two by the validation part."""
    network = copy.deepcopy(before.network)
    train, held = lesson.ready.split.train, lesson.ready.split.validation
    # For a fair comparison the head must not have seen the validation part.
    refit_head(lesson, network, before.depth, train)
    validate = _validation(lesson)
    start = validate(network)
    print(f"tuning the front; frozen: validation {start:.4f}", flush=True)
    schedule = replace(TUNING, epochs=epochs, seed=lesson.seed, validate=validate)
    inputs, targets = lesson.ready.pixels[train], lesson.classes[train]
    fit(network, inputs, targets, _loss(lesson), schedule, _augmented(lesson))
    after = validate(network)
    figures = [
        *before.figures,
        ("validation, frozen", f"{start:.4f}"),
        ("validation, tuned", f"{after:.4f}"),
    ]
    if after <= start:
        print("tuning did not help: the front stays frozen", flush=True)
        return replace(before, figures=figures)
    logits = _answers(lesson, network, held)
    return Trained(network, before.depth, ", tuned", logits, held, figures)


def refit_head(
    lesson: Lesson,
    network: Any,  # noqa: ANN401  a torch module
    depth: int,
    train: NDArray[np.int64],
) -> logistic.Chosen:
    """Fit the head of a classifier anew to the photos `train`, for the front that it has.

    Returns what was chosen, with the logits of each of these photos by a head that saw nothing of
    its group.
    """
    prepare = to_network(lesson.ready.preprocess)
    features = pooled(network[0], lesson.ready.pixels[train], prepare, (depth,))[depth]
    return fit_head(lesson, network, features, train)


def fit_head(
    lesson: Lesson,
    network: Any,  # noqa: ANN401  a torch module
    features: Array,
    train: NDArray[np.int64],
) -> logistic.Chosen:
    """Fit the head of a classifier to pooled features of the photos `train`; as `refit_head`."""
    groups = [lesson.ready.groups[index] for index in train]
    chosen = logistic.choose(features, lesson.classes[train], lesson.count, groups, lesson.seed)
    linear = logistic.fit_logistic(features, lesson.classes[train], lesson.count, chosen.strength)
    set_head(network, linear)
    return chosen


def _answers(lesson: Lesson, network: Any, indices: NDArray[np.int64]) -> Array:  # noqa: ANN401
    return _answers_of(lesson, network, lesson.ready.pixels[indices])


def _answers_of(lesson: Lesson, network: Any, pictures: Byte) -> Array:  # noqa: ANN401
    pictures = np.ascontiguousarray(pictures)
    return predict(network, pictures, to_network(lesson.ready.preprocess), PICTURES_AT_ONCE)


def _validation(lesson: Lesson) -> Any:  # noqa: ANN401
    held = lesson.ready.split.validation

    def validate(network: Any) -> float:  # noqa: ANN401
        logits = _answers(lesson, network, held)
        return -logistic.balanced_loss(logits, lesson.classes[held], lesson.count)

    return validate


def _loss(lesson: Lesson) -> Any:  # noqa: ANN401
    """Return the loss of logits for class indices, each class weighing the same."""
    counts = np.bincount(lesson.classes[lesson.ready.split.train], minlength=lesson.count)
    weights = torch.tensor(counts.sum() / np.maximum(counts, 1) / lesson.count).float()

    def loss(logits: Any, wanted: Any) -> Any:  # noqa: ANN401
        if lesson.rows == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        return torch.nn.functional.cross_entropy(logits, wanted.long(), weight=weights)

    return loss


def _augmented(lesson: Lesson) -> Any:  # noqa: ANN401
    """Return what mirrors, shifts and lights a batch otherwise, at random."""
    lit = _lit(lesson)

    def vary(batch: Any, wanted: Any, generator: Any) -> tuple[Any, Any]:  # noqa: ANN401
        batch, wanted = lit(batch, wanted, generator)
        mirrored = torch.rand(len(batch), 1, 1, 1, generator=generator) < 0.5
        return torch.where(mirrored, batch.flip(3), batch), wanted

    return vary


def _lit(lesson: Lesson) -> Any:  # noqa: ANN401
    """Return what shifts and lights a batch a little otherwise, at random."""
    prepare = to_network(lesson.ready.preprocess)

    def vary(batch: Any, wanted: Any, generator: Any) -> tuple[Any, Any]:  # noqa: ANN401
        batch = prepare(batch)

        def drawn(low: float, high: float) -> Any:  # noqa: ANN401
            return torch.rand(len(batch), 1, 1, 1, generator=generator) * (high - low) + low

        down, right = (int(step) for step in torch.randint(-8, 9, (2,), generator=generator))
        batch = batch.roll((down, right), (2, 3))
        return batch * drawn(0.9, 1.1) + drawn(-0.08, 0.08), wanted

    return vary
