"""Remaining useful life of a machine, from recordings that run until it fails.

The life of a row is the number of rows left to the end of its series, or what `--life` says; far
from the end nothing shows yet, so lives beyond `--cap` are taught as the cap: piecewise linear
(Heimes, "Recurrent neural networks for remaining useful life estimation", PHM 2008).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

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
from tools.recordings.windows import examples, targets, window_shape, zscore
from tools.scoring.merit import nasa_score, rmse
from tools.training.data_checks import DataUnfit
from tools.training.doubts import learned_nothing
from tools.training.fit import Schedule, fit, predict
from tools.training.nets import mixer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from tools.recordings.parts import Parts
    from tools.recordings.series import Series
    from tools.scoring.report import Figure
    from tools.training.data_checks import Finding

    Array = NDArray[np.float32]

SUMMARY = "remaining useful life, from recordings that run until the machine fails"
# A recording of a machine in service ends anywhere: each one for the test is cut so many times.
CUTS = 20
SCHEDULE = Schedule(epochs=15, rate=3e-3, batch=256, threads=1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the model sees and how it is made; the defaults are those of turbofan-rul.

    `cap`: lives beyond are taught as this. `early`: so many first rows of a machine are what its
    own normal is. `smoothing`: weight of the newest row in the exponential mean. `age_per`: rows
    after which the age is 0 (it runs from -1 to 1); None: the model does not see the age.
    `offset`: deviation of the offset that training adds to each channel of a window, in units of
    the channel's own deviation.
    """

    cap: float = 125.0
    samples: int = 50
    hop: int = 1
    early: int = 20
    smoothing: float = 0.1
    age_per: float | None = 150.0
    offset: float = 0.3
    width: int = 48
    hidden: tuple[int, int] = (40, 96)
    schedule: Schedule = SCHEDULE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the recipe's own options."""
    add_layout_arguments(parser)
    plan = Plan()
    group = parser.add_argument_group("the model")
    group.add_argument("--life", help="column of the remaining life; none: rows to the end")
    group.add_argument("--cap", type=float, default=plan.cap, help="longest life that is taught")
    group.add_argument("--samples", type=count, default=plan.samples, help="rows in a window")
    group.add_argument("--hop", type=count, default=plan.hop, help="rows from window to window")
    group.add_argument(
        "--rate", type=above_zero, help="rows a second; by default from --time, else 1"
    )
    group.add_argument("--no-age", action="store_true", help="do not show the model the age")
    group.add_argument("--epochs", type=count, default=30, help="at most")
    group.add_argument("--patience", type=count, default=8, help="epochs without a better one")
    group.add_argument("--life-unit", default="rows", help="of the life, for the verdicts")
    group.add_argument("--fail-at", type=float, help="life that fails; by default a fifth of --cap")
    add_bundle_arguments(parser)


def run(options: argparse.Namespace) -> Sequence[Finding]:
    """Train, quantise, test and write the bundle; return what is doubtful of it."""
    recording = read_checked(options.data, layout_of(options, options.life), options.samples)
    parts = parted(recording, options.seed, whole=True)
    plan = Plan(
        cap=options.cap,
        samples=options.samples,
        hop=options.hop,
        age_per=None if options.no_age else 1.2 * options.cap,
        schedule=Schedule(options.epochs, rate=3e-3, batch=256, seed=options.seed, threads=1),
    )
    shape = shape_of(parts.train, plan, options.rate or rate_hz(recording) or 1.0)
    inputs, lives = learned(parts.train, shape, plan)
    check_count(inputs, shape, lambda other: learned(parts.train, other, plan)[0])
    network = train(inputs, lives, plan, learned(parts.validation, shape, plan), options.patience)
    models = quantised(network, inputs)
    fail_at = options.fail_at if options.fail_at is not None else plan.cap / 5
    product = Product(
        recipe="life",
        task=task_of(shape, plan, options.life_unit),
        rule=rule_of(fail_at, plan),
        model=models.int8,
        precision="int8",
        golden=inputs[[0, -1]],
        atol=0.02,
        about=about(parts, plan, shape),
    )
    return finish(
        options, recording, product, lambda folder: judged(parts, shape, plan, network, folder)
    )


def shape_of(series: Sequence[Series], plan: Plan, rate: float) -> WindowPreprocess:
    """Return windows and features; the scaling is that of these series."""
    features: list[dict[str, Any]] = [
        zscore(series),
        {"kind": "delta_from_start", "samples": plan.early},
        {"kind": "ema", "alpha": plan.smoothing},
    ]
    if plan.age_per is not None:
        features.append({"kind": "age", "per": plan.age_per})
    channels = series[0].channels
    return window_shape(channels, plan.samples, plan.hop, rate, features, padded=True)


def learned(series: Sequence[Series], shape: WindowPreprocess, plan: Plan) -> tuple[Array, Array]:
    """Return features [n, samples, columns] and lives / cap [n, 1], as the network learns them."""
    known = [with_life(each) for each in series]
    found = examples(known, shape)
    lives = np.minimum(targets(found, known), plan.cap) / plan.cap
    return found.inputs, lives.astype(np.float32)[:, None]


def with_life(series: Series) -> Series:
    """Return the series with the life of each row: its own column's, else the rows to the end."""
    if series.target is None:
        return replace(series, target=np.arange(len(series.values))[::-1].astype(np.float64))
    if series.target.min() < 0:
        row = int(series.target.argmin())
        raise DataUnfit(
            f"{series.file}, row {series.lines[row]}: a remaining life of {series.target[row]:g}"
        )
    return series


