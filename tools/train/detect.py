"""Photos with boxes to a detector: a pretrained front and a small head, trained whole."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent import registry
from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.inference.quantisation import quantise
from edge_agent.tasks.base import TaskContext
from tools.compress.quantise import QuantisationFailed
from tools.scoring.box_merit import average_precisions, f1
from tools.train.segment import mark_labels
from tools.training import photo_recipe
from tools.training.photo_recipe import Made, Prepared
from tools.training.pictures import normalised, to_network

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

SUMMARY = "photos with boxes: what is where"
AREA = 320 * 320
# Boxes from this score on are looked at for the average precision.
LOOK_AT = 0.05
# What int8 may cost of the mean average precision.
MOST_LOST = 0.1

ABOUT = """
Finds {labels} on a photo, as boxes.

**Data** {photos} photos with {boxes} boxes; a split by group, so that no group is in two parts:

{split}

The validation part said when to stop and from which score on a box counts; the test part had no
say in anything.

**Network** two levels of EfficientNet-Lite0 (ImageNet weights, Apache-2.0) and a small head, tuned
together. Input {width} x {height}, a box per cell of 8 x 8 pixels.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this recipe."""
    photo_recipe.add_arguments(parser)
    parser.add_argument("--epochs", type=int, default=20, help="at most")


def run(options: argparse.Namespace) -> None:
    """Train from `options.data`, write the bundle `options.out`."""
    from tools.training.detector import Decoded  # noqa: PLC0415  needs torch
    from tools.training.photo_nets import ATTRIBUTION, PREPROCESS  # noqa: PLC0415

    ready = photo_recipe.prepared(options, PREPROCESS, least=0, area=AREA)
    labels = mark_labels(ready)
    boxes = [photo.boxes(labels) for photo in ready.photos]
    detector = _trained(ready, boxes, len(labels), options)
    network = Decoded(detector, ready.size).eval()
    rest = np.sort(np.concatenate([ready.split.train, ready.split.validation]))
    samples = photo_recipe.calibration(ready, rest, options.seed)
    made = Made(network, maps=False, task={}, rule={}, labels=labels, golden=_golden(ready, boxes))
    models = photo_recipe.models(made, samples, samples[:20], options.precision)
    *_, model = models.values()
    confidence = _confidence(model, ready, boxes, labels)
    made = replace(
        made,
        task=_task(ready, confidence),
        rule={"kind": "threshold", "fail_at": confidence},
    )
    figures: list[Figure] = []
    means = []
    for precision, one in models.items():
        each = precisions_of(one, ready, boxes, labels)
        figures += figures_of(each, ready, labels, precision)
        means.append(float(np.nanmean(each)))
    if len(means) > 1:
        check_lost(*means)
    figures.append(("size of the model file", f"{len(model) / 1000:.0f} kB"))
    options.attribution = "; ".join(filter(None, (options.attribution, f"From {ATTRIBUTION}")))
    photo_recipe.finish(options, ready, made, model, (_about(ready, labels, boxes), figures))


def precisions_of(
    model: bytes, ready: Prepared, boxes: list[Array], labels: tuple[str, ...]
) -> list[float]:
    """Return the average precision of each label on the test part; NaN where it has no box."""
    test = ready.split.test
    found = detections(model, ready, test, labels)
    return average_precisions(found, [boxes[index] for index in test], len(labels))


def figures_of(
    each: list[float], ready: Prepared, labels: tuple[str, ...], precision: str
) -> list[Figure]:
    """Return average precisions in words."""
    what = f"overlap .5, {len(ready.split.test)} test photos, {precision}"
    figures = [(f"mean average precision, {what}", f"{np.nanmean(each):.4f}")]
    figures += [
        (f"average precision of {label}, {what}", f"{value:.4f}")
        for label, value in zip(labels, each, strict=True)
        if not np.isnan(value)
    ]
    return figures


def check_lost(whole: float, int8: float) -> None:
    """Raise QuantisationFailed where int8 finds far fewer boxes than float.

    The quantiser's own gate looks at scores: boxes may be off while each score is right.
    """
    if int8 < whole - MOST_LOST:
        raise QuantisationFailed(
            f"the int8 model has a mean average precision of {int8:.3f} where the float one has "
            f"{whole:.3f}: its boxes or scores lost too much"
        )


def detections(
    model: bytes, ready: Prepared, indices: NDArray[np.int64], labels: tuple[str, ...]
) -> list[Array]:
    """Return the boxes that the agent's own task finds: [n, 6] 0..1, label index, score."""
    backend = tflite.create(BackendContext(model))
    source = backend.inputs[0]
    plugin = registry.plugin("tasks", "detect")
    options = plugin.Options.model_validate_json(json.dumps(_task(ready, LOOK_AT)))
    task = plugin.create(options, TaskContext(backend.inputs, backend.outputs, labels))
    found = []
    for index in indices:
        frame = ready.photos[index].frame()
        sample = normalised(ready.pixels[[index]], ready.preprocess)
        prediction = task.interpret(backend.run({source.name: quantise(sample, source)}), frame)
        height, width = frame.pixels.shape[:2]
        rows = [
            (d.x, d.y, d.x + d.w, d.y + d.h, labels.index(d.label), d.score)
            for d in prediction.defects
        ]
        scale = np.array([width, height, width, height, 1, 1])
        found.append(np.array(rows).reshape(-1, 6) / scale)
    backend.close()
    return found


