"""What the recipes over photos share: reading, checking and parting them; and the bundle.

A recipe is the few steps between: photos -> `prepared` -> its own network -> `finish`.
"""

from __future__ import annotations

import math
import re
import shlex
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.bundling.bundle import Draft, files_sha256, write_bundle
from tools.bundling.card import Account, card_of_draft
from tools.bundling.fresh_folder import fresh_folder
from tools.compress.quantise import float_model, gate, int8_model, stored_inputs
from tools.photos import add_arguments as add_photo_arguments
from tools.photos import check_photos, options_of, read_photos
from tools.training.data_checks import DataUnfit, Finding, settle
from tools.training.pictures import normalised, shrunk
from tools.training.quiet import quiet
from tools.training.splits import Split, described, grouped_split

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import ImagePreprocess
    from tools.photos import Photo
    from tools.scoring.report import Figure

    Byte = NDArray[np.uint8]
    Array = NDArray[np.float32]

# Height and width are multiples of what a cell of the deepest layer sees.
STEP = 32
CALIBRATION_PHOTOS = 250
CALIBRATION_MIN = 60
GOLDEN = 2
_ID = re.compile(r"[^a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Photos that passed the checks, parted and at the model's size.

    `pixels`: uint8 [photos, height, width, 3], RGB.
    """

    photos: Sequence[Photo]
    split: Split
    size: tuple[int, int]
    preprocess: ImagePreprocess
    pixels: Byte

    @property
    def labels(self) -> list[str]:
        """Return the class of each photo."""
        return [photo.label for photo in self.photos]

    @property
    def groups(self) -> list[str]:
        """Return the group of each photo."""
        return [photo.group for photo in self.photos]

    def lines(self) -> list[str]:
        """Return the split in words, a line for each part."""
        return described(self.split, self.groups, self.labels)


@dataclass(frozen=True, slots=True)
class Made:
    """What a recipe made: a network of which TFLite can be made, and what is to be said of it.

    `network`: a torch module from [1, 3, h, w]; `maps`: it answers a map. `inputs`: pictures as
    real input values, [1, h, w, 3] each, to calibrate with; `golden`: indices of photos.
    `keep_float`: operators that int8 leaves as they are. `rounded`: the network that the int8 model
    is made of, if that is another one.
    """

    network: Any
    maps: bool
    task: dict[str, Any]
    rule: dict[str, Any]
    labels: Sequence[str]
    golden: Sequence[int]
    atol: float = 0.1
    rtol: float = 0.0
    keep_float: Sequence[str] = ()
    rounded: Any = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every recipe over photos has."""
    add_photo_arguments(parser)
    parser.add_argument(
        "--size", default="", metavar="HxW", help="height and width of the model's input; found out"
    )
    parser.add_argument("--model-id", default="", help="OUT's name if left out")
    parser.add_argument("--model-version", default="1.0.0")
    parser.add_argument("--license", default="LicenseRef-Unknown", help="of the weights, as SPDX")
    parser.add_argument("--attribution", default="", help="whom to name for the photos")
    parser.add_argument("--precision", choices=("int8", "float32"), default="int8")


def prepared(
    options: argparse.Namespace, preprocess: ImagePreprocess, *, least: int, area: int
) -> Prepared:
    """Return the photos in `options.data`, or raise DataUnfit.

    `least`: photos a class must have. `area`: pixels of the input, unless the user said --size.
    """
    photos, findings = read_photos(options.data, options_of(options))
    photos, more = check_photos(photos, least=least)
    settle([*findings, *more])
    split = parted(photos, options.seed)
    size = size_of(options.size, photos, area)
    print(f"{len(photos)} photos, at {size[1]} x {size[0]} pixels")
    made = Prepared(photos, split, size, preprocess, pixels(photos, preprocess, size))
    print(*(f"  {line}" for line in made.lines()), sep="\n", flush=True)
    return made


def pixels(photos: Sequence[Photo], preprocess: ImagePreprocess, size: tuple[int, int]) -> Byte:
    """Return the photos at the model's size, uint8 [n, height, width, 3]."""
    return shrunk((photo.frame() for photo in photos), preprocess, size)


def parted(photos: Sequence[Photo], seed: int) -> Split:
    """Return the split that the data come with, or one by groups; settle what it found."""
    groups, labels = [photo.group for photo in photos], [photo.label for photo in photos]
    given = np.array([photo.part for photo in photos])
    if not (given == "test").any():
        split = grouped_split(groups, seed=seed, labels=labels)
    else:
        split = _with_validation(given, groups, labels, seed)
    settle(split.findings)
    return split


def size_of(wanted: str, photos: Sequence[Photo], area: int) -> tuple[int, int]:
    """Return height and width: as `wanted`, or about `area` pixels in the photos' proportions."""
    if wanted:
        match = re.fullmatch(r"(\d+)x(\d+)", wanted)
        if not match or int(match[1]) % STEP or int(match[2]) % STEP or "0" in match.groups():
            raise DataUnfit(f"--size {wanted!r}: wanted are two multiples of {STEP}, as 224x224")
        return int(match[1]), int(match[2])
    some = photos[:: max(1, len(photos) // 20)]
    ratios = [shape[1] / shape[0] for shape in (photo.frame().pixels.shape for photo in some)]
    ratio = float(np.clip(np.median(ratios), 1 / 6, 6))
    height = max(1, round(math.sqrt(area / ratio) / STEP))
    width = max(1, round(math.sqrt(area * ratio) / STEP))
    return height * STEP, width * STEP


def calibration(prepared_photos: Prepared, indices: NDArray[np.int64], seed: int) -> list[Array]:
    """Return real inputs, [1, h, w, 3] each, to calibrate with: mirrored too, if there are few."""
    order = np.random.default_rng(seed).permutation(indices)[:CALIBRATION_PHOTOS]
    chosen = prepared_photos.pixels[order]
    if len(chosen) < CALIBRATION_PHOTOS:
        chosen = np.concatenate([chosen, chosen[:, :, ::-1], chosen[:, ::-1]])[:CALIBRATION_PHOTOS]
    return list(normalised(chosen, prepared_photos.preprocess)[:, None])


def compiled(made: Made, samples: Sequence[Array], held: Sequence[Array]) -> tuple[bytes, bytes]:
    """Return the float and the int8 model; the gate has compared them on `held`, if there are."""
    print("converting and quantising ...", flush=True)
    with quiet():
        whole = float_model(made.network, samples[0], picture=True, answers_map=made.maps)
        fewest = min(CALIBRATION_MIN, len(samples))
        source = whole
        if made.rounded is not None:
            source = float_model(made.rounded, samples[0], picture=True, answers_map=made.maps)
        model = int8_model(source, samples, fewest=fewest, keep_float=made.keep_float)
        found = gate(whole, model, held) if held else None
    if found:
        print(f"int8 beside float: {found.sentence()}")
    return whole, model


def models(
    made: Made, samples: Sequence[Array], held: Sequence[Array], precision: str
) -> dict[str, bytes]:
    """Return the float model, and the int8 one if that is wanted: the last is for the bundle."""
    if precision == "int8":
        whole, model = compiled(made, samples, held)
        return {"float": whole, "int8": model}
    print("converting ...", flush=True)
    return {"float": float_model(made.network, samples[0], picture=True, answers_map=made.maps)}


def finish(
    options: argparse.Namespace,
    ready: Prepared,
    made: Made,
    model: bytes,
    account: tuple[str, Sequence[Figure]],
) -> None:
    """Write the bundle and its card into `options.out`, whole or not at all.

    `account`: text for the card, and figures.
    """
    about, figures = account
    samples = list(normalised(ready.pixels[list(made.golden)], ready.preprocess)[:, None])
    command = command_line(options)
    draft = Draft(
        model_id=options.model_id or name_from(options.out),
        version=options.model_version,
        seq=1,
        task=made.task,
        decision={"rule": made.rule},
        license={"spdx": options.license, "attribution": options.attribution},
        source={
            "training": command,
            "data_sha256": files_sha256(options.data, {photo.path for photo in ready.photos}),
        },
        model=model,
        precision=options.precision,
        golden=stored_inputs(model, samples),
        atol=made.atol,
        rtol=made.rtol,
        p95_ms_max=1000.0,
        labels=tuple(made.labels),
    )
    card = card_of_draft(draft, Account(about, command, figures))
    with fresh_folder(options.out) as folder:
        write_bundle(folder, replace(draft, card=card))
    for what, value in figures:
        print(f"{what}: {value}")


def command_line(options: argparse.Namespace) -> str:
    """Return how this process was started, as a person would type it beside data and bundle.

    Of a path that begins at the root only the last name: where that lies must not change the
    bundle's bytes.
    """
    whole = (path for path in (options.data, options.out) if path.is_absolute())
    places = {str(path): path.resolve().name for path in whole}
    return f"python -m tools.train {shlex.join(places.get(word, word) for word in sys.argv[1:])}"


def name_from(out: Path) -> str:
    """Return a model id made of a folder's name."""
    return _ID.sub("-", out.resolve().name.lower()).strip("-") or "model"


def _with_validation(
    given: NDArray[Any], groups: Sequence[str], labels: Sequence[str], seed: int
) -> Split:
    """Take the test part as it comes, and the rest as it comes or parted by groups."""
    test = np.flatnonzero(given == "test").astype(np.int64)
    rest = np.flatnonzero(given != "test").astype(np.int64)
    findings = []
    both = {groups[index] for index in test.tolist()} & {groups[index] for index in rest.tolist()}
    if both:
        text = f"{len(both)} groups are in the test part and outside of it: it will flatter"
        findings.append(Finding("warning", text))
    if (given == "validation").any():
        train = np.flatnonzero((given != "test") & (given != "validation")).astype(np.int64)
        held = np.flatnonzero(given == "validation").astype(np.int64)
        return Split(train, held, test, tuple(findings))
    inner = grouped_split(
        [groups[index] for index in rest.tolist()],
        shares=(0.85, 0.15, 0.0),
        seed=seed,
        labels=[labels[index] for index in rest.tolist()],
    )
    findings += inner.findings
    return Split(rest[inner.train], rest[inner.validation], test, tuple(findings))
