"""Which condition a machine is in, from windows of its sensors and labels beside them.

Labels stand in a column (`--label`), or are the names of the folders that the files lie in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.recordings import checks
from tools.recordings.parts import parted
from tools.recordings.product import (
    Product,
    add_bundle_arguments,
    answered,
    check_count,
    finish,
    quantised,
)
from tools.recordings.scores import accuracy, macro_f1
from tools.recordings.series import add_layout_arguments, layout_of
from tools.recordings.windows import examples, targets, window_shape, zscore
from tools.scoring.report import confusion
from tools.training.data_checks import DataUnfit, settle
from tools.training.fit import Schedule, fit, predict
from tools.training.nets import mixer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from tools.recordings.parts import Parts
    from tools.recordings.series import Recording, Series
    from tools.scoring.report import Figure

    Array = NDArray[np.float32]
    Classes = NDArray[np.int64]

SUMMARY = "the condition of a machine, from recordings with labels"


@dataclass(frozen=True, slots=True)
class Plan:
    """`labels` by class index; `spectrum`: bands of the spectrum instead of samples, 0 for none."""

    labels: tuple[str, ...]
    samples: int
    hop: int
    schedule: Schedule
    spectrum: int = 0
    patience: int = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's own options."""
    add_layout_arguments(parser)
    group = parser.add_argument_group("the model")
    group.add_argument("--label", help="column of the label; none: the folders' names")
    group.add_argument("--good", nargs="+", default=[], help="labels of machines that are well")
    group.add_argument("--samples", type=int, default=50, help="rows in a window")
    group.add_argument("--hop", type=int, help="rows from window to window; by default half of one")
    group.add_argument("--rate", type=float, help="rows a second; by default from --time, else 1")
    spectrum = "give the model so many bands of the spectrum: for vibration"
    group.add_argument("--spectrum", type=int, default=0, metavar="BANDS", help=spectrum)
    group.add_argument("--epochs", type=int, default=30, help="at most")
    group.add_argument("--patience", type=int, default=8, help="epochs without a better one")
    add_bundle_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Train, quantise, test and write the bundle."""
    layout = layout_of(options, options.label, text=True)
    recording = checks.read_checked(options.data, layout, options.samples)
    if options.label is None:
        recording = labelled_by_folder(recording)
    parts = parted(recording, options.seed, by_label=True)
    labels = recording.labels
    if unknown := set(options.good) - set(labels):
        raise DataUnfit(f"--good {', '.join(sorted(unknown))}: the labels are {', '.join(labels)}")
    plan = Plan(
        labels=labels,
        samples=options.samples,
        hop=options.hop or max(1, options.samples // 2),
        schedule=Schedule(options.epochs, rate=3e-3, batch=64, seed=options.seed, threads=1),
        spectrum=options.spectrum,
        patience=options.patience,
    )
    shape = shape_of(parts.train, plan, options.rate or checks.rate_hz(recording) or 1.0)
    inputs, classes = learned(parts.train, shape, plan)
    check_count(inputs)
    settle(checks.classes([labels[each] for each in classes.tolist()]))
    network = train(inputs, classes, plan, learned(parts.validation, shape, plan))
    models = quantised(network, inputs)
    product = Product(
        recipe="sensor-classify",
        task={
            "kind": "classify",
            "preprocess": shape.model_dump(mode="json"),
            "postprocess": {"activation": "softmax", "normal": options.good},
        },
        rule={"kind": "threshold", "pass_at": 0.3, "fail_at": 0.7},
        model=models.int8,
        precision="int8",
        golden=inputs[[0, -1]],
        atol=0.3,
        about=about(parts, plan, shape),
        labels=labels,
    )
    finish(options, recording, product, lambda folder: figures(parts.test, shape, plan, folder))


def labelled_by_folder(recording: Recording) -> Recording:
    """Return the recording with the name of its file's folder as the label of every row."""
    folders = {path.name: path.parent for path in recording.files}
    if len(folders) < len(recording.files):
        raise DataUnfit("two files have the same name in different folders: rename one")
    if any(folder == recording.folder for folder in folders.values()):
        raise DataUnfit("no --label, and files that lie in no class folder: what is to be learned?")
    series = tuple(
        replace(each, target=np.full(len(each.values), folders[each.file].name))
        for each in recording.series
    )
    return replace(recording, series=series)


