"""Which condition a machine is in, from windows of its sensors and labels beside them.

Labels stand in a column (`--label`), or are the names of the folders that the files lie in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.quantise import run_model
from tools.recordings import checks
from tools.recordings.option_types import above_zero, count
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
from tools.training.data_checks import DataUnfit, Finding, print_findings, settle
from tools.training.doubts import by_rule, guesses
from tools.training.fit import Schedule, fit, predict
from tools.training.logistic import balanced_loss, likelihoods
from tools.training.nets import mixer
from tools.training.shares import share
from tools.training.thresholds import UNSURE, limits

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
    Flags = NDArray[np.bool_]

SUMMARY = "the condition of a machine, from recordings with labels"
# Where none can be found: no window held out is good, or none is bad.
FIXED = {"kind": "threshold", "pass_at": 0.3, "fail_at": 0.7}


@dataclass(frozen=True, slots=True)
class Plan:
    """`labels` by class index; `spectrum`: bands of the spectrum instead of samples, 0 for none."""

    labels: tuple[str, ...]
    samples: int
    hop: int
    schedule: Schedule
    spectrum: int = 0
    patience: int = 8


@dataclass(frozen=True, slots=True)
class Rule:
    """The bundle's rule and how its limits were found, in words.

    `good`: labels of machines that are well; `asked`: the share of their windows that may fail.
    """

    settings: dict[str, Any]
    text: str
    good: tuple[str, ...] = ()
    asked: float = 0.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's own options."""
    add_layout_arguments(parser)
    group = parser.add_argument_group("the model")
    group.add_argument("--label", help="column of the label; none: the folders' names")
    group.add_argument("--good", nargs="+", default=[], help="labels of machines that are well")
    group.add_argument("--false-reject", type=share, default=0.02, metavar="SHARE",
                       help="good windows that may fail")  # fmt: skip
    group.add_argument("--samples", type=count, default=50, help="rows in a window")
    group.add_argument(
        "--hop", type=count, help="rows from window to window; by default half of one"
    )
    group.add_argument(
        "--rate", type=above_zero, help="rows a second; by default from --time, else 1"
    )
    spectrum = "give the model so many bands of the spectrum: for vibration"
    group.add_argument("--spectrum", type=int, default=0, metavar="BANDS", help=spectrum)
    group.add_argument("--epochs", type=count, default=30, help="at most")
    group.add_argument("--patience", type=count, default=8, help="epochs without a better one")
    add_bundle_arguments(parser)


def run(options: argparse.Namespace) -> Sequence[Finding]:
    """Train, quantise, test and write the bundle; return what is doubtful of it."""
    layout = layout_of(options, options.label, text=True)
    recording = checks.read_checked(options.data, layout, options.samples)
    if options.label is None:
        recording = labelled_by_folder(recording)
    parts = parted(recording, options.seed, by_label=True)
    labels = recording.labels
    if unknown := set(options.good) - set(labels):
        raise DataUnfit(f"--good {', '.join(sorted(unknown))}: the labels are {', '.join(labels)}")
    if set(options.good) == set(labels):
        raise DataUnfit(f"--good names all labels, {', '.join(labels)}: none is left to fail")
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
    check_count(inputs, shape, lambda other: learned(parts.train, other, plan)[0])
    settle(checks.classes([labels[each] for each in classes.tolist()]))
    network = train(inputs, classes, plan, learned(parts.validation, shape, plan))
    models = quantised(network, inputs)
    rule = rule_of(models.int8, parts.validation, shape, plan, options)
    product = Product(
        recipe="sensor-classify",
        task={
            "kind": "classify",
            "preprocess": shape.model_dump(mode="json"),
            "postprocess": {"activation": "softmax", "normal": options.good},
        },
        rule=rule.settings,
        model=models.int8,
        precision="int8",
        golden=inputs[[0, -1]],
        atol=0.3,
        about=about(parts, plan, shape, rule),
        labels=labels,
    )
    return finish(
        options, recording, product, lambda folder: judged(parts.test, shape, plan, rule, folder)
    )


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

    With `held` it is that of the epoch that did best on it: by the loss, for the limits are about
    how sure the network is, and accuracy is often all there long before it is sure.
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
            return -balanced_loss(predict(now, windows), truth, len(plan.labels))

        schedule = replace(schedule, validate=validate, patience=plan.patience)
    fit(network, inputs, classes, loss, schedule)
    return network


