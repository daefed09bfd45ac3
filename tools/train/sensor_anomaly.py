"""What is not as usual, learned from recordings of a machine that is well.

`autoencoder` gives windows back as it learned them; what it cannot give back is strange. `density`
measures how far a window's means and deviations lie from those of good windows. Rows that are known
to be bad (`--label`, `--good`) are never learned; they only tell how good the model is. Threshold:
the score that a chosen share of good windows, held back from training, exceeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tools.recordings import checks
from tools.recordings.option_types import above_zero, count
from tools.recordings.parts import parted
from tools.recordings.product import Product, add_bundle_arguments, answered, finish
from tools.recordings.series import add_layout_arguments, layout_of
from tools.recordings.usual import Plan, good_only, good_rows, model_of
from tools.recordings.windows import examples
from tools.scoring.merit import alarms, auroc
from tools.training.data_checks import DataUnfit, named
from tools.training.doubts import false_alarms, tells_little
from tools.training.fit import Schedule
from tools.training.shares import share

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from tools.recordings.parts import Parts
    from tools.recordings.series import Recording, Series
    from tools.recordings.usual import Made
    from tools.scoring.report import Figure
    from tools.training.data_checks import Finding

SUMMARY = "what is not as usual, from recordings of a machine that is well"


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


def run(options: argparse.Namespace) -> Sequence[Finding]:
    """Train, quantise, calibrate, test and write the bundle; return what is doubtful of it."""
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
    return finish(
        options, recording, product, lambda folder: judged(parts.test, made, plan, folder)
    )


def task_of(made: Made, plan: Plan) -> dict[str, Any]:
    """Return the manifest's task: a score of 1 is at the threshold."""
    form = "reconstruction" if plan.method == "autoencoder" else "score"
    return {
        "kind": "anomaly",
        "preprocess": made.shape.model_dump(mode="json"),
        "postprocess": {"form": form, "normal_score": made.threshold},
    }


def judged(
    series: Sequence[Series], made: Made, plan: Plan, folder: Path
) -> tuple[list[Figure], list[Finding]]:
    """Return false and missed alarms on series never seen, beside models that learned nothing.

    And what is doubtful of the model.
    """
    found = examples(series, made.shape)
    pairs = zip(found.newest.tolist(), found.series.tolist(), strict=True)
    bad = np.array([not good_rows(series[number], plan)[row] for row, number in pairs])
    scores = np.array([each.score for each in answered(folder, series, made.shape)])
    what = f"{len(bad)} windows of {len(series)} series never seen"
    doubts = [*false_alarms(scores[~bad] >= 1, plan.false_alarms)]
    if not bad.any():
        share = f"{(scores >= 1).mean():.1%}"
        return [(f"good windows beyond the threshold, {what}", share)], doubts
    if bad.all():
        raise DataUnfit("no good window in the test part: nothing can be told from it")
    zero = np.square(found.inputs).mean(axis=(1, 2))
    level = np.quantile(np.square(made.inputs).mean(axis=(1, 2)), 1 - plan.false_alarms)
    rows = {
        f"{plan.method}, by the agent": (scores, scores >= 1),
        "without a model, by how far all lies from its mean": (zero, zero >= level),
        "alarm at every window": (np.zeros(len(bad)), np.ones(len(bad), bool)),
    }
    out = []
    for name, (each, alarmed) in rows.items():
        rate = alarms(bad, alarmed)
        text = f"{rate.f1:.3f} / {rate.far:.1%} / {rate.mar:.1%} / {auroc(bad, each):.3f}"
        out.append((f"F1 / FAR / MAR / AUROC, {what}, {name}", text))
    return out, [*doubts, *tells_little(auroc(bad, scores), auroc(bad, zero))]


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
