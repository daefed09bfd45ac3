"""Train models/turbofan-rul: remaining useful life of a turbofan engine, in flight cycles.

    python -m tools.train_turbofan --data ../shared/data

Features, width and epochs were chosen with --validate, which trains on four fifths of the training
engines and prints the error on the rest; the test engines have no say in it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edge_agent.features import WindowFeatures
from edge_agent.preprocess import WindowPreprocess
from tools import cmapss, evaluate, nets
from tools.bundle import Draft, files_sha256, write_bundle
from tools.fit import Schedule, fit, predict
from tools.quantise import agreement, check, float_model, int8_model, run_model, stored_inputs
from tools.report import write_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tools.report import Figure

    Array = NDArray[np.float32]

MODEL_ID = "turbofan-rul"
SAMPLES = 50
FOLDS = 5
SCHEDULE = Schedule(epochs=10, rate=3e-3, batch=256)
CALIBRATION_SAMPLES = 500

CARD = """
# turbofan-rul

Remaining useful life of a turbofan engine in flight cycles, from 14 sensors sampled once a cycle.

**Trained on** C-MAPSS FD001 (NASA, public): 100 engines run to failure under one operating
condition, lives beyond 125 cycles taught as 125. **Tested on** the 100 FD001 test engines, never
seen in training, at the last cycle that is given of each. RMSE and NASA score are on the lives as
given; the lower the better.

**Input** 50 cycles of s2 s3 s4 s7 s8 s9 s11 s12 s13 s14 s15 s17 s20 s21, scaled by the training
engines' mean and deviation; each also as difference from the engine's first 20 cycles; exponential
means of both; the engine's age. A series must therefore start when the engine is new. The age says
much, and many publications leave it out, so the error without it is given too.

**Network** an MLP-Mixer of two blocks, int8.