def rule_of(
    model: bytes,
    held: Sequence[Series],
    shape: WindowPreprocess,
    plan: Plan,
    options: argparse.Namespace,
) -> Rule:
    """Return limits that hold on the windows held out, by the model that is bundled."""
    if not options.good:
        return Rule(UNSURE, "how sure the model is, for no label was named with --good")
    found = examples(held, shape)
    good = np.array([label in options.good for label in plan.labels])
    bad = ~good[learned(held, shape, plan)[1]]
    if bad.all() or not bad.any():
        text = "fixed ones: the part to stop by does not hold both good and bad windows"
        print_findings([Finding("warning", f"limits are {text}")])
        return Rule(FIXED, text, tuple(options.good), options.false_reject)
    likely = likelihoods(run_model(model, found.inputs[:, None]).reshape(len(bad), -1))
    groups = [held[number].group for number in found.series.tolist()]
    pass_at, fail_at = limits(likely[:, ~good].sum(axis=1), bad, options.false_reject, groups)
    return Rule(
        {"kind": "threshold", "pass_at": pass_at, "fail_at": fail_at},
        f"found on {len(bad)} windows of the part to stop by; {options.false_reject:.1%} of good "
        "ones may fail",
        tuple(options.good),
        options.false_reject,
    )


def judged(
    series: Sequence[Series], shape: WindowPreprocess, plan: Plan, rule: Rule, folder: Path
) -> tuple[list[Figure], list[Finding]]:
    """Return how the bundle does on windows never seen, and what is doubtful of its rule."""
    _, classes = learned(series, shape, plan)
    truths = [plan.labels[each] for each in classes.tolist()]
    predictions = answered(folder, series, shape)
    answers = [each.label for each in predictions]
    found = figures(truths, answers, plan, len(series))
    right = sum(truth == answer for truth, answer in zip(truths, answers, strict=True))
    doubts = [*guesses(right, len(truths), max(map(truths.count, plan.labels)))]
    if not rule.good:
        return found, doubts
    bad = ~np.isin(truths, rule.good)
    scores = np.array([each.score for each in predictions])
    passed, failed = scores < rule.settings["pass_at"], scores >= rule.settings["fail_at"]
    doubts = doubts or [*by_rule(passed, failed, bad, rule.asked)]
    return [*found, *by_limits(passed, failed, bad, rule)], doubts


def by_limits(passed: Flags, failed: Flags, bad: Flags, rule: Rule) -> list[Figure]:
    """Return what the bundle's limits do to test windows: they decide, not the likelier class."""
    rows = (
        (f"good test windows that fail, at {rule.settings['fail_at']:g} or more", failed[~bad]),
        (f"good test windows that pass, below {rule.settings['pass_at']:g}", passed[~bad]),
        ("bad test windows that pass", passed[bad]),
        ("bad test windows that fail", failed[bad]),
        ("test windows that are uncertain", ~(passed | failed)),
    )
    return [(what, f"{each.mean():.2%}") for what, each in rows if len(each)]


def figures(truths: list[str], answers: list[str], plan: Plan, count: int) -> list[Figure]:
    """Return how many windows of `count` series never seen are told right.

    Beside it stands the answer of the commonest label.
    """
    commonest = max(plan.labels, key=truths.count)
    what = f"{len(truths)} windows of {count} series never seen"
    return [
        (f"accuracy, {what}, int8, by the agent", f"{accuracy(truths, answers):.2%}"),
        (f"accuracy, {what}, always {commonest}", f"{truths.count(commonest) / len(truths):.2%}"),
        ("F1, mean of the classes, int8, by the agent", f"{macro_f1(truths, answers):.3f}"),
        *confusion(truths, answers, plan.labels),
    ]


def about(parts: Parts, plan: Plan, shape: WindowPreprocess, rule: Rule) -> str:
    """Return the card's text."""
    seen = f"{plan.spectrum} bands of the spectrum" if plan.spectrum else f"{plan.samples} rows"
    return f"""
Condition of a machine, one of {", ".join(plan.labels)}, from {len(shape.channels)} channels.

**Split** {parts.text}: {len(parts.train)} series to train on, {len(parts.validation)} to stop by,
{len(parts.test)} to test on.

**Input** {seen} of {", ".join(shape.channels)}, scaled by the training part's mean and deviation.

**Network** an MLP-Mixer of two blocks, int8.

**Limits** {rule.text}.
"""
