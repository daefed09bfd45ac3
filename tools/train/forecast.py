"""The next values of a channel, from the last ones of all.

The model adds a change to the last value it saw, so that "all stays as it is" is where training
starts, and the figure to beat. Its output holds the value of each coming row; the verdict's score
is the furthest one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.preprocess import ZScore
from tools.recordings.checks import rate_hz, read_checked
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
from tools.scoring.merit import rmse
from tools.training.data_checks import DataUnfit
from tools.training.doubts import learned_nothing
from tools.training.fit import Schedule, fit, predict
from tools.training.nets import forecaster

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from tools.recordings.parts import Parts
    from tools.recordings.series import Series
    from tools.recordings.windows import Examples
    from tools.scoring.report import Figure
    from tools.training.data_checks import Finding

    Array = NDArray[np.float32]

SUMMARY = "the next values of a channel, from the last ones of all"

BY_AGENT = "int8, by the agent"


@dataclass(frozen=True, slots=True)
class Plan:
    """Channel number `place` is forecast for each of the next `ahead` rows, from `samples` rows.

    `hidden`: width of the network.
    """

    place: int
    samples: int
    ahead: int
    schedule: Schedule
    hop: int = 1
    hidden: int = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's own options."""
    add_layout_arguments(parser)
    group = parser.add_argument_group("the model")
    group.add_argument("--target", required=True, help="the channel to forecast")
    group.add_argument("--ahead", type=count, default=10, help="rows to look ahead")
    group.add_argument("--samples", type=count, default=30, help="rows in a window")
    group.add_argument("--hop", type=count, default=1, help="rows from window to window")
    group.add_argument(
        "--rate", type=above_zero, help="rows a second; by default from --time, else 1"
    )
    group.add_argument("--epochs", type=count, default=30, help="at most")
    group.add_argument("--patience", type=count, default=8, help="epochs without a better one")
    group.add_argument("--hidden", type=count, default=32, help="width of the network")
    group.add_argument("--fail-at", type=float, help="value that fails; by default the worst seen")
    group.add_argument("--direction", choices=("above", "below"), default="above",
                       help="the side on which values are bad")  # fmt: skip
    group.add_argument("--value-unit", default="", help="of the value, for the verdicts")
    add_bundle_arguments(parser)


def run(options: argparse.Namespace) -> Sequence[Finding]:
    """Train, quantise, test and write the bundle; return what is doubtful of it."""
    needed = options.samples + options.ahead
    recording = read_checked(options.data, layout_of(options), needed)
    if options.target not in recording.channels:
        there = ", ".join(recording.channels)
        raise DataUnfit(f"--target {options.target}: no channel that changes; there are {there}")
    parts = parted(recording, options.seed)
    plan = Plan(
        place=recording.channels.index(options.target),
        samples=options.samples,
        ahead=options.ahead,
        hop=options.hop,
        hidden=options.hidden,
        schedule=Schedule(options.epochs, rate=2e-3, batch=64, seed=options.seed, threads=1),
    )
    shape = shape_of(parts.train, plan, options.rate or rate_hz(recording) or 1.0)
    inputs, coming = learned(parts.train, shape, plan)
    check_count(inputs, shape, lambda other: learned(parts.train, other, plan)[0])
    held = learned(parts.validation, shape, plan)
    network = train(inputs, coming, plan, held, options.patience)
    models = quantised(network, inputs)
    product = Product(
        recipe="forecast",
        task=task_of(shape, plan, options.value_unit),
        rule=rule_of(parts.train, plan, options.direction, options.fail_at),
        model=models.int8,
        precision="int8",
        golden=inputs[[0, -1]],
        atol=0.05,
        about=about(parts, plan, options.target),
    )
    return finish(
        options, recording, product, lambda folder: judged(parts.test, shape, plan, folder)
    )


def shape_of(series: Sequence[Series], plan: Plan, rate: float) -> WindowPreprocess:
    """Return windows whose channels are scaled as in these series."""
    return window_shape(series[0].channels, plan.samples, plan.hop, rate, [zscore(series)])


def learned(series: Sequence[Series], shape: WindowPreprocess, plan: Plan) -> tuple[Array, Array]:
    """Return features [n, samples, columns] and the coming values, scaled, [n, ahead].

    Windows near the end or a hole, after which not all coming values are known, are left out.
    """
    found = examples(series, shape)
    coming = _all_coming(found, series, plan)
    known = np.isfinite(coming).all(axis=1)
    if not known.any():
        raise DataUnfit(f"no window has {plan.ahead} rows after it: give a smaller --ahead")
    mean, std = scale(shape, plan)
    scaled = (coming[known] - mean) / std
    return found.inputs[known], scaled.astype(np.float32)


