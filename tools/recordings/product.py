"""From a trained network of windows to a bundle that the agent runs, and its figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.model import load_model
from tools.bundling.bundle import Draft, files_sha256, write_bundle
from tools.bundling.card import Account, write_card_of
from tools.bundling.fresh_folder import fresh_folder
from tools.compress.quantise import (
    CALIBRATION_SAMPLES_MIN,
    agreement,
    check,
    float_model,
    int8_model,
    run_model,
    stored_inputs,
)
from tools.recordings.windows import windows
from tools.training.data_checks import DataUnfit, Finding
from tools.training.doubts import on_card

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.types import Prediction
    from tools.recordings.series import Recording, Series
    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

CALIBRATION_SAMPLES = 500
# With fewer the comparison of int8 with float says nothing.
HELD_SAMPLES_MIN = 40
WINDOWS_MIN = CALIBRATION_SAMPLES_MIN + HELD_SAMPLES_MIN


@dataclass(frozen=True, slots=True)
class Converted:
    """The same network as float and as int8 TFLite model."""

    whole: bytes
    int8: bytes


@dataclass(frozen=True, slots=True)
class Product:
    """What a recipe has made: enough for a bundle. `golden`: features of some windows."""

    recipe: str
    task: dict[str, Any]
    rule: dict[str, Any]
    model: bytes
    precision: str
    golden: Array
    atol: float
    about: str
    labels: Sequence[str] = ()


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that end up in the manifest."""
    group = parser.add_argument_group("the bundle")
    group.add_argument("--model-id", default="", help="OUT's name if left out")
    group.add_argument("--model-version", default="1.0.0")
    group.add_argument("--license", default="LicenseRef-Unknown", help="of the weights, as SPDX")
    group.add_argument("--attribution", default="", help="whom to name for the recordings")


def check_count(
    inputs: Array,
    shape: WindowPreprocess | None = None,
    cut: Callable[[WindowPreprocess], Array] | None = None,
) -> None:
    """Raise DataUnfit where so few windows would not do to quantise: before they are trained on.

    `cut(shape)` returns the inputs that windows of another hop than that of `shape` would make.
    """
    if len(inputs) >= WINDOWS_MIN:
        return
    text = f"{len(inputs)} windows to train on"
    needed = f"{WINDOWS_MIN} are needed to quantise and to check it"
    if shape is None or cut is None:
        raise DataUnfit(f"{text}; {needed}: record more")
    text += f" with --hop {shape.hop}; {needed}"
    hop = _largest_hop(shape, cut)
    if hop == 0:
        smaller = "" if shape.hop == 1 else ", for not even --hop 1 makes so many"
        raise DataUnfit(f"{text}: record more{smaller}")
    raise DataUnfit(f"{text}: record more, or give --hop {hop}")


def _largest_hop(shape: WindowPreprocess, cut: Callable[[WindowPreprocess], Array]) -> int:
    """Return the largest hop that makes enough windows, or 0; that of `shape` is too large."""
    enough, too_large = 0, shape.hop
    while too_large - enough > 1:
        middle = (enough + too_large) // 2
        if len(cut(shape.model_copy(update={"hop": middle}))) >= WINDOWS_MIN:
            enough = middle
        else:
            too_large = middle
    return enough


def quantised(
    network: Any,  # noqa: ANN401  a torch module
    inputs: Array,
    score: Callable[[Array, Array], Array] | None = None,
    *,
    widened: float = 1.0,
) -> Converted:
    """Convert for single windows [1, rows, columns]; check int8 against float on held inputs.

    `score(inputs, answers)` makes of them what is compared; by default the answers themselves.
    `widened`: calibration also sees the inputs this many times as large, where a model is to meet
    stranger ones than it was trained on. Raises DataUnfit and QuantisationFailed.
    """
    check_count(inputs)
    order = np.random.default_rng(0).permutation(len(inputs))[: 2 * CALIBRATION_SAMPLES]
    samples = inputs[order][:, None]
    held_count = min(
        max(HELD_SAMPLES_MIN, len(samples) // 4), len(samples) - CALIBRATION_SAMPLES_MIN
    )
    held, seen = samples[:held_count], samples[held_count:]
    if widened != 1.0:
        seen = np.concatenate([seen, seen * np.float32(widened)])
    whole = float_model(network, samples[0], picture=False)
    model = int8_model(whole, seen)
    found = [run_model(each, held) for each in (whole, model)]
    if score is not None:
        found = [score(held[:, 0], each) for each in found]
    compared = agreement(*(each.reshape(-1) for each in found))
    check(compared, distinct_min=min(32, len(held) // 2))
    print(f"  int8 beside float: {compared.sentence()}", flush=True)
    return Converted(whole, model)


def answered(folder: Path, series: Sequence[Series], shape: WindowPreprocess) -> list[Prediction]:
    """Return what the agent says of all windows of these series, through the bundle in `folder`."""
    model = load_model(folder, threads=1, roi=None)
    found = []
    for number, each in enumerate(series):
        for window in windows(each, shape, number):
            outputs = model.backend.run(model.task.prepare(window))
            found.append(model.task.interpret(outputs, window))
    model.backend.close()
    return found


def finish(
    options: argparse.Namespace,
    recording: Recording,
    product: Product,
    judged: Callable[[Path], tuple[Sequence[Figure], Sequence[Finding]]],
) -> Sequence[Finding]:
    """Write the bundle whole or not at all, and return what is doubtful of it.

    `judged(folder)` says how good the bundle is, and what is doubtful, for the card.
    """
    # Without the folders: where somebody keeps data and bundle must not change the bundle's bytes.
    command = f"python -m tools.train {product.recipe} --seed {options.seed}"
    draft = Draft(
        model_id=options.model_id or options.out.resolve().name,
        version=options.model_version,
        seq=1,
        task=product.task,
        decision={"rule": product.rule},
        license={"spdx": options.license, "attribution": options.attribution},
        source={
            "training": command,
            "data_sha256": files_sha256(recording.folder, recording.files),
        },
        model=product.model,
        precision=product.precision,
        golden=stored_inputs(product.model, product.golden[:, None]),
        atol=product.atol,
        p95_ms_max=50.0,
        labels=product.labels,
    )
    with fresh_folder(options.out) as folder:
        write_bundle(folder, draft)
        figures, doubts = judged(folder)
        found = [
            *figures,
            ("size of the model file", f"{len(product.model) / 1000:.0f} kB"),
        ]
        for what, value in found:
            print(f"{what}: {value}", flush=True)
        write_card_of(folder, Account(product.about + on_card(doubts), command, found))
    return doubts