def train(
    inputs: Array,
    lives: Array,
    plan: Plan,
    held: tuple[Array, Array] | None = None,
    patience: int | None = None,
) -> Any:  # noqa: ANN401  a torch module
    """Return a network trained on these; with `held` that of its best epoch on them."""
    import torch  # noqa: PLC0415  of the training environment only

    torch.manual_seed(plan.schedule.seed)
    network = mixer(inputs.shape[2], plan.samples, plan.width, plan.hidden)
    schedule = plan.schedule
    if held is not None:

        def validate(now: Any) -> float:  # noqa: ANN401
            return -rmse((predict(now, held[0]) - held[1]) * plan.cap)

        schedule = replace(schedule, validate=validate, patience=patience)

    def shifted(batch: Any, wanted: Any, generator: Any) -> tuple[Any, Any]:  # noqa: ANN401
        return with_offsets(batch, plan, generator), wanted

    fit(network, inputs, lives, torch.nn.functional.mse_loss, schedule, shifted)
    return network


def with_offsets(batch: Any, plan: Plan, generator: Any) -> Any:  # noqa: ANN401  torch tensors
    """Return windows [n, samples, columns] with another offset for each channel of each window.

    Machines differ by offsets that say nothing of their wear. The columns are values, differences
    from the start, and exponential means of both: an offset shows in the first and the third.
    """
    import torch  # noqa: PLC0415  of the training environment only

    aged = plan.age_per is not None
    channels = (batch.shape[2] - aged) // 4
    offsets = plan.offset * torch.randn(len(batch), 1, channels, generator=generator)
    none = torch.zeros_like(offsets)
    parts = [offsets, none, offsets, none, *([none[..., :1]] if aged else [])]
    return batch + torch.cat(parts, 2)


def task_of(shape: WindowPreprocess, plan: Plan, unit: str) -> dict[str, Any]:
    """Return the manifest's task."""
    return {
        "kind": "regress",
        "preprocess": shape.model_dump(mode="json"),
        "postprocess": {"scale": plan.cap, "clip_min": 0.0, "unit": unit},
    }


def rule_of(fail_at: float, plan: Plan) -> dict[str, Any]:
    """Return the manifest's rule: short lives are bad."""
    return {
        "kind": "threshold",
        "direction": "below",
        "fail_at": fail_at,
        "pass_at": min(2 * fail_at, plan.cap),
        "hysteresis": plan.cap / 25,
    }


def judged(
    parts: Parts,
    shape: WindowPreprocess,
    plan: Plan,
    network: Any,  # noqa: ANN401  a torch module
    folder: Path,
) -> tuple[list[Figure], list[Finding]]:
    """Return the errors on whole machines never seen: every row, and cut short at random.

    And what is doubtful of them.
    """
    series = parts.test
    inputs, lives = learned(series, shape, plan)
    found = examples(series, shape)
    truth = lives[:, 0] * plan.cap
    by_agent = np.array([each.score for each in answered(folder, series, shape)])
    by_float = predict(network, inputs)[:, 0] * plan.cap
    cuts = _cuts(found.series)
    usual = np.full_like(truth, truth.mean())
    aged = usual_lives(parts.train, plan)
    by_age = aged[np.minimum(found.newest, len(aged) - 1)]
    every = f"RMSE, every window of {len(series)} machines never seen"
    short = f"RMSE / NASA score a machine, {CUTS} cuts of each at random"
    figures: list[Figure] = []
    named = {
        "int8, by the agent": by_agent,
        "float": by_float,
        "always the mean": usual,
        "what machines of that age had left": by_age,
    }
    for name, answers in named.items():
        errors = answers - truth
        at_cuts = f"{rmse(errors[cuts]):.2f} / {nasa_score(errors[cuts]) / len(cuts):.2f}"
        figures += [(f"{every}, {name}", f"{rmse(errors):.2f}"), (f"{short}, {name}", at_cuts)]
    others = {
        "the mean life each time": rmse(usual - truth),
        "what other machines of that age had left": rmse(by_age - truth),
    }
    return figures, [*learned_nothing(rmse(by_agent - truth), others)]


def usual_lives(series: Sequence[Series], plan: Plan) -> NDArray[np.float64]:
    """Return the mean life, as it is taught, of these machines at each row; 0 after the longest."""
    told = [with_life(each).target for each in series]
    lives = [np.minimum(each, plan.cap) for each in told if each is not None]
    left = np.zeros(max(map(len, lives)) + 1)
    for row in range(len(left) - 1):
        left[row] = np.mean([each[row] for each in lives if row < len(each)])
    return left


def _cuts(series: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return windows at random, equally many of each machine: the last that is known of it."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [rng.choice(np.flatnonzero(series == each), CUTS) for each in np.unique(series)]
    )


def about(parts: Parts, plan: Plan, shape: WindowPreprocess) -> str:
    """Return the card's text."""
    age = "" if plan.age_per is None else "; the age"
    return f"""
Remaining life, from {len(shape.channels)} channels: {", ".join(shape.channels)}.

**Split** {parts.text}: {len(parts.train)} series to train on, {len(parts.validation)} to stop by,
{len(parts.test)} to test on. Lives beyond {plan.cap:g} were taught, and count in the test, as that.

**Input** {plan.samples} rows, scaled by the training part's mean and deviation; each channel also
as difference from its machine's first {plan.early} rows; exponential means of both{age}. A series
must therefore start when the machine is new.

**Network** an MLP-Mixer of two blocks, int8.
"""
