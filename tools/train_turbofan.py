"""Train models/turbofan-rul: remaining useful life of a turbofan engine, in flight cycles.

    python -m tools.train_turbofan --data ../shared/data

The recipe is tools/train/life.py. Width, offsets and epochs were chosen with --validate, which
trains on four fifths of the training engines and prints the error on the rest; the test engines
have no say in it. All seeds are tested, to show the spread; the first one is shipped.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools import evaluate
from tools.bundling import golden_inputs
from tools.bundling.bundle import Draft, files_sha256, write_bundle
from tools.bundling.card import Account, write_card_of
from tools.compress.quantise import run_model
from tools.datasets import cmapss
from tools.recordings.product import Converted, quantised
from tools.recordings.scores import mean_and_spread
from tools.train.life import Plan, learned, rule_of, shape_of, task_of, train
from tools.training.fit import predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from tools.bundling.golden_inputs import Golden
    from tools.recordings.series import Series
    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

MODEL_ID = "turbofan-rul"
FOLDS = 5
SEEDS = (0, 1, 2)
PLAN = Plan()
# What --validate compares; the first one is PLAN.
CANDIDATES = {
    "as shipped": PLAN,
    "without age": replace(PLAN, age_per=None),
    "ten epochs": replace(PLAN, schedule=replace(PLAN.schedule, epochs=10)),
    "without offsets": replace(PLAN, offset=0.0),
    "offsets twice as large": replace(PLAN, offset=2 * PLAN.offset),
    "narrower, without offsets": replace(PLAN, width=40, hidden=(40, 80), offset=0.0),
}
# Validation counts windows as a test does: longer lives are hardly ever asked for.
LONGEST_LIFE = 150.0
FAIL_AT = 25.0

CARD = """
# turbofan-rul

Remaining useful life of a turbofan engine in flight cycles, from 14 sensors sampled once a cycle.

**Trained on** C-MAPSS FD001 (NASA, public): 100 engines run to failure under one operating
condition, lives beyond 125 cycles taught as 125. **Tested on** the 100 FD001 test engines, never
seen in training, at the last cycle that is given of each. RMSE and NASA score are on the lives as
given, unless it says "clipped": lives beyond 125 then count as 125. The lower the better.

**Input** 50 cycles of s2 s3 s4 s7 s8 s9 s11 s12 s13 s14 s15 s17 s20 s21, scaled by the training
engines' mean and deviation; each also as difference from the engine's first 20 cycles; exponential
means of both; the engine's age. A series must therefore start when the engine is new. The age says
much, and many publications leave it out, so the error without it is given too.

**Network** an MLP-Mixer of two blocks, int8. Trained with three seeds, to show the spread; this is
the first of them.

**Use** on engines of this simulation. For a machine of another kind it says nothing.
"""


def main() -> None:
    """Train, quantise, check, write the bundle, and print how good it is."""
    parser = argparse.ArgumentParser(description="Train models/turbofan-rul.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--validate", action="store_true", help="only cross-validate by engine")
    options = parser.parse_args()
    engines = [engine.series() for engine in cmapss.training_engines(options.data / "cmapss")]
    if options.validate:
        validate(engines)
        return
    tested = [engine.series() for engine in cmapss.test_engines(options.data / "cmapss")]
    shape = shape_of(engines, PLAN, 1.0)
    inputs, lives = learned(engines, shape, PLAN)
    models = [quantised(train(inputs, lives, seeded(PLAN, seed)), inputs) for seed in SEEDS]
    figures = of_all_seeds(models, last_windows(tested, shape, PLAN))
    figures += on_test_engines(engines, tested, replace(PLAN, age_per=None), "float, without age")
    folder = options.out / MODEL_ID
    golden = golden_inputs.walks(models[0].int8, inputs[:, None])
    write_bundle(folder, draft(models[0].int8, golden, shape, options.data))
    figures += evaluate.turbofan(folder, options.data)
    for what, value in figures:
        print(f"{what}: {value}")
    write_card_of(folder, Account(CARD, "python -m tools.train_turbofan", figures))


def seeded(plan: Plan, seed: int) -> Plan:
    """Return the plan with another seed."""
    return replace(plan, schedule=replace(plan.schedule, seed=seed))


def last_windows(
    engines: Sequence[Series], shape: WindowPreprocess, plan: Plan
) -> tuple[Array, NDArray[np.float64]]:
    """Return features of each engine's last window, and the life that it has left, as given."""
    last = np.stack([learned([engine], shape, plan)[0][-1] for engine in engines])
    return last, np.array([engine.target[-1] for engine in engines if engine.target is not None])


