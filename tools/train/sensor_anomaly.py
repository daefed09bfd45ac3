"""What is not as usual, learned from recordings of a machine that is well.

`autoencoder` gives windows back as it learned them; what it cannot give back is strange. `density`
measures how far a window's means and deviations lie from those of good windows. Rows that are known
to be bad (`--label`, `--good`) are never learned; they only tell how good the model is. Threshold:
the score that a chosen share of good windows, held back from training, exceeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.quantise import float_model, run_model
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
from tools.recordings.series import add_layout_arguments, layout_of
from tools.recordings.windows import examples, window_shape, zscore
from tools.scoring.merit import alarms, auroc
from tools.training.data_checks import DataUnfit, named
from tools.training.fit import Schedule, fit, predict
from tools.training.nets import autoencoder, density, rescaled, window_statistics
from tools.training.shares import share

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
    Flags = NDArray[np.bool_]

SUMMARY = "what is not as usual, from recordings of a machine that is well"
# A strange window lies outside of what good ones show: the model's input must reach that far.
WIDENED = 3.0
# A channel that is reconstructed this much better than the usual one counts no more than that:
# int8 has one scale for all.
FINEST = 0.2
# Directions in which good windows hardly differ are as good as noise.
SMALLEST_VARIANCE = 1e-2


@dataclass(frozen=True, slots=True)
class Plan:
    """How the model is made; `false_alarms`: the share of good windows beyond the threshold."""

    method: str
    samples: int
    hop: int
    false_alarms: float
    good: tuple[str, ...]
    schedule: Schedule
    code: int = 8
    patience: int = 8


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A model, what it wants to see, what it was trained on, and the threshold of its raw scores.

    `calibrated_on`: how many good windows set the threshold.
    """

    model: bytes
    shape: WindowPreprocess
    inputs: Array
    threshold: float
    calibrated_on: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's own options."""
    add_layout_arguments(parser)
    group = parser.add_argument_group("the model")
    group.add_argument("--method", choices=("autoencoder", "density"), default="autoencoder",
                       help="how good windows are described")  # fmt: skip
    group.add_argument("--label", help="column that tells good rows from bad, if there is one")
    group.add_argument("--good", nargs="+", default=["0", "0.0", "ok", "good", "normal"],
                       help="values of --label that are good")  # fmt: skip
    group.add_argument("--false-alarms", type=share, default=0.01, metavar="SHARE",
                       help="good windows that may be beyond the threshold")  # fmt: skip
    group.add_argument("--samples", type=count, default=30, help="rows in a window")
    group.add_argument(
        "--hop", type=count, help="rows from window to window; by default half of one"
    )
    group.add_argument(
        "--rate", type=above_zero, help="rows a second; by default from --time, else 1"
    )
    group.add_argument("--code", type=count, default=8, help="values a window is squeezed into")
    group.add_argument("--epochs", type=count, default=40, help="at most")
    group.add_argument("--patience", type=count, default=8, help="epochs without a better one")
    add_bundle_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Train, quantise, calibrate, test and write the bundle."""
    layout = layout_of(options, options.label, text=True)
    recording = checks.read_checked(options.data, layout, options.samples)
    plan = Plan(
        method=options.method,
        samples=options.samples,
        hop=options.hop or max(1, options.samples // 2),
        false_alarms=options.false_alarms,
        good=tuple(options.good),
        schedule=Schedule(options.epochs, rate=2e-3, batch=32, seed=options.seed, threads=1),
        code=options.code,
        patience=options.patience,
    )
    _check_good(recording, options.label, plan)
    parts = parted(recording, options.seed, by_label=options.label is not None)
    rate = options.rate or checks.rate_hz(recording) or 1.0
    made = model_of(good_only(parts.train, plan), good_only(parts.validation, plan), plan, rate)
    product = Product(
        recipe="sensor-anomaly",
        task=task_of(made, plan),
        rule={"kind": "threshold", "fail_at": 1.0, "hysteresis": 0.1},
        model=made.model,
        precision="int8" if plan.method == "autoencoder" else "float32",
        golden=made.inputs[[0, -1]],
        atol=0.5,
        about=about(parts, plan, made),
    )
    finish(
        options,
        recording,
        product,
        lambda folder: (figures(parts.test, made, plan, folder), ()),
    )


def good_only(series: Sequence[Series], plan: Plan) -> list[Series]:
    """Return the series with bad rows as holes: no window reaches across them."""
    return [
        replace(each, values=np.where(good_rows(each, plan)[:, None], each.values, np.nan))
        for each in series
    ]


def good_rows(series: Series, plan: Plan) -> Flags:
    """Return which rows are known to be good: all, where there are no labels."""
    if series.target is None:
        return np.ones(len(series.values), bool)
    return np.isin(series.target, plan.good)


def model_of(train: Sequence[Series], held: Sequence[Series], plan: Plan, rate: float) -> Made:
    """Return the model of good series; `held`, good too, stop the training and set the threshold.

    Rows that are not to be learned are NaN in both.
    """
    shape = window_shape(train[0].channels, plan.samples, plan.hop, rate, [zscore(train)])
    inputs, others = examples(train, shape).inputs, examples(held, shape).inputs
    if plan.method == "density":
        model = float_model(density_of(inputs), inputs[:1], picture=False)
    else:
        check_count(inputs, shape, lambda other: examples(train, other).inputs)
        network = trained(inputs, others, plan)
        sizes = residual_sizes(network, others)
        shape = window_shape(
            train[0].channels, plan.samples, plan.hop, rate, [_scaled(zscore(train), sizes)]
        )
        inputs, others = inputs / sizes, others / sizes
        network = rescaled(network, sizes)
        model = quantised(network, inputs, residuals, widened=WIDENED).int8
    scores = scores_of(model, others, plan)
    return Made(
        model, shape, inputs, float(np.quantile(scores, 1 - plan.false_alarms)), len(scores)
    )


def trained(inputs: Array, held: Array, plan: Plan) -> Any:  # noqa: ANN401  a torch module
    """Return the autoencoder that did best on `held`."""
    import torch  # noqa: PLC0415  of the training environment only

    torch.manual_seed(plan.schedule.seed)
    network = autoencoder(inputs.shape[2], inputs.shape[1], code=plan.code)

    def validate(now: Any) -> float:  # noqa: ANN401
        return -float(np.square(predict(now, held) - held).mean())

    schedule = replace(plan.schedule, validate=validate, patience=plan.patience)
    fit(network, inputs, inputs, torch.nn.functional.mse_loss, schedule)
    return network


def density_of(inputs: Array) -> Any:  # noqa: ANN401  a torch module
    """Return the network that measures the distance from these windows."""
    import torch  # noqa: PLC0415  of the training environment only

    points = window_statistics(torch.from_numpy(inputs)).numpy().astype(np.float64)
    mean = points.mean(axis=0)
    values, directions = np.linalg.eigh(np.cov(points, rowvar=False))
    smallest = SMALLEST_VARIANCE * values.max()
    whitening = (directions / np.sqrt(np.maximum(values, smallest))).T
    return density(*(torch.from_numpy(each.astype(np.float32)) for each in (mean, whitening)))


def residuals(inputs: Array, answers: Array) -> Array:
    """Return the mean square of what was not given back: [n]."""
    squared: Array = np.square(inputs - answers)
    return np.asarray(squared.mean(axis=(1, 2)))


def residual_sizes(network: Any, inputs: Array) -> Array:  # noqa: ANN401  a torch module
    """Return how large the residuals of each channel are beside the usual one's: [columns].

    Without this a noisy channel would drown all others.
    """
    sizes = np.sqrt(np.square(predict(network, inputs) - inputs).mean(axis=(0, 1)))
    usual = sizes / np.median(sizes)
    return np.asarray(np.maximum(usual, FINEST), np.float32)


def scores_of(model: bytes, inputs: Array, plan: Plan) -> Array:
    """Return the raw scores of the TFLite model, as the agent takes them: [n]."""
    answers = run_model(model, inputs[:, None])
    return residuals(inputs, answers) if plan.method == "autoencoder" else answers[:, 0]


def task_of(made: Made, plan: Plan) -> dict[str, Any]:
    """Return the manifest's task: a score of 1 is at the threshold."""
    form = "reconstruction" if plan.method == "autoencoder" else "score"
    return {
        "kind": "anomaly",
        "preprocess": made.shape.model_dump(mode="json"),
        "postprocess": {"form": form, "normal_score": made.threshold},
    }


