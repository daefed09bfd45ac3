"""Logistic regression on features, its strength chosen by cross-validation over groups.

On frozen features of a pretrained network it is as good as a network trained whole, where there
are a few hundred photos, and takes seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.training.splits import folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

# Tried as C: the inverse of the penalty, per item.
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
FOLDS = 5
STEPS_MAX = 200


@dataclass(frozen=True, slots=True)
class Linear:
    """logits = ((features - mean) / deviation) @ weights.T + bias; one row for two classes."""

    weights: Array
    bias: Array
    mean: Array
    deviation: Array

    def logits(self, features: Array) -> Array:
        """Return [items, rows]."""
        scaled = (features - self.mean) / self.deviation
        return np.asarray(scaled @ self.weights.T + self.bias, np.float32)

    def folded(self) -> tuple[Array, Array]:
        """Return weights and bias for features as they are."""
        weights = self.weights / self.deviation
        return weights, np.asarray(self.bias - weights @ self.mean, np.float32)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The strength that did best on groups held out, and what it said of them."""

    strength: float
    loss: float
    logits: Array
    """Of each item, by a model that saw nothing of its group: [items, rows]."""


def fit_logistic(
    features: Array, classes: NDArray[np.int64], count: int, strength: float
) -> Linear:
    """Fit features [items, n] to class indices below `count`; each class weighs the same."""
    import torch  # noqa: PLC0415  of the training environment only

    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    x = torch.from_numpy((features - mean) / deviation)
    y = torch.from_numpy(classes)
    rows = 1 if count == 2 else count
    weights = torch.zeros(rows, features.shape[1], requires_grad=True)
    bias = torch.zeros(rows, requires_grad=True)
    share = torch.bincount(y, minlength=count).clamp(min=1) * count / len(y)
    solver = torch.optim.LBFGS([weights, bias], max_iter=STEPS_MAX, line_search_fn="strong_wolfe")

    def loss() -> Any:  # noqa: ANN401  a torch tensor
        solver.zero_grad()
        logits = x @ weights.T + bias
        if rows == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
        total = torch.nn.functional.cross_entropy(logits, y, reduction="none") / share[y]
        value = total.mean() + (weights**2).sum() / (2 * strength * len(y))
        value.backward()
        return value

    solver.step(loss)
    return Linear(weights.detach().numpy(), bias.detach().numpy(), mean, deviation)


def choose(
    features: Array, classes: NDArray[np.int64], count: int, groups: Sequence[str], seed: int = 0
) -> Chosen:
    """Return the strength of the least loss on groups held out, each class weighing the same."""
    best: Chosen | None = None
    for strength in STRENGTHS:
        logits = held_out(features, classes, count, groups, strength, seed)
        loss = balanced_loss(logits, classes, count)
        if best is None or loss < best.loss:
            best = Chosen(strength, loss, logits)
    assert best is not None  # noqa: S101  STRENGTHS is not empty
    return best


def held_out(
    features: Array,
    classes: NDArray[np.int64],
    count: int,
    groups: Sequence[str],
    strength: float,
    seed: int = 0,
) -> Array:
    """Return logits [items, rows] of each item by a model that saw nothing of its group."""
    logits = np.zeros((len(classes), 1 if count == 2 else count), np.float32)
    for train, held in folds(groups, min(FOLDS, len(set(groups))), seed=seed):
        model = fit_logistic(features[train], classes[train], count, strength)
        logits[held] = model.logits(features[held])
    return logits


def likelihoods(logits: Array) -> Array:
    """Return probabilities [items, classes] of logits [items, rows]."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponents / exponents.sum(axis=1, keepdims=True), np.float32)


def balanced_loss(logits: Array, classes: NDArray[np.int64], count: int) -> float:
    """Return the mean over classes of the mean of -log(probability of the right class)."""
    right = likelihoods(logits)[np.arange(len(classes)), classes]
    losses = -np.log(np.maximum(right, 1e-6))
    present = [losses[classes == one] for one in range(count) if (classes == one).any()]
    return float(np.mean([loss.mean() for loss in present]))
