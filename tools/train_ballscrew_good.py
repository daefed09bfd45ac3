"""Train models/ballscrew-good: how unlike a sound ball screw a photo is, learned from sound ones.

    python -m tools.train_ballscrew_good --data ../shared/data        the shipped model
    python -m tools.train_ballscrew_good --split 0 --out build/models other positions for testing
    python -m tools.train_ballscrew_good --validate                   training positions, held out
    python -m tools.train_ballscrew_good --spread                     all three, and their spread

Split by position on the screw, every third one for testing. Of the others only photos from before
the first pitting are learned from.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.calibration import measure
from edge_agent.inference.model import load_model
from tools.bundling import golden_inputs
from tools.bundling.bundle import Draft, enter_reference, files_sha256, write_bundle
from tools.bundling.card import Account, card_of_draft
from tools.bundling.fresh_folder import fresh_folder
from tools.bundling.usual_figures import usual_pictures
from tools.datasets import ballscrew, ballscrew_spread
from tools.photos import Photo
from tools.scoring.report import auroc
from tools.training import photo_recipe
from tools.training.good_parts import (
    RULE,
    Compiled,
    Lesson,
    Limits,
    compiled,
    learn,
    maps_and_scores,
    seen_in_float,
    task_of,
)
from tools.training.pictures import normalised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.calibration import Reduce
    from tools.scoring.report import Figure

    Array = NDArray[np.float32]
    Byte = NDArray[np.uint8]

MODEL_ID = "ballscrew-good"
SIZE = (160, 384)
FALSE_REJECT = 0.01
SPLITS = 3
SHIPPED_SPLIT = 2
# Of each position: the first photos, with which a gateway is calibrated. They test nothing.
CALIBRATED_ON = 10
FOLDS = 4

ABOUT = """
How unlike a sound surface of a ball screw a photo is, and where: learned from photos of sound
surfaces alone. The score is 1 at the limit.

**Calibrate it** on each gateway (`edge-agent calibrate`): on the first {count} photos of each
position the map is then compared with what is usual at this very place, the biggest lever there is.
Both figures are below.

**Trained on** BSData: T. Schlagenhauf, M. Landwehr, J. Fleischer, "Industrial machine tool
component surface defect dataset", 2021, CC BY-SA 4.0: {good} photos of {places} positions from
before the first labelled pitting there. Tested on {test}, of which it saw nothing; the {count}
photos that calibrate a position are not among those that test. Size, blocks, whitening and the way
of calibrating were chosen on training positions (`--validate`); test positions had no say.

**Read the AUROC with care**: early photos are clean and late ones pitted, so it partly measures
time and soiling. The hard figures, on the last clean and the first pitted photos of each position,
are nearest to what an inspector asks. The map is compared with the outlines: how well its cells
rank those that lie in an outline, and whether its highest cell does.

**Input** the whole photo at {width} x {height}. **Network** blocks 4 and 10 of EfficientNet-Lite0
(weights from ImageNet, Apache-2.0), PCA to 64, squared distance to the nearest of 256 centres;
features int8, distances float. The score is the power mean of the map.