def figures(series: Sequence[Series], made: Made, plan: Plan, folder: Path) -> list[Figure]:
    """Return false and missed alarms on series never seen, beside models that learned nothing."""
    found = examples(series, made.shape)
    pairs = zip(found.newest.tolist(), found.series.tolist(), strict=True)
    bad = np.array([not good_rows(series[number], plan)[row] for row, number in pairs])
    scores = np.array([each.score for each in answered(folder, series, made.shape)])
    what = f"{len(bad)} windows of {len(series)} series never seen"
    if not bad.any():
        return [(f"good windows beyond the threshold, {what}", f"{(scores >= 1).mean():.1%}")]
    if bad.all():
        raise DataUnfit("no good window in the test part: nothing can be told from it")
    zero = np.square(found.inputs).mean(axis=(1, 2))
    level = np.quantile(np.square(made.inputs).mean(axis=(1, 2)), 1 - plan.false_alarms)
    rows = {
        f"{plan.method}, by the agent": (scores, scores >= 1),
        "a model that always answers zero": (zero, zero >= level),
        "alarm at every window": (np.zeros(len(bad)), np.ones(len(bad), bool)),
    }
    out = []
    for name, (each, alarmed) in rows.items():
        rate = alarms(bad, alarmed)
        text = f"{rate.f1:.3f} / {rate.far:.1%} / {rate.mar:.1%} / {auroc(bad, each):.3f}"
        out.append((f"F1 / FAR / MAR / AUROC, {what}, {name}", text))
    return out


def about(parts: Parts, plan: Plan, made: Made) -> str:
    """Return the card's text."""
    how = {
        "autoencoder": f"a dense autoencoder that squeezes a window into {plan.code} values, int8",
        "density": "Mahalanobis' distance of each window's means and deviations, float",
    }[plan.method]
    return f"""
What is not as usual in {", ".join(made.shape.channels)}.

**Split** {parts.text}: {len(parts.train)} series to train on, {len(parts.validation)} to stop and
calibrate by, {len(parts.test)} to test on. Only good rows were learned.

**Threshold** a score of 1: {plan.false_alarms:.1%} of {made.calibrated_on} good windows of the
validation part exceed it. Calibrate anew on each machine's own good windows.

**Network** {how}.
"""


def _check_good(recording: Recording, label: str | None, plan: Plan) -> None:
    if label is None:
        return
    if not set(recording.labels) & set(plan.good):
        raise DataUnfit(
            f"column {label} holds {named(recording.labels)}: say with --good which is good"
        )


def _scaled(step: dict[str, Any], sizes: Array) -> dict[str, Any]:
    """Return the scaling to deviations followed by a division by `sizes`, as one step."""
    std = [float(f"{a * b:.5g}") for a, b in zip(step["std"], sizes.tolist(), strict=True)]
    return {**step, "std": tuple(std)}