def shape_of(series: Sequence[Series], plan: Plan, rate: float) -> WindowPreprocess:
    """Return windows scaled as in these series; with `spectrum`, bands of them, scaled again."""
    features: list[dict[str, Any]] = [zscore(series)]
    shape = window_shape(series[0].channels, plan.samples, plan.hop, rate, features)
    if not plan.spectrum:
        return shape
    width = rate / plan.samples  # what the spectrum resolves
    if plan.spectrum > plan.samples // 2 - 1:
        most = plan.samples // 2 - 1
        raise DataUnfit(f"--spectrum {plan.spectrum}: windows of {plan.samples} rows have {most}")
    edges = np.linspace(width, rate / 2, plan.spectrum + 1)
    features.append({"kind": "spectrum_bands", "edges_hz": tuple(edges.tolist())})
    shape = window_shape(series[0].channels, plan.samples, plan.hop, rate, features)
    bands = examples(series, shape).inputs
    features.append(
        {
            "kind": "zscore",
            "mean": tuple(float(f"{each:.6g}") for each in bands.mean(axis=(0, 1))),
            "std": tuple(float(f"{max(each, 1e-6):.6g}") for each in bands.std(axis=(0, 1))),
        }
    )
    return window_shape(series[0].channels, plan.samples, plan.hop, rate, features)


def learned(series: Sequence[Series], shape: WindowPreprocess, plan: Plan) -> tuple[Array, Classes]:
    """Return features [n, rows, columns] and class indices [n], by the label of the newest row."""
    found = examples(series, shape)
    index = {label: number for number, label in enumerate(plan.labels)}
    classes = [index[str(label)] for label in targets(found, series).tolist()]
    return found.inputs, np.array(classes)


def train(inputs: Array, classes: Classes, plan: Plan, held: tuple[Array, Classes] | None) -> Any:  # noqa: ANN401  a torch module
    """Return the trained network; each class weighs the same.

    With `held` it is that of the epoch that did best on it.
    """
    import torch  # noqa: PLC0415  of the training environment only

    torch.manual_seed(plan.schedule.seed)
    network = mixer(inputs.shape[2], inputs.shape[1], 32, (32, 64), outputs=len(plan.labels))
    counts = np.bincount(classes, minlength=len(plan.labels))
    weights = torch.tensor(len(classes) / np.maximum(counts, 1) / len(counts), dtype=torch.float32)
    loss = torch.nn.CrossEntropyLoss(weights, label_smoothing=0.02)

    schedule = plan.schedule
    if held is not None:
        windows, truth = held

        def validate(now: Any) -> float:  # noqa: ANN401
            right = (predict(now, windows).argmax(axis=1) == truth).astype(float)
            return float(np.mean([right[truth == each].mean() for each in np.unique(truth)]))

        schedule = replace(schedule, validate=validate, patience=plan.patience)
    fit(network, inputs, classes, loss, schedule)
    return network


def figures(
    series: Sequence[Series], shape: WindowPreprocess, plan: Plan, folder: Path
) -> list[Figure]:
    """Return how many windows never seen are told right, beside the answer of the commonest."""
    _, classes = learned(series, shape, plan)
    truths = [plan.labels[each] for each in classes.tolist()]
    answers = [each.label for each in answered(folder, series, shape)]
    commonest = max(plan.labels, key=truths.count)
    what = f"{len(truths)} windows of {len(series)} series never seen"
    return [
        (f"accuracy, {what}, int8, by the agent", f"{accuracy(truths, answers):.2%}"),
        (f"accuracy, {what}, always {commonest}", f"{truths.count(commonest) / len(truths):.2%}"),
        ("F1, mean of the classes, int8, by the agent", f"{macro_f1(truths, answers):.3f}"),
        *confusion(truths, answers, plan.labels),
    ]


def about(parts: Parts, plan: Plan, shape: WindowPreprocess) -> str:
    """Return the card's text."""
    seen = f"{plan.spectrum} bands of the spectrum" if plan.spectrum else f"{plan.samples} rows"
    return f"""
Condition of a machine, one of {", ".join(plan.labels)}, from {len(shape.channels)} channels.

**Split** {parts.text}: {len(parts.train)} series to train on, {len(parts.validation)} to stop by,
{len(parts.test)} to test on.

**Input** {seen} of {", ".join(shape.channels)}, scaled by the training part's mean and deviation.

**Network** an MLP-Mixer of two blocks, int8.
"""