**Licence** CC BY-SA 4.0, as the photos.
"""


def main() -> None:
    """Learn, quantise, check, write the bundle, and print how good it is."""
    parser = argparse.ArgumentParser(description="Train models/ballscrew-good.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--split", type=int, choices=range(SPLITS), default=SHIPPED_SPLIT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validate", action="store_true", help="print training positions held out")
    parser.add_argument("--spread", action="store_true", help="print the figures of all splits")
    options = parser.parse_args()
    folder = options.data / "bsdata"
    if options.validate:
        validate(folder, divided(options.split)[0], options.seed)
        return
    if options.spread:
        splits = [trained(folder, split, options.seed)[-1] for split in range(SPLITS)]
        kinds = [f"int8, {how}" for how in ("as it comes", f"calibrated on {CALIBRATED_ON}")]
        print(*(": ".join(each) for each in ballscrew_spread.spread(splits, kinds)), sep="\n")
        return
    rest, test = divided(options.split)
    good, lesson, limits, models, figures = trained(folder, options.split, options.seed)
    about = ABOUT.format(
        count=CALIBRATED_ON,
        good=len(good),
        places=len(rest),
        test=", ".join(test),
        height=SIZE[0],
        width=SIZE[1],
    )
    draft = drafted(models.int8, lesson, limits, options)
    account = Account(about, command_of(options), figures)
    with fresh_folder(options.out / MODEL_ID) as out:
        write_bundle(out, replace(draft, card=card_of_draft(draft, account)))
        model = load_model(out, threads=1, roi=None)
        enter_reference(out, usual_pictures(model, map(ballscrew.frame, good)))
    for what, value in figures:
        print(f"{what}: {value}")


def divided(split: int) -> tuple[list[str], list[str]]:
    """Return the positions to learn from, and every third one, for testing."""
    test = list(ballscrew.POSITIONS[split::SPLITS])
    return [place for place in ballscrew.POSITIONS if place not in test], test


def trained(
    folder: Path, split: int, seed: int
) -> tuple[list[ballscrew.Photo], Lesson, Limits, Compiled, list[Figure]]:
    """Learn from sound photos of some positions; return them, what came of it, and its figures."""
    rest, test = divided(split)
    good = [photo for photo in ballscrew.photos(folder, rest) if not photo.pitted]
    lesson = lesson_of(good, seed)
    network, limits = learn(lesson, seen_in_float(lesson), FALSE_REJECT)
    models = compiled(network, lesson)
    figures = measured(models, ballscrew.photos(folder, test), limits, folder)
    return good, lesson, limits, models, figures


def evaluated(bundle: Path, data: Path) -> list[Figure]:
    """Return the int8 figures of a bundle anew, through the agent's own code; needs no torch."""
    model = load_model(bundle, threads=1, roi=None)
    task: Any = model.task
    found = ballscrew.photos(data / "bsdata", ballscrew.TEST_POSITIONS)
    maps, scores = [], []
    for photo in found:
        frame = ballscrew.frame(photo)
        outputs = model.backend.run(task.prepare(frame))
        maps.append(task.cells(outputs, frame))
        scores.append(task.interpret(outputs, frame).score)
    size = f"{len(model.bundle.model) / 1000:.0f} kB"
    figures = both(found, np.stack(maps), np.array(scores), "int8", data / "bsdata")
    return [*figures, ("size of the model file", size)]


def lesson_of(good: Sequence[ballscrew.Photo], seed: int) -> Lesson:
    """Return sound photos as a lesson, grouped by position."""
    from tools.training.photo_nets import PREPROCESS  # noqa: PLC0415  needs torch

    return Lesson(pixels(good), [photo.position for photo in good], PREPROCESS, seed)


def pixels(found: Sequence[ballscrew.Photo]) -> Byte:
    """Return photos at the model's size, uint8 [n, h, w, 3]."""
    from tools.training.photo_nets import PREPROCESS  # noqa: PLC0415  needs torch

    photos = [Photo(one.path, "", one.position) for one in found]
    return photo_recipe.pixels(photos, PREPROCESS, SIZE)


def measured(
    models: Compiled, found: list[ballscrew.Photo], limits: Limits, folder: Path
) -> list[Figure]:
    """Return how both models do on photos of positions that neither saw, calibrated and not."""
    from tools.training.photo_nets import PREPROCESS  # noqa: PLC0415  needs torch

    inputs = list(normalised(pixels(found), PREPROCESS)[:, None])
    figures: list[Figure] = []
    for precision, model in (("float", models.whole), ("int8", models.int8)):
        maps, scores = maps_and_scores(model, inputs)
        figures += both(found, maps, scores / limits.score, precision, folder)
    figures.append(("int8 beside float, correlation", f"{models.agreement.correlation:.4f}"))
    figures.append(("size of the model file", f"{len(models.int8) / 1000:.0f} kB"))
    return figures


def both(
    found: list[ballscrew.Photo], maps: Array, scores: Array, precision: str, folder: Path
) -> list[Figure]:
    """Return the figures as the model comes and calibrated, of the same photos."""
    judged, strange, tested = calibrated(found, maps)
    left = [photo for photo, kept in zip(found, tested, strict=True) if kept]
    masks = np.stack([ballscrew.mask(photo, folder, maps.shape[1:]) for photo in left]) > 0
    figures = []
    for how, values, cells in (
        (f"{precision}, as it comes", scores[tested], maps[tested]),
        (f"{precision}, calibrated on {CALIBRATED_ON}", judged[tested], strange[tested]),
    ):
        for what, value in ballscrew.figures(left, values, how, 1.0):
            figures.append((what if how in what else f"{what}, {how}", value))
        figures += pointing(cells, masks, how)
    return figures