def _trained(ready: Prepared, boxes: list[Array], labels: int, options: argparse.Namespace) -> Any:  # noqa: ANN401  a torch module
    import torch  # noqa: PLC0415  of the training environment only

    from tools.training.detector import Detector, loss, targets  # noqa: PLC0415
    from tools.training.fit import Schedule, fit  # noqa: PLC0415

    torch.manual_seed(options.seed)
    wanted = np.stack([targets(one, labels, ready.size) for one in boxes])
    train, held = ready.split.train, ready.split.validation
    prepare = to_network(ready.preprocess)

    def validate(network: Any) -> float:  # noqa: ANN401
        total = 0.0
        with torch.no_grad():
            for index in held:
                pixels = torch.from_numpy(ready.pixels[[index]])
                total += float(loss(network(prepare(pixels)), torch.from_numpy(wanted[[index]])))
        return -total / len(held)

    def augmented(batch: Any, those: Any, generator: Any) -> tuple[Any, Any]:  # noqa: ANN401
        batch = prepare(batch)
        light = torch.rand(len(batch), 1, 1, 1, generator=generator) * 0.3 + 0.85
        for axis, first, second in ((3, 0, 2), (2, 1, 3)):
            if torch.rand(1, generator=generator) < 0.5:
                batch, those = batch.flip(axis), those.flip(axis)
                # What was on the left is now on the right.
                order = list(range(those.shape[1]))
                order[labels + first], order[labels + second] = labels + second, labels + first
                those = those[:, order]
        return batch * light, those

    network = Detector(ready.size, labels)
    schedule = Schedule(
        epochs=options.epochs,
        rate=2e-3,
        batch=8,
        decay=1e-3,
        seed=options.seed,
        patience=5,
        validate=validate,
    )
    fit(network, ready.pixels[train], wanted[train], loss, schedule, augmented)
    return network


def _confidence(
    model: bytes, ready: Prepared, boxes: list[Array], labels: tuple[str, ...]
) -> float:
    """Return the score at which hits and misses on the validation part balance best."""
    held = ready.split.validation
    found = detections(model, ready, held, labels)
    truths = [boxes[index] for index in held]
    steps = [float(step) for step in np.arange(0.1, 0.91, 0.05)]
    values = [f1([one[one[:, 5] >= step] for one in found], truths, len(labels)) for step in steps]
    return round(steps[int(np.argmax(values))], 2)


def _task(ready: Prepared, confidence: float) -> dict[str, Any]:
    return {
        "kind": "detect",
        "preprocess": ready.preprocess.model_dump(mode="json"),
        "postprocess": {"decoder": "yolo_v8", "box_unit": "relative", "confidence": confidence},
    }


def _golden(ready: Prepared, boxes: list[Array]) -> list[int]:
    """Return the test photos with most and fewest boxes."""
    counts = np.array([len(boxes[index]) for index in ready.split.test])
    return [int(ready.split.test[index]) for index in (counts.argmax(), counts.argmin())]


def _about(ready: Prepared, labels: tuple[str, ...], boxes: list[Array]) -> str:
    return ABOUT.format(
        labels=", ".join(labels),
        photos=len(ready.photos),
        boxes=sum(len(one) for one in boxes),
        split="\n".join(f"- {line}" for line in ready.lines()),
        width=ready.size[1],
        height=ready.size[0],
    )
