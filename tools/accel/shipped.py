"""The models of this project, with items of their kind as the agent prepares them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent import registry
from edge_agent.errors import ModelError
from edge_agent.inference import golden
from edge_agent.inference.model import load_model
from edge_agent.types import Window
from tools.accel.subjects import Subject
from tools.datasets import ballscrew, cells, cmapss
from tools.evaluate import window_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.model import Model
    from edge_agent.types import Item
    from tools.accel.subjects import Answers, Verdicts

MODELS = Path(__file__).parents[2] / "models"
NAMES = (
    "conveyor-parts", "motor-bearing", "ballscrew-pitting", "ballscrew-good", "ballscrew-wear",
    "turbofan-rul",
)  # fmt: skip
WHAT = {
    "conveyor-parts": "pictures of the simulated conveyor",
    "motor-bearing": "vibration of simulated motors",
    "ballscrew-pitting": "photos of ball screws",
    "ballscrew-good": "photos of ball screws",
    "ballscrew-wear": "histories of ball screws",
    "turbofan-rul": "measurements of turbofan engines",
}


def shipped(name: str, data: Path, count: int) -> Subject | None:
    """Return a model of this project with at most `count` items; None where they are not here."""
    model = load_model(MODELS / name, threads=1, roi=None)
    items = list(itertools.islice(_items(name, model, data), count))
    if not items:
        return None
    inputs = [{n: a.copy() for n, a in model.task.prepare(item).items()} for item in items]
    cases = model.bundle.manifest.selftest.cases
    samples = [(c, golden.read_tensors(MODELS / name, model.bundle, c.golden_in)) for c in cases]
    return Subject(
        name, model.bundle.model, inputs, WHAT[name], cases[0], _verdicts(model, items), samples
    )


def photos(data: Path) -> list[ballscrew.Photo]:
    """Return photos of positions that no shipped model has seen."""
    return ballscrew.photos(data / "bsdata", ballscrew.TEST_POSITIONS)


def _verdicts(model: Model, items: Sequence[Item]) -> Verdicts:
    """Return what the bundle's own rule makes of answers to `items`."""

    def decide(answers: Answers) -> dict[int, str]:
        rule = registry.create("rules", model.bundle.manifest.decision.rule)
        found = {}
        for number, outputs in sorted(answers.items()):
            item = items[number]
            model.task.prepare(item)
            prediction = model.task.interpret(outputs, item)
            found[number] = str(rule.decide(prediction, item).outcome)
        return found

    return decide


def _items(name: str, model: Model, data: Path) -> Iterable[Item]:
    if name == "conveyor-parts":
        return map(cells.frame, cells.pictures(cells.TEST_SEEDS, len(cells.TEST_SEEDS)))
    if name == "motor-bearing":
        count = len(cells.TEST_SEEDS)
        return (w for _, w in cells.vibrations(cells.TEST_SEEDS, count, window_shape(model)))
    if not data.is_dir():
        return ()
    if name == "turbofan-rul":
        shape = window_shape(model)
        # From their ends: there the verdicts change.
        engines = [list(cmapss.windows(e, shape)) for e in cmapss.test_engines(data / "cmapss")]
        return (w for one in itertools.zip_longest(*map(reversed, engines)) for w in one if w)
    if name == "ballscrew-wear":
        places = (*ballscrew.TEST_POSITIONS, *ballscrew.TRAINING_POSITIONS)
        return _histories([ballscrew.photos(data / "bsdata", {place}) for place in places], model)
    return map(ballscrew.frame, photos(data))


def _histories(places: list[list[ballscrew.Photo]], model: Model) -> Iterator[Window]:
    """Yield the last shares of pitting before each photo, as ballscrew-pitting sees them.

    Positions that no model has seen have fewer than 200: the others follow.
    """
    shape = window_shape(model)
    pitting = load_model(MODELS / "ballscrew-pitting", threads=1, roi=None)
    for number, place in enumerate(places):
        shares = np.array([_share(pitting, photo) for photo in place], np.float32)[:, None]
        for end in range(shape.samples, len(shares) + 1):
            samples = np.ascontiguousarray(shares[end - shape.samples : end])
            yield Window(samples, shape.channels, shape.rate_hz, 0, 0, end, series=number)


def _share(pitting: Model, photo: ballscrew.Photo) -> float:
    outputs = pitting.backend.run(pitting.task.prepare(ballscrew.frame(photo)))
    maps: list[NDArray[np.generic]] = [a for a in outputs.values() if a.size > 1]
    if len(maps) != 1:
        raise ModelError("ballscrew-pitting is expected to have one map")
    return float(maps[0].mean())