def calibrated(
    found: Sequence[ballscrew.Photo], maps: Array, reduce: Reduce = "power_mean"
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return scores and maps with each position calibrated on its first photos; who is not one.

    By the agent's own code: 1 is the limit of scores and of cells.
    """
    judged, strange = np.zeros(len(found), np.float32), np.zeros_like(maps)
    tested = np.ones(len(found), np.bool_)
    places = np.array([photo.position for photo in found])
    for place in np.unique(places):
        here = np.flatnonzero(places == place)
        first = here[:CALIBRATED_ON]
        if any(found[index].pitted for index in first.tolist()):
            raise ValueError(f"{place}: one of the first {CALIBRATED_ON} photos is pitted")
        normal, _ = measure([maps[index] for index in first], reduce, FALSE_REJECT)
        for index in here:
            judged[index], strange[index] = normal.judge(maps[index], reduce)
        tested[first] = False
    return judged, strange, tested


def pointing(cells: Array, masks: NDArray[np.bool_], how: str) -> list[Figure]:
    """Return how well cells [n, rows, columns] of pitted photos agree with the outlines."""
    pitted = masks.any(axis=(1, 2))
    shown, outlined = cells[pitted], masks[pitted]
    peaks = shown.reshape(len(shown), -1).argmax(axis=1)
    hits = outlined.reshape(len(shown), -1)[np.arange(len(shown)), peaks]
    within = [
        auroc(mask.ravel(), plane.ravel()) for plane, mask in zip(shown, outlined, strict=True)
    ]
    return [
        (f"AUROC of cells in outlines, all pitted photos at once, {how}",
         f"{auroc(outlined.ravel(), shown.ravel()):.3f}"),
        (f"AUROC of cells in outlines, within each photo, mean of {len(shown)}, {how}",
         f"{np.mean(within):.3f}"),
        (f"highest cell lies in an outline (which cover {outlined.mean():.1%} of cells), {how}",
         f"{hits.mean():.1%}"),
    ]  # fmt: skip


def validate(folder: Path, places: Sequence[str], seed: int) -> None:
    """Print the figures of training positions, each held out of what judged it; float."""
    from tools.training import strangeness  # noqa: PLC0415  needs torch
    from tools.training.photo_nets import PREPROCESS  # noqa: PLC0415
    from tools.training.pictures import to_network  # noqa: PLC0415

    found = ballscrew.photos(folder, places)
    network, prepare = strangeness.Features(SIZE).eval(), to_network(PREPROCESS)
    near, far = strangeness.features_of(network, pixels(found), prepare)
    where = np.array([photo.position for photo in found])
    pitted = np.array([photo.pitted for photo in found])
    maps = np.zeros((len(found), *near.shape[2:]), np.float32)
    scores = np.zeros(len(found), np.float32)
    for fold in range(FOLDS):
        held = np.isin(where, places[fold::FOLDS])
        rest = np.flatnonzero(~held & ~pitted)
        distances = strangeness.learned((near[rest], far[rest]), seed)
        those = np.flatnonzero(held)
        maps[those], scores[those] = strangeness.judged(distances, (near[those], far[those]))
    for what, value in both(found, maps, scores / np.median(scores), "float, held out", folder):
        print(f"{what}: {value}")


def drafted(model: bytes, lesson: Lesson, limits: Limits, options: argparse.Namespace) -> Draft:
    """Return the bundle's content."""
    from tools.training.photo_nets import PREPROCESS  # noqa: PLC0415  needs torch

    seen = normalised(lesson.pixels, PREPROCESS)[:, None]
    golden = golden_inputs.pictures(model, PREPROCESS, seen)
    folder = options.data / "bsdata"
    task: dict[str, Any] = task_of(PREPROCESS, limits, "unlike sound")
    return Draft(
        model_id=MODEL_ID,
        version="1.0.1",
        seq=2,
        task=task,
        decision={"rule": RULE},
        license={
            "spdx": "CC-BY-SA-4.0",
            "attribution": "Trained on BSData by T. Schlagenhauf, M. Landwehr and J. Fleischer "
            "(CC BY-SA 4.0), from EfficientNet-Lite0 weights by Google (Apache-2.0)",
        },
        source={
            "training": command_of(options),
            "data_sha256": files_sha256(folder, folder.glob("*/*.j*")),
        },
        model=model,
        precision="int8",
        golden=golden.inputs,
        atol=golden.atol,
        p95_ms_max=200.0,
    )


def command_of(options: argparse.Namespace) -> str:
    """Return the command that makes the same again."""
    command = "python -m tools.train_ballscrew_good"
    if options.split != SHIPPED_SPLIT:
        command += f" --split {options.split}"
    return command + (f" --seed {options.seed}" if options.seed else "")


if __name__ == "__main__":
    main()
