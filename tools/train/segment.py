"""Photos with outlines (or boxes) to a model that says which cells of a photo are defective.

Two levels of the pretrained front stay as ImageNet left them; on each cell of 8 x 8 pixels a
logistic regression is learned for each label. That takes a minute or two, and a few dozen outlined
defects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.quantise import run_model
from tools.scoring.merit import average_precision
from tools.scoring.report import auroc
from tools.training import photo_recipe
from tools.training.data_checks import DataUnfit, Finding
from tools.training.doubts import on_card, rejects
from tools.training.photo_recipe import Made, Prepared
from tools.training.pictures import normalised
from tools.training.shares import add_false_reject

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

SUMMARY = "photos with outlined defects: where they are, as regions"
AREA = 160 * 384
PHOTOS_MIN = 10
CELL = 8
# A cell is defective from this share of its area on; cells with less are not judged.
MARKED_SHARE = 0.1

ABOUT = """
Outlines {labels} on a photo: a map of {columns} x {rows} cells for each label.

**Data** {photos} photos, {marked} of them with outlines; a split by group, so that no group is in
two parts:

{split}

The regression saw the train part; its strength and the threshold were chosen on the validation
part; the test part had no say in anything.

**Network** two levels of EfficientNet-Lite0 (ImageNet weights, Apache-2.0), frozen; a logistic
regression on each cell. Input {width} x {height}.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this recipe."""
    photo_recipe.add_arguments(parser)
    add_false_reject(parser, 0.02, "good photos")


def run(options: argparse.Namespace) -> list[Finding]:
    """Train from `options.data`, write the bundle `options.out`; return what is doubtful of it."""
    from tools.training.cell_training import cell_network  # noqa: PLC0415  needs torch
    from tools.training.photo_nets import ATTRIBUTION, PREPROCESS  # noqa: PLC0415

    ready = photo_recipe.prepared(options, PREPROCESS, least=0, area=AREA)
    labels = mark_labels(ready)
    shares = cell_shares(ready, labels)
    network, choice = cell_network(ready, shares, options.seed)
    rest = np.sort(np.concatenate([ready.split.train, ready.split.validation]))
    samples = photo_recipe.calibration(ready, rest, options.seed)
    made = Made(network, maps=True, task={}, rule={}, labels=labels, golden=_golden(ready, shares))
    held = inputs_of(ready, ready.split.test)
    gated = [*held[:40], *samples[:40]]
    models = photo_recipe.models(made, samples, gated, options.precision)
    *_, model = models.values()
    threshold = _threshold(model, ready, shares, options.false_reject)
    made = Made(
        network,
        maps=True,
        task=_task(ready, threshold),
        rule={"kind": "threshold", "fail_at": threshold},
        labels=labels,
        golden=made.golden,
    )
    figures = [*choice]
    for precision, one in models.items():
        figures += figures_of(likely(one, held), shares[ready.split.test], threshold, precision)
    figures.append(("size of the model file", f"{len(model) / 1000:.0f} kB"))
    options.attribution = "; ".join(filter(None, (options.attribution, f"From {ATTRIBUTION}")))
    good = shares[ready.split.test].max(axis=(1, 2, 3)) < MARKED_SHARE
    failed = likely(model, held).max(axis=(1, 2, 3)) >= threshold
    doubts = list(rejects("good test photos", failed[good], options.false_reject))
    about = _about(ready, labels, shares) + on_card(doubts)
    photo_recipe.finish(options, ready, made, model, (about, figures))
    return doubts


def mark_labels(ready: Prepared) -> tuple[str, ...]:
    """Return the labels of all marks; raise DataUnfit where the training has none of one."""
    labels = sorted({mark.label for photo in ready.photos for mark in photo.marks})
    if not labels:
        raise DataUnfit("no photo has a mark: outline defects with labelme, or try `classify`")
    for label in labels:
        marked = [
            any(mark.label == label for mark in ready.photos[index].marks)
            for index in ready.split.train
        ]
        if sum(marked) < PHOTOS_MIN // 2:
            raise DataUnfit(
                f"{label} is outlined on {sum(marked)} photos of the training part; at least "
                f"{PHOTOS_MIN // 2} are needed"
            )
    return tuple(labels)


def cell_shares(ready: Prepared, labels: tuple[str, ...]) -> Array:
    """Return the share of each cell that is marked: [photos, labels, rows, columns]."""
    rows, columns = ready.size[0] // CELL, ready.size[1] // CELL
    masks = [[photo.mask((rows, columns), label) for label in labels] for photo in ready.photos]
    return np.array(masks, np.float32) / np.float32(255)


def likely(model: bytes, inputs: list[Array]) -> Array:
    """Return the probability of each cell: [photos, labels, rows, columns]."""
    logits = run_model(model, inputs)
    return np.asarray(1 / (1 + np.exp(-np.moveaxis(logits, -1, 1))), np.float32)


def figures_of(found: Array, shares: Array, threshold: float, precision: str) -> list[Figure]:
    """Return how well cells and photos are told apart, and how well regions overlap."""
    judged = (shares == 0) | (shares >= MARKED_SHARE)
    truth, scores = (shares >= MARKED_SHARE)[judged], found[judged]
    what = f"{len(found)} test photos, {precision}"
    bad = shares.max(axis=(1, 2, 3)) >= MARKED_SHARE
    worst = found.max(axis=(1, 2, 3))
    figures = []
    if truth.any() and not truth.all():
        figures += [
            (f"AUROC of cells, {what}", f"{auroc(truth, scores):.4f}"),
            (f"average precision of cells, {what}", f"{average_precision(truth, scores):.4f}"),
        ]
        over = scores >= threshold
        overlap = (over & truth).sum() / max(1, (over | truth).sum())
        figures.append((f"intersection over union of cells, {what}", f"{overlap:.3f}"))
    if bad.any() and not bad.all():
        figures += [
            (f"AUROC of photos by their worst cell, {what}", f"{auroc(bad, worst):.4f}"),
            (f"good photos that fail, {what}", f"{(worst[~bad] >= threshold).mean():.1%}"),
            (f"defective photos that pass, {what}", f"{(worst[bad] < threshold).mean():.1%}"),
        ]
    return figures


def inputs_of(ready: Prepared, indices: NDArray[np.int64]) -> list[Array]:
    """Return photos as real input values, [1, h, w, 3] each."""
    return list(normalised(ready.pixels[indices], ready.preprocess)[:, None])


def _threshold(model: bytes, ready: Prepared, shares: Array, false_rejects: float) -> float:
    """Return the limit that few good photos of the validation part reach, or the best of both."""
    held = ready.split.validation
    worst = likely(model, inputs_of(ready, held)).max(axis=(1, 2, 3))
    bad = shares[held].max(axis=(1, 2, 3)) >= MARKED_SHARE
    if bad.all() or not bad.any():
        return 0.5
    return round(float(np.clip(np.quantile(worst[~bad], 1 - false_rejects) + 1e-3, 0.05, 0.95)), 3)


def _task(ready: Prepared, threshold: float) -> dict[str, Any]:
    return {
        "kind": "segment",
        "preprocess": ready.preprocess.model_dump(mode="json"),
        "postprocess": {"form": "scores", "activation": "sigmoid", "threshold": threshold},
    }


def _golden(ready: Prepared, shares: Array) -> list[int]:
    """Return the test photo with most marks and the one with fewest."""
    marked = shares[ready.split.test].sum(axis=(1, 2, 3))
    return [int(ready.split.test[index]) for index in (marked.argmax(), marked.argmin())]


def _about(ready: Prepared, labels: tuple[str, ...], shares: Array) -> str:
    return ABOUT.format(
        labels=", ".join(labels),
        rows=shares.shape[2],
        columns=shares.shape[3],
        photos=len(ready.photos),
        marked=sum(bool(photo.marks) for photo in ready.photos),
        split="\n".join(f"- {line}" for line in ready.lines()),
        width=ready.size[1],
        height=ready.size[0],
    )