def train(
    inputs: Array,
    coming: Array,
    plan: Plan,
    held: tuple[Array, Array] | None = None,
    patience: int | None = None,
) -> Any:  # noqa: ANN401  a torch module
    """Return a network trained on these; with `held` that of its best epoch on them."""
    import torch  # noqa: PLC0415  of the training environment only

    torch.manual_seed(plan.schedule.seed)
    network = forecaster(inputs.shape[2], plan.samples, plan.place, plan.ahead, plan.hidden)
    schedule = plan.schedule
    if held is not None:

        def validate(now: Any) -> float:  # noqa: ANN401
            return -rmse(predict(now, held[0]) - held[1])

        schedule = replace(schedule, validate=validate, patience=patience)
    fit(network, inputs, coming, torch.nn.functional.mse_loss, schedule)
    return network


def scale(shape: WindowPreprocess, plan: Plan) -> tuple[float, float]:
    """Return mean and deviation by which the forecast channel is scaled."""
    step = shape.features[0]
    if not isinstance(step, ZScore):
        raise TypeError("the first feature scales")
    return step.mean[plan.place], step.std[plan.place]


def task_of(shape: WindowPreprocess, plan: Plan, unit: str) -> dict[str, Any]:
    """Return the manifest's task: the score is the furthest of the coming values."""
    mean, std = scale(shape, plan)
    return {
        "kind": "regress",
        "preprocess": shape.model_dump(mode="json"),
        "postprocess": {"index": plan.ahead - 1, "scale": std, "offset": mean, "unit": unit},
    }


def rule_of(
    series: Sequence[Series], plan: Plan, direction: str, fail_at: float | None
) -> dict[str, Any]:
    """Return the manifest's rule: by default only what was never seen in training fails."""
    if fail_at is None:
        values = np.concatenate([each.values[:, plan.place] for each in series])
        fail_at = float(np.nanmax(values) if direction == "above" else np.nanmin(values))
    return {"kind": "threshold", "direction": direction, "fail_at": fail_at}


def judged(
    series: Sequence[Series], shape: WindowPreprocess, plan: Plan, folder: Path
) -> tuple[list[Figure], list[Finding]]:
    """Return the error of the furthest value on rows never seen, beside answers that learn nothing.

    And what is doubtful of it.
    """
    inputs, coming = learned(series, shape, plan)
    mean, std = scale(shape, plan)
    truth = coming[:, -1] * std + mean
    kept = _known(series, shape, plan)
    scores = np.array([each.score for each in answered(folder, series, shape)])[kept]
    past = inputs[:, :, plan.place] * std + mean
    slope = (past[:, -1] - past[:, 0]) / (plan.samples - 1)
    rows = {
        BY_AGENT: scores,
        "all stays as it is": past[:, -1],
        "as the window went, so it goes on": past[:, -1] + plan.ahead * slope,
        "always the mean of the training part": np.full_like(truth, mean),
    }
    what = f"RMSE, {plan.ahead} rows ahead, {len(truth)} windows never seen"
    errors = {name: rmse(each - truth) for name, each in rows.items()}
    others = {f"`{name}`": error for name, error in errors.items() if name != BY_AGENT}
    doubts = learned_nothing(errors[BY_AGENT], others)
    return [(f"{what}, {name}", f"{error:.4g}") for name, error in errors.items()], [*doubts]


def about(parts: Parts, plan: Plan, channel: str) -> str:
    """Return the card's text."""
    return f"""
Forecast of {channel}, {plan.ahead} rows ahead, from the last {plan.samples} rows. The output holds
each of the {plan.ahead} coming values; the score is the furthest.

**Split** {parts.text}: {len(parts.train)} series to train on, {len(parts.validation)} to stop by,
{len(parts.test)} to test on.

**Network** one hidden layer of {plan.hidden} that adds a change to the last value, int8.
"""


def _known(series: Sequence[Series], shape: WindowPreprocess, plan: Plan) -> NDArray[np.bool_]:
    """Return for each window whether all values that it is to forecast are known."""
    coming = _all_coming(examples(series, shape), series, plan)
    return np.asarray(np.isfinite(coming).all(axis=1))


def _all_coming(found: Examples, series: Sequence[Series], plan: Plan) -> NDArray[np.float64]:
    pairs = zip(found.newest.tolist(), found.series.tolist(), strict=True)
    rows = [_coming(series[each].values[:, plan.place], row, plan.ahead) for row, each in pairs]
    return np.stack(rows)


def _coming(values: NDArray[np.float64], row: int, ahead: int) -> NDArray[np.float64]:
    """Return the values after `row`, NaN where there is none: [ahead]."""
    coming = values[row + 1 : row + 1 + ahead]
    return np.concatenate([coming, np.full(ahead - len(coming), np.nan)])
