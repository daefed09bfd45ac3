"""Quantise MLPerf Tiny's float keyword-spotting model with 100 of its inputs, test on the rest.

    python -m tools.keyword_spotting --data ../shared/data

The published inputs are int8, made for the published int8 model. What they mean in real values
follows from the scale and zero point of that model's input; those real values go into the float
model, and are quantised anew for ours. The float model is hybrid as it was published (int8
kernels per tensor); it is judged as it is.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.errors import ModelError
from edge_agent.inference.quantisation import dequantise
from tools.compress.quantise import QuantisationFailed, gate, int8_model, run_model
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

CALIBRATION_INPUTS = 100
LOSS_ALLOWED_POINTS = 0.5
# How much the choice of the 100 moves.
DRAWS = ("the first 100", 1, 2, 3, 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print both models' accuracy on the inputs that were not calibrated with."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.keyword_spotting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args(arguments)
    try:
        for what, value in figures(options.data / "mlperf_tiny"):
            print(f"{what}: {value}", flush=True)
    except (DataUnfit, QuantisationFailed, ModelError) as failure:
        print(f"keyword_spotting: {failure}", file=sys.stderr)
        return 1
    return 0


def figures(folder: Path) -> Iterator[Figure]:
    """Yield accuracy of the float and the int8 model for several choices of the 100."""
    whole = _read(folder / "models" / "kws_ref_model_float32.tflite")
    published = _read(folder / "models" / "kws_ref_model.tflite")
    inputs, targets = keywords(folder, published)
    right = run_model(whole, inputs).argmax(axis=1) == targets
    right_published = run_model(published, inputs).argmax(axis=1) == targets
    lost = []
    for draw in DRAWS:
        chosen, others = _drawn(draw, len(inputs))
        small = int8_model(whole, inputs[chosen], fewest=CALIBRATION_INPUTS)
        gate(whole, small, list(inputs[others][:200]))
        right_small = run_model(small, inputs[others]).argmax(axis=1) == targets[others]
        accuracy = [part.mean() for part in (right[others], right_published[others], right_small)]
        lost.append(100 * (accuracy[0] - accuracy[2]))
        name = draw if isinstance(draw, str) else f"100 drawn at random, seed {draw}"
        what = f"calibrated on {name}; the other {len(others)}"
        value = (
            f"float {accuracy[0]:.2%}, our int8 {accuracy[2]:.2%} ({-lost[-1]:+.2f} points), "
            f"published int8 {accuracy[1]:.2%}, {len(small) / 1e3:.1f} kB"
        )
        yield what, value
    worst = max(lost)
    verdict = "within" if worst <= LOSS_ALLOWED_POINTS else "NOT within"
    value = (
        f"{-np.mean(lost):+.2f} points on average, {-worst:+.2f} to {-min(lost):+.2f}; it loses "
        f"{max(worst, 0.0):.2f} at worst, {verdict} {LOSS_ALLOWED_POINTS:g}"
    )
    yield "int8 against float", value


def keywords(folder: Path, published: bytes) -> tuple[Array, NDArray[np.int64]]:
    """Return real inputs [items, 1, 49, 10, 1] and classes [items]; `published`: the int8 model."""
    spec = tflite.create(BackendContext(published)).inputs[0]
    path = folder / "kws01_inputs.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            rows = list(csv.reader(io.StringIO(archive.read("y_labels.csv").decode())))
            stored = [np.frombuffer(archive.read(row[0]), np.int8) for row in rows]
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataUnfit(f"{path}: {error}") from None
    inputs = dequantise(np.stack(stored).reshape(-1, 1, 49, 10, 1), spec)
    return inputs, np.array([int(row[2]) for row in rows])


def _drawn(draw: str | int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return indices of the calibration inputs, and of all others."""
    order = np.arange(count)
    if isinstance(draw, int):
        order = np.random.default_rng(draw).permutation(count)
    return order[:CALIBRATION_INPUTS], np.sort(order[CALIBRATION_INPUTS:])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataUnfit(f"{path}: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
