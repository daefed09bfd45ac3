"""Print how good a model is, through the agent's own preprocessing, backend and task.

    python -m tools.evaluate BUNDLE --on DATA [--out FOLDER]

looks at any bundle on a folder of labelled photos or on recordings (evaluation.py).

    python -m tools.evaluate [MODEL ...] --data ../shared/data

looks at the models in models/, each on items that its training never saw.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.model import load_model
from edge_agent.inference.preprocess import WindowPreprocess
from tools import train_ballscrew_good
from tools.datasets import ballscrew, cells, cmapss
from tools.scoring import evaluation
from tools.scoring.report import auroc, confusion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.model import Model
    from edge_agent.types import Item, Prediction
    from tools.scoring.report import Figure

PICTURES = 3000
MOTORS = 1200


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of the bundle that is named, or of each shipped model, or of all."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="*", help="a bundle's folder; without --on a shipped model")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--models", type=Path, default=Path("models"))
    evaluation.add_arguments(parser)
    options = parser.parse_args(arguments)
    if options.on is not None:
        if len(options.model) != 1:
            parser.error("--on wants one bundle")
        return evaluation.run(Path(options.model[0]), options)
    for name in options.model:
        if name not in EVALUATIONS:
            parser.error(f"{name} is none of {', '.join(EVALUATIONS)}: say --on DATA for a bundle")
    for name in options.model or EVALUATIONS:
        print(name)
        if not (options.models / name).is_dir():
            print(f"  not in {options.models}")
            continue
        for what, value in EVALUATIONS[name](options.models / name, options.data):
            print(f"  {what}: {value}", flush=True)
    return 0


def turbofan(folder: Path, data: Path) -> list[Figure]:
    """RMSE and NASA score at the last cycle of each test engine, all cycles having been seen."""
    model = load_model(folder, threads=1, roi=None)
    shape = window_shape(model)
    errors, clipped = [], []
    for engine in cmapss.test_engines(data / "cmapss"):
        life = [inspect(model, window) for window in cmapss.windows(engine, shape)][-1].score
        errors.append(life - engine.rul)
        clipped.append(life - min(engine.rul, cmapss.RUL_CAP))
    wrong = np.array(errors)
    both = f"{cmapss.rmse(wrong):.2f} / {cmapss.nasa_score(wrong):.0f}"
    return [
        ("RMSE / NASA score, 100 test engines, int8", both),
        ("RMSE, lives above 125 taken as 125, int8", f"{cmapss.rmse(np.array(clipped)):.2f}"),
        size_of(model),
    ]


def conveyor(folder: Path, data: Path) -> list[Figure]:  # noqa: ARG001  needs no files
    """Classes of pictures whose seeds are not among those of training."""
    model = load_model(folder, threads=1, roi=None)
    truths, answers, scores, severities = [], [], [], []
    for picture in cells.pictures(cells.TEST_SEEDS, PICTURES):
        prediction = inspect(model, cells.frame(picture))
        truths.append(picture.label)
        answers.append(prediction.label)
        scores.append(prediction.score)
        severities.append(picture.severity)
    return [
        *_classes(truths, answers, np.array(scores), "ok", model),
        *_by_severity(truths, answers, np.array(severities)),
        size_of(model),
    ]


def bearing(folder: Path, data: Path) -> list[Figure]:  # noqa: ARG001  needs no files
    """Conditions of motors whose seeds are not among those of training."""
    model = load_model(folder, threads=1, roi=None)
    truths, answers, scores, severities = [], [], [], []
    for block, window in cells.vibrations(cells.TEST_SEEDS, MOTORS, window_shape(model)):
        prediction = inspect(model, window)
        truths.append(block.fault)
        answers.append(prediction.label)
        scores.append(prediction.score)
        severities.append(block.severity)
    return [
        *_classes(truths, answers, np.array(scores), "healthy", model),
        *_by_severity(truths, answers, np.array(severities)),
        size_of(model),
    ]


def pitting(folder: Path, data: Path) -> list[Figure]:
    """Pictures of positions on the ball screw that training never saw; also calibrated on each."""
    model = load_model(folder, threads=1, roi=None)
    task: Any = model.task
    photos = ballscrew.photos(data / "bsdata", ballscrew.TEST_POSITIONS)
    predictions, maps = [], []
    for frame in map(ballscrew.frame, photos):
        outputs = model.backend.run(task.prepare(frame))
        predictions.append(task.interpret(outputs, frame))
        maps.append(task.cells(outputs, frame))
    scores = np.array([prediction.score for prediction in predictions])
    judged, _, tested = train_ballscrew_good.calibrated(photos, np.stack(maps), task.reduce)
    left = [photo for photo, kept in zip(photos, tested, strict=True) if kept]
    calibrated = f"int8, calibrated on {train_ballscrew_good.CALIBRATED_ON}"
    fail_at = model.bundle.manifest.decision.rule.fail_at
    return [
        *ballscrew.figures(photos, scores, "int8", fail_at),
        *ballscrew.figures(left, scores[tested], "int8, of the same photos as it comes")[:4],
        *ballscrew.figures(left, judged[tested], calibrated)[:4],
        ballscrew.pointed_at(photos, predictions, data / "bsdata"),
        size_of(model),
    ]


def wear(folder: Path, data: Path) -> list[Figure]:
    """Growth of pitting on positions never seen, beside answers that need no model."""
    try:
        from tools import train_ballscrew_wear  # noqa: PLC0415  needs torch
    except ModuleNotFoundError as error:
        return [("not evaluated here", f"it takes the environment of the model tools ({error})")]
    return train_ballscrew_wear.evaluated(folder, data)


EVALUATIONS: dict[str, Callable[[Path, Path], list[Figure]]] = {
    "conveyor-parts": conveyor,
    "motor-bearing": bearing,
    "ballscrew-pitting": pitting,
    "ballscrew-good": train_ballscrew_good.evaluated,
    "ballscrew-wear": wear,
    "turbofan-rul": turbofan,
}


def inspect(model: Model, item: Item) -> Prediction:
    """Take one item through a model."""
    return model.task.interpret(model.backend.run(model.task.prepare(item)), item)


def window_shape(model: Model) -> WindowPreprocess:
    """Return the shape of window that a model of samples wants."""
    shape = model.bundle.manifest.task.preprocess
    if not isinstance(shape, WindowPreprocess):
        raise TypeError(f"{model.bundle.manifest.model_id} is a model of pictures")
    return shape


def size_of(model: Model) -> Figure:
    """Return the size of the model file."""
    return ("size of the model file", f"{len(model.bundle.model) / 1000:.0f} kB")


def _classes(
    truths: Sequence[str],
    answers: Sequence[str],
    scores: NDArray[np.floating],
    good: str,
    model: Model,
) -> list[Figure]:
    right = np.array(truths) == np.array(answers)
    bad = np.array(truths) != good
    called_bad = np.array(answers) != good
    return [
        (f"accuracy, {len(truths)} items of unseen seeds, int8", f"{right.mean():.2%}"),
        ("AUROC, bad against good", f"{auroc(bad, scores):.4f}"),
        ("good items called bad", f"{called_bad[~bad].mean():.2%}"),
        ("bad items called good", f"{(~called_bad)[bad].mean():.2%}"),
        *confusion(truths, answers, model.bundle.labels),
    ]


def _by_severity(
    truths: Sequence[str], answers: Sequence[str], severities: NDArray[np.floating]
) -> list[Figure]:
    right = np.array(truths) == np.array(answers)
    figures = []
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 1.0)):
        chosen = (severities > low) & (severities <= high)
        figures.append(
            (f"right, severity {low:g} to {high:g} ({chosen.sum()})", f"{right[chosen].mean():.2%}")
        )
    return figures


if __name__ == "__main__":
    sys.exit(main())
