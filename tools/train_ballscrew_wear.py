"""Train models/ballscrew-wear: how far pitting will have grown in a day, from how it grew so far.

    python -m tools.train_ballscrew_wear --data ../shared/data

The history is what a pipeline with models/ballscrew-pitting measures: the mean of its map, the
share of a photo that is pitted. So that model must be there first. The recipe is
tools/train/forecast.py; hidden width and epochs were chosen with --validate, which leaves out one
training position after the other. Positions are those of tools/datasets/ballscrew.py: the test
positions were never seen, neither by the pitting model nor by this one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent import registry
from edge_agent.inference.model import load_model
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.tasks.base import TaskContext
from tools.bundling import golden_inputs
from tools.bundling.bundle import Draft, files_sha256, write_bundle
from tools.bundling.card import Account, write_card_of
from tools.datasets import ballscrew
from tools.recordings.product import answered, quantised
from tools.recordings.scores import mean_and_spread
from tools.recordings.series import Series
from tools.scoring.merit import rmse
from tools.train.forecast import Plan, learned, scale, shape_of, task_of, train
from tools.training.data_checks import DataUnfit
from tools.training.fit import Schedule, predict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from tools.bundling.golden_inputs import Golden
    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

MODEL_ID = "ballscrew-wear"
CHANNEL = "pitted_share"
# Photos were taken every four hours.
AHEAD, SAMPLES, RATE_HZ = 6, 12, 1 / (4 * 3600)
PLAN = Plan(0, SAMPLES, AHEAD, Schedule(epochs=300, rate=3e-3, batch=32, threads=1), hidden=32)
SEEDS = (0, 1, 2)
# Hidden width and epochs that --validate compares.
CANDIDATES = ((16, 300), (32, 300), (32, 600), (64, 300))
# Where pitting shows: before, all models say that nothing will come, and are right.
GROWING = 0.01
STAYS = "all stays as it is"
STEADY = "once it shows, it grows as fast as in training"
PASS_AT, FAIL_AT = 0.02, 0.05

CARD = """
# ballscrew-wear

Which share of a photo of a ball screw's surface will be pitted in six photos' time (24 hours at
one photo every four hours), from the shares measured in the last 12 photos.

**Trained on** the history of 8 positions on the screw of BSData (T. Schlagenhauf, M. Landwehr,
J. Fleischer, "Industrial machine tool component surface defect dataset", 2021, CC BY-SA 4.0), as
models/ballscrew-pitting measures it: the mean of its map. **Tested on** 3 positions that neither
model has seen, against what it measures there later. One screw on one test bench: another will wear
at another speed.

**Input** a sample per photo, in order. A pipeline with ballscrew-pitting whose manifest says
`"form": "map", "reduce": "mean"` gives it as its verdicts' score; this model's pipeline takes it
with the source `mqtt_sensor`, `pointer = "/score"` and `clock = "index"`.

**Network** one hidden layer of 32 that adds a change to the last value, int8. The output holds each
of the six coming shares; the score is the last.