def on_test_engines(
    engines: Sequence[Series], tested: Sequence[Series], plan: Plan, what: str
) -> list[Figure]:
    """Train with each seed, and return the errors of the float networks on the test engines."""
    shape = shape_of(engines, plan, 1.0)
    inputs, lives = learned(engines, shape, plan)
    last, truth = last_windows(tested, shape, plan)
    answers = [predict(train(inputs, lives, seeded(plan, seed)), last)[:, 0] for seed in SEEDS]
    return errors_of(answers, truth, what)


def of_all_seeds(
    models: Sequence[Converted], last: tuple[Array, NDArray[np.float64]]
) -> list[Figure]:
    """Return the errors of the float and the int8 models of all seeds, side by side."""
    inputs, truth = last
    figures = []
    for name in ("whole", "int8"):
        answers = [run_model(getattr(each, name), inputs[:, None])[:, 0] for each in models]
        precision = "float" if name == "whole" else name
        figures += errors_of(answers, truth, f"{precision}, with age")
    return figures


def errors_of(answers: Sequence[Array], truth: NDArray[np.float64], what: str) -> list[Figure]:
    """Return RMSE and NASA score over the seeds, on lives as given and clipped at the cap."""
    lives = [np.maximum(each * PLAN.cap, 0.0) for each in answers]
    start = f"{len(truth)} test engines, {len(answers)} seeds, {what}"
    figures = []
    for name, given in (("", truth), (", clipped", np.minimum(truth, PLAN.cap))):
        wrong = [each - given for each in lives]
        spread = mean_and_spread([cmapss.rmse(each) for each in wrong])
        score = mean_and_spread([cmapss.nasa_score(each) for each in wrong], 0)
        figures.append((f"RMSE / NASA score, {start}{name}", f"{spread} / {score}"))
        print(*figures[-1], sep=": ", flush=True)
    return figures


def validate(engines: Sequence[Series]) -> None:
    """Print the error of each candidate on each fifth of the engines, trained on the others."""
    for name, plan in CANDIDATES.items():
        errors = []
        for fold in range(FOLDS):
            train_on = [engine for n, engine in enumerate(engines) if n % FOLDS != fold]
            shape = shape_of(train_on, plan, 1.0)
            network = train(*learned(train_on, shape, plan), plan)
            inputs, truth = _held(engines[fold::FOLDS], shape, plan)
            errors.append(cmapss.rmse(predict(network, inputs)[:, 0] * plan.cap - truth))
        folds = ", ".join(f"{error:.2f}" for error in errors)
        what = f"RMSE, lives of {LONGEST_LIFE:g} and less"
        print(f"{name}: {what}: {np.mean(errors):.2f} ({folds})", flush=True)


def _held(
    engines: Sequence[Series], shape: WindowPreprocess, plan: Plan
) -> tuple[Array, NDArray[np.float64]]:
    """Return the windows with lives of at most LONGEST_LIFE, and the lives, clipped at the cap."""
    inputs, lives = learned(engines, shape, plan)
    left = np.concatenate([engine.target for engine in engines if engine.target is not None])
    kept = left <= LONGEST_LIFE
    return inputs[kept], lives[kept, 0] * plan.cap


def draft(model: bytes, golden: Golden, shape: WindowPreprocess, data: Path) -> Draft:
    """Return the bundle's content."""
    folder = data / "cmapss"
    return Draft(
        model_id=MODEL_ID,
        version="1.2.0",
        seq=3,
        task=task_of(shape, PLAN, "cycles"),
        decision={"rule": rule_of(FAIL_AT, PLAN)},
        license={"spdx": "Apache-2.0", "attribution": "Trained on NASA's C-MAPSS FD001 (public)"},
        source={
            "training": "python -m tools.train_turbofan",
            "data_sha256": files_sha256(folder, folder.glob("*FD001.txt")),
        },
        model=model,
        precision="int8",
        golden=golden.inputs,
        atol=golden.atol,
        p95_ms_max=20.0,
    )


if __name__ == "__main__":
    main()
