"""Train models/ballscrew-pitting: whether the surface of a ball screw is pitted, and where.

    python -m tools.train_ballscrew --data ../shared/data             the shipped model
    python -m tools.train_ballscrew --validate                        how it was chosen
    python -m tools.train_ballscrew --split 0 --out build/models      other positions for testing
    python -m tools.train_ballscrew --spread                          all three, and their spread

Split by position on the screw: photos of one position are near-duplicates of each other. The front,
its depth and the strength of the regression were chosen on training positions (`--validate`).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools import evaluate
from tools.bundling import golden_inputs
from tools.bundling.bundle import Draft, files_sha256, write_bundle
from tools.bundling.card import Account, write_card_of
from tools.bundling.fresh_folder import fresh_folder
from tools.datasets import ballscrew, ballscrew_spread
from tools.photos import Photo
from tools.training import logistic, photo_recipe
from tools.training.photo_recipe import Prepared
from tools.training.pictures import normalised
from tools.training.splits import Split, described
from tools.training.thresholds import limits

if TYPE_CHECKING:
    from tools.scoring.report import Figure
    from tools.training.photo_training import Trained

MODEL_ID = "ballscrew-pitting"
SIZE = (160, 384)
DEPTH = 11
DEPTHS = (5, 8, 11, 15)
# So many training positions are held back where a training must know when to stop.
HELD = 2
PRUNED = 0.5
SPLITS = 3
SHIPPED_SPLIT = 2
FALSE_REJECTS = 0.02
LABELS = ("clean", "pitted")

ABOUT = """
Whether a photo of a ball screw's surface shows pitting: a score 0 to 1, and a map of {columns} x
{rows} cells that says where.

**Trained on** BSData: T. Schlagenhauf, M. Landwehr, J. Fleischer, "Industrial machine tool
component surface defect dataset", 2021, CC BY-SA 4.0, and its outlines of pitting. A split by
position on the screw: neighbours in time are near-duplicates, so a split at random would test on
what was trained on.

{split}

A photo without a label file is not known to be clean; here it counts as clean when it was taken
before the first labelled one of its position, and is left out when it was taken later. The position
that was never labelled is left out too.

**Read the AUROC with care**: early photos are clean and late ones pitted, so it partly measures
time and soiling. The latest photos, all pitted, show a larger part of the screw; "one size" leaves
them out. The hard figures, on the last five clean and the first five pitted photos of each
position, are nearest to what an inspector asks: "within each position" compares photos of one
place, the other one sets a single threshold for all places, which is harder. **Do not calibrate
it** on a gateway (`edge-agent calibrate`): the score then comes from the map alone, and is worse.

**Input** the whole photo at {width} x {height}. **Network** the first {depth} blocks of
EfficientNet-Lite0 (weights from ImageNet, Apache-2.0){how}; score: a logistic regression on mean
and maximum of its channels; map: another one on each cell, from the outlines. Depth and strength
were chosen on training positions (`--validate`), the test positions had no say.