**Licence** CC BY-SA 4.0, as the photos.
"""


def main() -> None:
    """Train, quantise, compare with what is trivial, and write the bundle if it is better."""
    parser = argparse.ArgumentParser(description="Train models/ballscrew-wear.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--validate", action="store_true", help="only cross-validate by position")
    options = parser.parse_args()
    pitting = options.out / "ballscrew-pitting"
    images = options.data / "bsdata" / "images"
    known = histories(pitting, images, ballscrew.TRAINING_POSITIONS)
    if options.validate:
        validate(known)
        return
    tested = histories(pitting, images, ballscrew.TEST_POSITIONS)
    figures = [*of_all_seeds(known, tested), *trivial(known, tested)]
    shape = shape_of(known, PLAN, RATE_HZ)
    inputs, coming = learned(known, shape, PLAN)
    model = quantised(train(inputs, coming, PLAN), inputs).int8
    folder = options.out / MODEL_ID
    golden = golden_inputs.walks(model, inputs[:, None])
    write_bundle(folder, draft(model, golden, shape, images))
    figures += by_the_agent(folder, tested)
    figures.append(("size of the model file", f"{len(model) / 1000:.1f} kB"))
    for what, value in figures:
        print(f"{what}: {value}")
    write_card_of(folder, Account(CARD, "python -m tools.train_ballscrew_wear", figures))


def evaluated(folder: Path, data: Path) -> list[Figure]:
    """Return the figures of a bundle anew, beside those of answers that need no model."""
    pitting, images = folder.parent / "ballscrew-pitting", data / "bsdata" / "images"
    known = histories(pitting, images, ballscrew.TRAINING_POSITIONS)
    tested = histories(pitting, images, ballscrew.TEST_POSITIONS)
    return [*by_the_agent(folder, tested), *trivial(known, tested)]


def by_the_agent(folder: Path, tested: Sequence[Series]) -> list[Figure]:
    """Return the errors of the bundle through the agent's own code."""
    shape = load_bundle(folder).manifest.task.preprocess
    answers = np.array([each.score for each in answered(folder, tested, shape)])
    return errors_of([answers[has_future(tested)]], tested, "int8, by the agent")


def histories(bundle: Path, images: Path, positions: Collection[str]) -> list[Series]:
    """Return for each position the pitted share of its photos in order, as a pipeline measures."""
    model = load_model(bundle, threads=1, roi=None)
    options: Any = model.bundle.manifest.task
    if options.kind != "anomaly" or options.postprocess.form not in {"map", "score_and_map"}:
        raise DataUnfit(f"{bundle} gives no map of pitting")
    mean = options.postprocess.model_copy(
        update={"form": "map", "reduce": "mean", "normal_score": 1.0, "map_threshold": None}
    )
    context = TaskContext(model.backend.inputs, model.backend.outputs)
    task = registry.create("tasks", options.model_copy(update={"postprocess": mean}), context)
    series = []
    for position in positions:
        shares = []
        for path in sorted(images.glob(f"01_*_{position}_crop_*.jpg")):
            frame = ballscrew.frame(ballscrew.Photo(path, position, "", pitted=False))
            shares.append(task.interpret(model.backend.run(task.prepare(frame)), frame).score)
        values = np.array(shares)[:, None]
        lines = np.arange(1, len(values) + 1)
        series.append(Series(position, f"photos of {position}", (CHANNEL,), values, lines))
    return series


def of_all_seeds(known: Sequence[Series], tested: Sequence[Series]) -> list[Figure]:
    """Return the errors of float networks of all seeds."""
    shape = shape_of(known, PLAN, RATE_HZ)
    mean, std = scale(shape, PLAN)
    inputs, _ = learned(tested, shape, PLAN)
    answers = []
    for seed in SEEDS:
        plan = replace(PLAN, schedule=replace(PLAN.schedule, seed=seed))
        network = train(*learned(known, shape, plan), plan)
        answers.append(predict(network, inputs)[:, -1] * std + mean)
    return errors_of(answers, tested, f"float, {len(SEEDS)} seeds")


def trivial(known: Sequence[Series], tested: Sequence[Series]) -> list[Figure]:
    """Return the errors of answers that need no network."""
    answers = trivial_answers(known, tested)
    return [figure for name, each in answers for figure in errors_of([each], tested, name)]


def trivial_answers(
    known: Sequence[Series], tested: Sequence[Series]
) -> list[tuple[str, NDArray[np.float64]]]:
    """Return what needs no network, by name; only STEADY knows the training part."""
    past = windows_of(tested)
    last = past[:, -1]
    slope = np.polyfit(np.arange(SAMPLES), past.T, 1)[0]
    before, after = windows_of(known)[:, -1], future_of(known)
    usual = (after - before)[before >= GROWING].mean()
    return [
        (STAYS, last),
        ("the line through the window goes on", last + AHEAD * slope),
        (STEADY, last + usual * (last >= GROWING)),
    ]


