"""A pretrained front with fewer channels, taught to see what the whole one sees.

Labels have no say in it: what is left learns, cell by cell, what the whole front answers (Romero et
al., "FitNets: hints for thin deep nets", 2015). Of each photo that is hundreds of answers and not
one, so a few passes do, and the head fitted on top is as honest as that of the whole front.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tools.training.fit import Schedule, fit, predict
from tools.training.photo_nets import MOMENTUM, PICTURES_AT_ONCE, classifier, folded
from tools.training.photo_training import Trained, refit_head
from tools.training.pictures import to_network
from tools.training.prune import prune

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tools.training.photo_training import Lesson

    Array = NDArray[np.float32]
    Byte = NDArray[np.uint8]

TUNING = Schedule(epochs=2, rate=4e-3, batch=16, decay=1e-3)
# The second view of each photo is turned upside down, and so much lighter or darker at most.
LIGHT = 0.15
# So many views show the normalisations what comes now; and how firmly the start is solved for.
SETTLED_ON = 64
RIDGE = 1e-3
# How much the mean and the maximum of each channel count, which the head sees, beside its cells.
POOLED = 0.5


def pruned(lesson: Lesson, before: Trained, share: float) -> Trained:
    """Take `share` of the channels out of the front of `before`, tune what is left, fit a head."""
    views = _views(lesson)
    prepare = to_network(lesson.ready.preprocess)
    answers = predict(folded(before.network[0]), views, prepare, PICTURES_AT_ONCE)
    front, back, said = _narrowed(before, lesson, share)
    print(f"pruned: {said}", flush=True)
    some = np.random.default_rng(lesson.seed).permutation(len(views))[:SETTLED_ON]
    _settle(front, back, prepare(torch.from_numpy(views[some])), answers[some])

    def fed(batch: Any, wanted: Any, _: Any) -> tuple[Any, Any]:  # noqa: ANN401
        return prepare(batch), wanted

    fit(front, views, answers, _likeness(answers), replace(TUNING, seed=lesson.seed), fed)
    network = classifier(front, before.channels, lesson.rows)
    chosen = refit_head(lesson, network, before.depth, lesson.rest)
    known = np.isin(lesson.rest, before.held)
    figures = [*before.figures, ("pruned", said), ("loss on groups held out", f"{chosen.loss:.4f}")]
    how = f"{before.how}, {share:.0%} of its channels pruned and tuned again"
    return Trained(network.eval(), before.depth, how, chosen.logits[known], before.held, figures)


def _views(lesson: Lesson) -> Byte:
    """Return each photo that is not for testing as it is, and once more otherwise."""
    pictures = lesson.ready.pixels[lesson.rest]
    rng = np.random.default_rng(lesson.seed)
    light = rng.uniform(1 - LIGHT, 1 + LIGHT, (len(pictures), 1, 1, 1)).astype(np.float32)
    turned = np.clip(pictures[:, ::-1, ::-1] * light, 0, 255).astype(np.uint8)
    return np.concatenate([pictures, turned])


def _narrowed(before: Trained, lesson: Lesson, share: float) -> tuple[Any, Any, str]:
    """Return the front with fewer channels, what brings back as many as before; what was done."""
    network = copy.deepcopy(before.network)
    said = prune(network, torch.zeros(1, 3, *lesson.ready.size), share, network[-1].last)
    front = network[0]
    back = torch.nn.Conv2d(int(network[-1].from_mean.in_features), before.channels, 1)
    # Within the last block, so that the front still has as many.
    front[-1] = torch.nn.Sequential(front[-1], back)
    return front, back, said


def _settle(front: Any, back: Any, pictures: Any, answers: Array) -> None:  # noqa: ANN401
    """Measure the normalisations anew, and let `back` answer by least squares: a good start."""
    front[-1][1] = torch.nn.Identity()
    norms = [layer for layer in front.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean of what comes now
    with torch.no_grad():
        front.train()
        for some in pictures.split(PICTURES_AT_ONCE):
            front(some)
        front.eval()
        seen = torch.cat([front(some) for some in pictures.split(PICTURES_AT_ONCE)])
        given = _cells(seen)
        given = torch.cat([given, torch.ones(len(given), 1)], 1)
        wanted = _cells(torch.from_numpy(answers))
        loading = RIDGE * len(given) * torch.eye(given.shape[1])
        solved = torch.linalg.solve(given.T @ given + loading, given.T @ wanted)
        back.weight.copy_(solved[:-1].T[:, :, None, None])
        back.bias.copy_(solved[-1])
    for norm in norms:
        norm.momentum = MOMENTUM
    front[-1][1] = back


def _cells(values: Any) -> Any:  # noqa: ANN401
    """Return [n, channels, rows, columns] as a row for each cell."""
    return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])


def _likeness(answers: Array) -> Any:  # noqa: ANN401  a function on torch tensors
    """Return the loss of answers [n, channels, rows, columns], each channel weighing the same."""
    wanted = torch.from_numpy(answers)
    cells = wanted.std((0, 2, 3), keepdim=True) + 1e-6
    means = wanted.mean((2, 3)).std(0) + 1e-6
    maxima = wanted.amax((2, 3)).std(0) + 1e-6

    def loss(given: Any, target: Any) -> Any:  # noqa: ANN401
        of_cells = torch.square((given - target) / cells).mean()
        of_means = torch.square((given.mean((2, 3)) - target.mean((2, 3))) / means).mean()
        of_maxima = torch.square((given.amax((2, 3)) - target.amax((2, 3))) / maxima).mean()
        return of_cells + POOLED * (of_means + of_maxima)

    return loss
