"""Models of what is usual in windows of a machine that is well: an autoencoder, or a density."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.quantise import float_model, run_model
from tools.recordings.product import check_count, quantised
from tools.recordings.windows import examples, window_shape, zscore
from tools.training.fit import Schedule, fit, predict
from tools.training.nets import autoencoder, density, rescaled, window_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from tools.recordings.series import Series

    Array = NDArray[np.float32]
    Flags = NDArray[np.bool_]

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


def _scaled(step: dict[str, Any], sizes: Array) -> dict[str, Any]:
    """Return the scaling to deviations followed by a division by `sizes`, as one step."""
    std = [float(f"{a * b:.5g}") for a, b in zip(step["std"], sizes.tolist(), strict=True)]
    return {**step, "std": tuple(std)}