**Use** on engines of this simulation. For a machine of another kind it says nothing.
"""


def main() -> None:
    """Train, quantise, check, write the bundle, and print how good it is."""
    parser = argparse.ArgumentParser(description="Train models/turbofan-rul.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--validate", action="store_true", help="only cross-validate by engine")
    options = parser.parse_args()
    engines = cmapss.training_engines(options.data / "cmapss")
    if options.validate:
        validate(engines)
        return
    figures = [on_test_engines(engines, options.data, age=age) for age in (False, True)]
    preprocess = window_preprocess(engines, age=True)
    inputs, lives, _ = examples(engines, preprocess)
    network = train(inputs, lives)
    model = quantised(network, inputs)
    folder = options.out / MODEL_ID
    write_bundle(folder, draft(model, preprocess, options.data, inputs))
    figures += evaluate.turbofan(folder, options.data)
    for what, value in figures:
        print(f"{what}: {value}")
    write_card(folder, CARD, figures, "python -m tools.train_turbofan")


def window_preprocess(engines: Sequence[cmapss.Engine], *, age: bool) -> WindowPreprocess:
    """Return windows and features; the scaling comes from these engines."""
    samples = np.concatenate([engine.samples for engine in engines])
    features: list[dict[str, Any]] = [
        {
            "kind": "zscore",
            "mean": [round(float(value), 5) for value in samples.mean(axis=0)],
            "std": [float(f"{value:.5g}") for value in samples.std(axis=0)],
        },
        {"kind": "delta_from_start", "samples": 20},
        {"kind": "ema", "alpha": 0.1},
        {"kind": "age", "per": 150.0},
    ]
    shape = {
        "kind": "window",
        "channels": cmapss.CHANNELS,
        "samples": SAMPLES,
        "hop": 1,
        "rate_hz": 1.0,
        "pad": "edge",
        "features": features if age else features[:-1],
    }
    return WindowPreprocess.model_validate_json(json.dumps(shape))


def examples(
    engines: Sequence[cmapss.Engine], preprocess: WindowPreprocess
) -> tuple[Array, Array, NDArray[np.int64]]:
    """Return features [n, samples, columns], lives / 125 [n, 1] and engine numbers [n]."""
    inputs, lives, numbers = [], [], []
    for engine in engines:
        features = WindowFeatures(preprocess)
        made = [features.apply(window) for window in cmapss.windows(engine, preprocess)]
        left = engine.rul + np.arange(len(made))[::-1]
        inputs += made
        lives.append(np.minimum(left, cmapss.RUL_CAP) / cmapss.RUL_CAP)
        numbers += [engine.number] * len(made)
    return np.stack(inputs), np.concatenate(lives, dtype=np.float32)[:, None], np.array(numbers)


def train(inputs: Array, lives: Array) -> Any:  # noqa: ANN401  a torch module
    """Return a trained network."""
    torch.manual_seed(SCHEDULE.seed)
    network = nets.mixer(inputs.shape[2], SAMPLES)
    fit(network, inputs, lives, torch.nn.functional.mse_loss, SCHEDULE)
    return network


def validate(engines: Sequence[cmapss.Engine]) -> None:
    """Print the error on each fifth of the engines, trained on the others."""
    for age in (True, False):
        preprocess = window_preprocess(engines, age=age)
        inputs, lives, numbers = examples(engines, preprocess)
        errors = []
        for fold in range(FOLDS):
            held = numbers % FOLDS == fold
            answers = predict(train(inputs[~held], lives[~held]), inputs[held])
            errors.append(cmapss.rmse((answers - lives[held]) * cmapss.RUL_CAP))
        folds = ", ".join(f"{error:.2f}" for error in errors)
        print(f"{'with' if age else 'without'} age: RMSE {np.mean(errors):.2f} ({folds})")


def on_test_engines(engines: Sequence[cmapss.Engine], data: Path, *, age: bool) -> Figure:
    """Train, and return the error of the float network at the last cycle of each test engine."""
    preprocess = window_preprocess(engines, age=age)
    inputs, lives, _ = examples(engines, preprocess)
    network = train(inputs, lives)
    errors = []
    for engine in cmapss.test_engines(data / "cmapss"):
        last = examples([engine], preprocess)[0][-1:]
        errors.append(float(predict(network, last)[0, 0]) * cmapss.RUL_CAP - engine.rul)
    wrong = np.array(errors)
    what = f"RMSE / NASA score, 100 test engines, float, {'with' if age else 'without'} age"
    return (what, f"{cmapss.rmse(wrong):.2f} / {cmapss.nasa_score(wrong):.0f}")


def quantised(network: Any, inputs: Array) -> bytes:  # noqa: ANN401  a torch module
    """Return the int8 model, once it has been compared with the float model."""
    rng = np.random.default_rng(0)
    chosen = inputs[rng.choice(len(inputs), 2 * CALIBRATION_SAMPLES, replace=False)][:, None]
    whole = float_model(network, chosen[0], picture=False)
    model = int8_model(whole, chosen[:CALIBRATION_SAMPLES])
    held = chosen[CALIBRATION_SAMPLES:]
    found = check(agreement(run_model(whole, held)[:, 0], run_model(model, held)[:, 0]))
    print(f"int8 against float: {found}")
    return model


def draft(model: bytes, preprocess: WindowPreprocess, data: Path, inputs: Array) -> Draft:
    """Return the bundle's content."""
    folder = data / "cmapss"
    return Draft(
        model_id=MODEL_ID,
        version="1.0.0",
        seq=1,
        task={
            "kind": "regress",
            "preprocess": preprocess.model_dump(mode="json"),
            "postprocess": {"scale": cmapss.RUL_CAP, "clip_min": 0.0, "unit": "cycles"},
        },
        decision={
            "rule": {
                "kind": "threshold",
                "direction": "below",
                "pass_at": 50.0,
                "fail_at": 25.0,
                "hysteresis": 5.0,
            }
        },
        license={"spdx": "Apache-2.0", "attribution": "Trained on NASA's C-MAPSS FD001 (public)"},
        source={
            "training": "python -m tools.train_turbofan",
            "data_sha256": files_sha256(folder, folder.glob("*FD001.txt")),
        },
        model=model,
        precision="int8",
        golden=stored_inputs(model, [inputs[:1], inputs[-1:]]),
        atol=0.02,
        p95_ms_max=20.0,
    )


if __name__ == "__main__":
    main()