**Licence** CC BY-SA 4.0, as the photos.
"""


def main() -> None:
    """Train, quantise, check, write the bundle, and print how good it is."""
    parser = argparse.ArgumentParser(description="Train models/ballscrew-pitting.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models"))
    parser.add_argument("--split", type=int, choices=range(SPLITS), default=SHIPPED_SPLIT)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prune", type=float, default=0.0, help="share of the channels")
    parser.add_argument("--validate", action="store_true", help="print what was chosen between")
    parser.add_argument("--spread", action="store_true", help="print the figures of all splits")
    options = parser.parse_args()
    if options.spread:
        print(*(": ".join(each) for each in spread(options)), sep="\n")
        return
    ready, found = prepared(options.data / "bsdata", options.split)
    if options.validate:
        validate(ready, found)
        return
    draft, account = build(ready, found, options)
    with fresh_folder(options.out / MODEL_ID) as folder:
        write_bundle(folder, draft)
        if options.split == SHIPPED_SPLIT:
            through_agent = evaluate.pitting(folder, options.data)
            account = replace(account, figures=[*account.figures, *through_agent])
        write_card_of(folder, account)
    for what, value in account.figures:
        print(f"{what}: {value}")
    for row in account.variants:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


def prepared(folder: Path, split: int) -> tuple[Prepared, list[ballscrew.Photo]]:
    """Return all photos with every third position for testing, and the same as photos of a screw.

    `split`: which third. Two of the other positions are the validation part.
    """
    from tools.training.photo_nets import PREPROCESS  # noqa: PLC0415  needs torch

    found = ballscrew.photos(folder, ballscrew.POSITIONS)
    test = ballscrew.POSITIONS[split::3]
    held = [place for place in ballscrew.POSITIONS if place not in test][:: len(test) + 1][:HELD]
    places = np.array([photo.position for photo in found])
    photos = [Photo(one.path, LABELS[one.pitted], one.position) for one in found]
    parts = [
        np.flatnonzero(~np.isin(places, [*test, *held])),
        np.flatnonzero(np.isin(places, held)),
        np.flatnonzero(np.isin(places, test)),
    ]
    train, validation, tested = (part.astype(np.int64) for part in parts)
    made = Split(train, validation, tested)
    pixels = photo_recipe.pixels(photos, PREPROCESS, SIZE)
    return Prepared(photos, made, SIZE, PREPROCESS, pixels), found


def validate(ready: Prepared, found: list[ballscrew.Photo]) -> None:
    """Print for each depth how good the regression is on each training position, held out.

    For the depth that ships also for each strength: the one with the least loss is taken.
    """
    from tools.training.photo_nets import trunk  # noqa: PLC0415  needs torch
    from tools.training.photo_training import pooled  # noqa: PLC0415
    from tools.training.pictures import to_network  # noqa: PLC0415

    rest = np.sort(np.concatenate([ready.split.train, ready.split.validation]))
    front, prepare = trunk(max(DEPTHS), SIZE), to_network(ready.preprocess)
    features = pooled(front, ready.pixels[rest], prepare, DEPTHS)
    those = [found[index] for index in rest]
    groups = [photo.position for photo in those]
    classes = np.array([photo.pitted for photo in those], np.int64)
    for depth in DEPTHS:
        chosen = logistic.choose(features[depth], classes, 2, groups)
        print(f"{depth} blocks, strength {chosen.strength:g}, loss {chosen.loss:.4f}")
        for what, value in ballscrew.figures(those, chosen.logits[:, 0], "held out")[:4]:
            print(f"  {what}: {value}", flush=True)
    for strength in logistic.STRENGTHS:
        logits = logistic.held_out(features[DEPTH], classes, 2, groups, strength)
        loss = logistic.balanced_loss(logits, classes, 2)
        figures = ballscrew.figures(those, logits[:, 0], "held out")[:4]
        values = ", ".join(value for _, value in figures)
        print(f"strength {strength:g}: loss {loss:.4f}, the same figures {values}", flush=True)


def spread(options: argparse.Namespace) -> list[Figure]:
    """Return the figures of the whole model with each third of the positions for testing."""
    splits = []
    for split in range(SPLITS):
        each = argparse.Namespace(**{**vars(options), "split": split, "prune": 0.0})
        _, account = build(*prepared(options.data / "bsdata", split), each)
        splits.append(account.figures)
    return ballscrew_spread.spread(splits, ("float, whole", "int8, whole"))


def build(
    ready: Prepared, found: list[ballscrew.Photo], options: argparse.Namespace
) -> tuple[Draft, Account]:
    """Train, compile and measure; return the bundle's content and what is to be said of it."""
    import torch  # noqa: PLC0415  of the training environment only

    from tools.training.ballscrew_model import Measured, compiled, unstructured  # noqa: PLC0415
    from tools.training.fit import THREADS  # noqa: PLC0415
    from tools.training.photo_pruning import pruned  # noqa: PLC0415
    from tools.training.photo_training import Lesson, frozen  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    torch.manual_seed(options.seed)
    classes = np.array([photo.pitted for photo in found], np.int64)
    lesson = Lesson(ready, classes, 2, options.seed)
    masks = np.stack([ballscrew.mask(photo, options.data / "bsdata", SIZE) for photo in found])
    measured = Measured(ready, [found[index] for index in ready.split.test])
    trained = frozen(lesson, (DEPTH,))
    model = compiled(lesson, trained, masks)
    measured.add("whole", model)
    if options.prune:
        began = time.monotonic()
        pruned_one = pruned(lesson, trained, options.prune)
        smaller = compiled(lesson, pruned_one, masks)
        took = f"{time.monotonic() - began:.0f} s"
        measured.figures += [each for each in pruned_one.figures if each[0] == "pruned"]
        measured.figures.append(("pruning, tuning, converting and quantising took", took))
        print(*measured.figures[-1], sep=": ", flush=True)
        measured.add(f"{options.prune:.0%} of the channels pruned and tuned", smaller)
        for name, one in unstructured(lesson, trained, masks):
            measured.add(name, one)
        trained, model = pruned_one, smaller
    draft = drafted(model.int8, model.map_threshold, ready, trained, options)
    if options.split != SHIPPED_SPLIT:
        measured.at_limit(model, draft.decision["rule"]["fail_at"])
    return draft, account_of(ready, trained, measured.figures, measured.rows(), options)


def drafted(
    model: bytes,
    map_threshold: float,
    ready: Prepared,
    trained: Trained,
    options: argparse.Namespace,
) -> Draft:
    """Return the bundle's content."""
    from tools.training.ballscrew_model import scores_of  # noqa: PLC0415  needs torch

    held = [ready.photos[index] for index in trained.held]
    pass_at, fail_at = limits(
        scores_of(trained),
        np.array([photo.label == LABELS[1] for photo in held]),
        FALSE_REJECTS,
        [photo.group for photo in held],
    )
    seen = normalised(ready.pixels[ready.split.train], ready.preprocess)[:, None]
    golden = golden_inputs.pictures(model, ready.preprocess, seen)
    folder = options.data / "bsdata"
    return Draft(
        model_id=MODEL_ID,
        version="2.1.0",
        seq=3,
        task={
            "kind": "anomaly",
            "preprocess": ready.preprocess.model_dump(mode="json"),
            "postprocess": {
                "form": "score_and_map",
                "map_threshold": map_threshold,
                "label": "pitting",
            },
        },
        decision={"rule": {"kind": "threshold", "pass_at": pass_at, "fail_at": fail_at}},
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
        p95_ms_max=100.0,
    )


def account_of(
    ready: Prepared,
    trained: Trained,
    figures: list[Figure],
    rows: list[dict[str, str]],
    options: argparse.Namespace,
) -> Account:
    """Return what the card says."""
    lines = described(ready.split, ready.groups, ready.labels)
    about = ABOUT.format(
        rows=SIZE[0] // 16,
        columns=SIZE[1] // 16,
        height=SIZE[0],
        width=SIZE[1],
        depth=trained.depth,
        how=trained.how,
        split="\n".join(f"- {line}" for line in lines),
    )
    return Account(about, command_of(options), figures, rows)


def command_of(options: argparse.Namespace) -> str:
    """Return the command that makes the same again."""
    command = "python -m tools.train_ballscrew"
    if options.split != SHIPPED_SPLIT:
        command += f" --split {options.split}"
    if options.seed:
        command += f" --seed {options.seed}"
    return command + (f" --prune {options.prune:g}" if options.prune else "")


if __name__ == "__main__":
    main()