def errors_of(
    answers: Sequence[NDArray[np.floating]], tested: Sequence[Series], what: str
) -> list[Figure]:
    """Return the RMSE in percent of the photo: of all windows, and of those that show pitting."""
    truth = future_of(tested)
    growing = windows_of(tested)[:, -1] >= GROWING
    figures = []
    for name, kept in (("", np.ones_like(growing)), (" that show pitting", growing)):
        errors = [rmse(each[kept] - truth[kept]) * 100 for each in answers]
        text = mean_and_spread(errors) if len(errors) > 1 else f"{errors[0]:.2f}"
        start = f"RMSE in % of the photo, {AHEAD} photos ahead, {kept.sum()} windows{name}"
        figures.append((f"{start}, {what}", text))
    return figures


def windows_of(series: Sequence[Series]) -> NDArray[np.float64]:
    """Return the last shares before each forecast whose truth is known: [windows, samples]."""
    return np.concatenate(
        [
            np.lib.stride_tricks.sliding_window_view(each.values[:-AHEAD, 0], SAMPLES)
            for each in series
        ]
    )


def future_of(series: Sequence[Series]) -> NDArray[np.float64]:
    """Return the share that came `AHEAD` photos after each of these windows: [windows]."""
    return np.concatenate([each.values[SAMPLES - 1 + AHEAD :, 0] for each in series])


def has_future(series: Sequence[Series]) -> NDArray[np.bool_]:
    """Return for every window of the series whether the truth of its forecast is known."""
    counts = [len(each.values) - SAMPLES + 1 for each in series]
    return np.concatenate([np.arange(count) < count - AHEAD for count in counts])


def validate(known: Sequence[Series]) -> None:
    """Print the error at each training position, trained on the others."""
    for hidden, epochs in CANDIDATES:
        schedule = replace(PLAN.schedule, epochs=epochs)
        plan = replace(PLAN, hidden=hidden, schedule=schedule)
        errors, stays, steady = [], [], []
        for held in known:
            others = [each for each in known if each is not held]
            shape = shape_of(others, plan, RATE_HZ)
            mean, std = scale(shape, plan)
            network = train(*learned(others, shape, plan), plan)
            answers = predict(network, learned([held], shape, plan)[0])[:, -1] * std + mean
            errors.append(rmse(answers - future_of([held])) * 100)
            named = dict(trivial_answers(others, [held]))
            stays.append(rmse(named[STAYS] - future_of([held])) * 100)
            steady.append(rmse(named[STEADY] - future_of([held])) * 100)
        folds = ", ".join(f"{error:.2f}" for error in errors)
        what = f"hidden {hidden}, {epochs} epochs"
        print(f"{what}: RMSE {np.mean(errors):.2f} ({folds})")
        print(f"  {STAYS}: {np.mean(stays):.2f}; {STEADY}: {np.mean(steady):.2f}", flush=True)


def draft(model: bytes, golden: Golden, shape: WindowPreprocess, images: Path) -> Draft:
    """Return the bundle's content."""
    return Draft(
        model_id=MODEL_ID,
        version="1.0.1",
        seq=2,
        task=task_of(shape, PLAN, "share"),
        decision={"rule": {"kind": "threshold", "pass_at": PASS_AT, "fail_at": FAIL_AT}},
        license={
            "spdx": "CC-BY-SA-4.0",
            "attribution": "Trained on BSData by T. Schlagenhauf, M. Landwehr and J. Fleischer "
            "(CC BY-SA 4.0)",
        },
        source={
            "training": "python -m tools.train_ballscrew_wear",
            "data_sha256": files_sha256(images, images.glob("*.jpg")),
        },
        model=model,
        precision="int8",
        golden=golden.inputs,
        atol=golden.atol,
        p95_ms_max=20.0,
    )


if __name__ == "__main__":
    main()
