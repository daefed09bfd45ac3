"""Photos of a ball screw's surface until it is pitted (BSData), as the agent would see them.

Schlagenhauf, Landwehr and Fleischer, "Industrial machine tool component surface defect dataset",
2021, CC BY-SA 4.0. Twelve positions on the screw were photographed again and again. A label file
outlines pitting; no label file means that nobody looked, so here a photo counts

    as pitted  when it has a label file,
    as clean   when it has none and was taken before the first labelled one of its position,
    not at all when it has none and was taken later.

Early is clean and late is pitted, so a score that only sees soiling grow would look good too. The
"hard" figure takes, per position, the last five clean photos against the first five pitted ones.
The latest photos show a larger part of the screw (1540 x 645 pixels, not 1130 x 460), and all of
them are pitted: "one size" leaves them out.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_agent.pictures import image
from edge_agent.types import Frame
from tools.scoring.report import auroc

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.types import Prediction
    from tools.scoring.report import Figure

# 477500_315 was never labelled. Every third of the others is for testing.
POSITIONS = (
    "277500_315", "332500_225", "395000_270", "397500_315", "430000_180", "437500_315",
    "490000_180", "517500_315", "560000_000", "585000_090", "635000_270",
)  # fmt: skip
TEST_POSITIONS = POSITIONS[2::3]
TRAINING_POSITIONS = tuple(place for place in POSITIONS if place not in TEST_POSITIONS)
HARD = 5
USUAL_CROP = "_crop_2"

_NAME = re.compile(r"01_(?P<time>\d+)_(?P<position>\d+_\d+)_crop_\d+")


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo that is known to be clean or pitted; photos are ordered by position, then time."""

    path: Path
    position: str
    time: str
    pitted: bool


def photos(folder: Path, positions: Collection[str]) -> list[Photo]:
    """Return the photos of these positions."""
    labelled = {path.stem for path in (folder / "labels").glob("*.json")}
    found = []
    for path in (folder / "images").glob("*.jpg"):
        match = _NAME.fullmatch(path.stem)
        if match and match["position"] in positions:
            found.append(Photo(path, match["position"], match["time"], path.stem in labelled))
    found.sort(key=lambda photo: (photo.position, photo.time))
    first: dict[str, str] = {}
    for photo in found:
        if photo.pitted:
            first.setdefault(photo.position, photo.time)
    return [photo for photo in found if photo.pitted or photo.time < first[photo.position]]


def frame(photo: Photo) -> Frame:
    """Return a photo as the agent gets it."""
    return Frame(image.decode(photo.path.read_bytes()), 0, 0, 0, origin=photo.path.name)


def mask(photo: Photo, folder: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the outlined pitting as uint8 [height, width] of `size`, 0 to 255 by covered share."""
    if not photo.pitted:
        return np.zeros(size, np.uint8)
    label = json.loads((folder / "labels" / f"{photo.path.stem}.json").read_bytes())
    # Photos come in several sizes.
    whole = np.zeros((label["imageHeight"], label["imageWidth"]), np.uint8)
    for outline in (shape["points"] for shape in label["shapes"]):
        cv2.fillPoly(whole, [np.rint(outline).astype(np.int32)], 255)
    shrunk: Any = cv2.resize(whole, size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def pointed_at(found: list[Photo], predictions: list[Prediction], folder: Path) -> Figure:
    """Return how often the best region of a pitted photo lies on outlined pitting.

    A model may score well by what merely comes with pitting, such as soiling; this tells.
    """
    hits = []
    for photo, prediction in zip(found, predictions, strict=True):
        if photo.pitted and prediction.defects:
            best = max(prediction.defects, key=lambda defect: defect.score)
            height, width = image.decode(photo.path.read_bytes()).shape[:2]
            top, left = round(best.y), round(best.x)
            outlined = mask(photo, folder, (height, width))
            hits.append(outlined[top : top + round(best.h), left : left + round(best.w)].any())
    what = f"best region lies on outlined pitting, {len(hits)} pitted photos with a region"
    return (what, f"{np.mean(hits):.1%}" if hits else "none")


def figures(
    found: list[Photo], scores: NDArray[np.floating], precision: str, threshold: float = 0.5
) -> list[Figure]:
    """Return AUROC over all photos and over the hard ones, and what the threshold does."""
    pitted = np.array([photo.pitted for photo in found])
    hard = np.array(hard_ones(found))
    usual = np.array([photo.path.stem.endswith(USUAL_CROP) for photo in found])
    places = len({photo.position for photo in found})
    what = f"{places} positions never seen, {precision}"
    return [
        (f"AUROC, {len(found)} photos of {what}", f"{auroc(pitted, scores):.3f}"),
        (
            f"AUROC, one size, {usual.sum()} photos, {precision}",
            f"{auroc(pitted[usual], scores[usual]):.3f}",
        ),
        (
            f"AUROC, hard: {HARD} each side of the first pitting, {hard.sum()} photos, {precision}",
            f"{auroc(pitted[hard], scores[hard]):.3f}",
        ),
        (
            f"AUROC, hard, within each position, mean of {places}, {precision}",
            f"{within_positions(found, scores):.3f}",
        ),
        (f"clean photos at {threshold:g} or more", f"{(scores[~pitted] >= threshold).mean():.1%}"),
        (f"pitted photos below {threshold:g}", f"{(scores[pitted] < threshold).mean():.1%}"),
    ]


def within_positions(found: list[Photo], scores: NDArray[np.floating]) -> float:
    """Return the mean over positions of the AUROC of each one's hard photos.

    Over all positions at once, one position's soiling also counts against another's pitting.
    """
    pitted = np.array([photo.pitted for photo in found])
    hard = np.array(hard_ones(found))
    places = np.array([photo.position for photo in found])
    chosen = [hard & (places == place) for place in np.unique(places)]
    return float(np.mean([auroc(pitted[those], scores[those]) for those in chosen]))


def hard_ones(found: list[Photo]) -> list[bool]:
    """Return for each photo whether it is among the last clean or first pitted of its position."""
    chosen = set()
    for position in {photo.position for photo in found}:
        here = [photo for photo in found if photo.position == position]
        chosen.update([photo.path for photo in here if not photo.pitted][-HARD:])
        chosen.update([photo.path for photo in here if photo.pitted][:HARD])
    return [photo.path in chosen for photo in found]
