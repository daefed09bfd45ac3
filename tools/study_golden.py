"""Study whether the golden samples of the shipped models refuse what is wrong on real items.

    python -m tools.study_golden --data ../shared/data

Stand-ins for accelerators that compute wrongly: the model with part of one layer's weights changed.
Each answers real items that training never saw, and the golden samples of its bundle. One that is
further off than the manifest allows on any real item should be so on a golden sample, too.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.inference import golden
from edge_agent.inference.model import load_model
from edge_agent.modelstore.manifest import load_bundle
from tools.compress.tflite_file import INT8, map_kernels
from tools.datasets import ballscrew, cells, cmapss
from tools.evaluate import window_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.model import Model
    from edge_agent.modelstore.manifest import SelfTestCase
    from edge_agent.types import Item, Tensors
    from tools.compress.tflite_file import Change

    Items = Callable[[Model, Path], Iterator[Item]]

MODELS = Path(__file__).parents[1] / "models"
REAL = 100
EACH = 8
SHARES, STEPS = (0.02, 0.1, 0.5), (2, 8, 32)  # of a layer's weights, and by how much of 127


@dataclass(frozen=True, slots=True)
class Found:
    """One wrong model: the share of real items and of golden samples that it is beyond on."""

    real: float
    golden: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Do golden samples refuse what is wrong?")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    print("| model | wrong models | beyond on real items | refused | let through: items at most |")
    print("|---|---|---|---|---|")
    for name, items in ITEMS.items():
        found = list(studied(name, items, options.data))
        beyond = [each for each in found if each.real > 0.0]
        through = [each.real for each in beyond if each.golden == 0.0]
        cells = (name, len(found), len(beyond), len(beyond) - len(through))
        print(f"| {' | '.join(map(str, cells))} | {max(through, default=0.0):.0%} |", flush=True)


def studied(name: str, items: Items, data: Path) -> Iterator[Found]:
    """Yield what is found of each wrong model."""
    bundle = load_bundle(MODELS / name)
    cases = bundle.manifest.selftest.cases
    model = load_model(MODELS / name, threads=1, roi=None)
    prepared: list[Tensors] = [
        {tensor: array.copy() for tensor, array in model.task.prepare(item).items()}
        for item in itertools.islice(items(model, data), 2 * REAL)
    ]
    real = prepared[:: len(prepared) // REAL][:REAL]
    given: Sequence[Tensors] = [
        golden.read_tensors(MODELS / name, bundle, case.golden_in) for case in cases
    ]
    right = [_answers(bundle.model, each) for each in (real, given)]
    for wrong in wrong_models(bundle.model):
        shares = [
            _beyond(_answers(wrong, inputs), wanted, cases[0])
            for inputs, wanted in zip((real, given), right, strict=True)
        ]
        yield Found(*shares)


def wrong_models(model: bytes) -> Iterator[bytes]:
    """Yield the model with one layer's int8 weights changed, some by much and some by little."""
    layers: list[int] = []

    def counted(values: NDArray[np.float32]) -> NDArray[np.float32]:
        layers.append(values.size)
        return values

    map_kernels(model, counted, INT8)
    rng = np.random.default_rng(0)
    for share, steps, _ in itertools.product(SHARES, STEPS, range(EACH)):
        chosen = int(rng.integers(len(layers)))
        yield map_kernels(model, _one_layer(chosen, share, steps, rng), INT8)


def _one_layer(layer: int, share: float, steps: int, rng: np.random.Generator) -> Change:
    numbers = itertools.count()

    def change(values: NDArray[np.float32]) -> NDArray[np.float32]:
        if next(numbers) != layer:
            return values
        off = steps * rng.choice((-1, 1), values.shape) * (rng.random(values.shape) < share)
        return np.asarray(np.clip(values + off, -127, 127), np.float32)

    return change


def _answers(model: bytes, inputs: Sequence[Tensors]) -> Sequence[Tensors]:
    backend = tflite.create(BackendContext(model))
    # Copies: a backend may write its next answers to the same place.
    answers = [{n: a.copy() for n, a in backend.run(each).items()} for each in inputs]
    backend.close()
    return answers


def _beyond(got: Sequence[Tensors], wanted: Sequence[Tensors], case: SelfTestCase) -> float:
    off = [bool(golden.difference(*pair, case)) for pair in zip(got, wanted, strict=True)]
    return sum(off) / len(off)


def _plates(_: Model, __: Path) -> Iterator[Item]:
    return map(cells.frame, cells.pictures(cells.TEST_SEEDS, 2 * REAL))


def _motors(model: Model, _: Path) -> Iterator[Item]:
    shape = window_shape(model)
    return (window for _, window in cells.vibrations(cells.TEST_SEEDS, 2 * REAL, shape))


def _photos(_: Model, data: Path) -> Iterator[Item]:
    return map(ballscrew.frame, ballscrew.photos(data / "bsdata", ballscrew.TEST_POSITIONS))


def _engines(model: Model, data: Path) -> Iterator[Item]:
    shape = window_shape(model)
    engines = cmapss.test_engines(data / "cmapss")
    # The last window of each: where lives end the answers are not all at their upper end.
    return (list(cmapss.windows(engine, shape))[-1] for engine in engines)


ITEMS: dict[str, Items] = {
    "conveyor-parts": _plates,
    "motor-bearing": _motors,
    "ballscrew-pitting": _photos,
    "ballscrew-good": _photos,
    "turbofan-rul": _engines,
}

if __name__ == "__main__":
    main()
