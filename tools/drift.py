"""Shows that the drift alert comes when photos change, and is silent when they do not.

    python -m tools.drift                   feed photos of positions the reference knows nothing of
    python -m tools.drift --enter           measure the reference anew and enter it in the manifest

The photos are those of tools/datasets/ballscrew.py, before the first pitting of their position. The
reference is made of the positions that the model learned from; the photos that are fed are of the
others. There are fewer than 2,000 of those, so they come again and again: in an order drawn anew
each time, and once more each position for itself, as a gateway with one camera sees it.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.inference.model import load_model
from edge_agent.monitoring.drift import Reference
from edge_agent.monitoring.model_watch import ModelWatch
from edge_agent.monitoring.options import DriftOptions, RejectOptions
from edge_agent.monitoring.reference_file import Origin
from tools.bundling.bundle import enter_reference
from tools.bundling.usual_figures import figures_of, usual_pictures
from tools.datasets import ballscrew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edge_agent.types import Frame
    from tools.datasets.ballscrew import Photo

    Change = Callable[[Frame], Frame]

BUNDLE = Path("models/ballscrew-good")
CLEAN_ITEMS = 2000
BEFORE_ITEMS = 300  # clean ones that come before a change
WITHIN_ITEMS = 200
SEED = 5


def main() -> int:
    """Print the table; return 1 where an alert is missing, late or false."""
    parser = argparse.ArgumentParser(description="Show the drift alert on photos.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--enter", action="store_true", help="measure and enter the reference")
    options = parser.parse_args()
    folder = options.data / "bsdata"
    if options.enter:
        enter(options.bundle, folder)
        return 0
    trial = Trial(options.bundle, folder)
    print("| photos | items | alert | furthest | distance |\n|---|---|---|---|---|")
    return 0 if all([*trial.clean(), *trial.changed()]) else 1


def enter(bundle: Path, folder: Path) -> None:
    """Measure the reference of a ball screw model on the photos it learned from; enter it."""
    model = load_model(bundle, threads=1, roi=None)
    found = clean_photos(folder, ballscrew.TRAINING_POSITIONS)
    enter_reference(bundle, usual_pictures(model, map(ballscrew.frame, found)))


def clean_photos(folder: Path, positions: Sequence[str]) -> list[Photo]:
    """Return the photos from before the first pitting."""
    return [photo for photo in ballscrew.photos(folder, positions) if not photo.pitted]


class Trial:
    """One model, its reference, and the photos that neither knows."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self._model = load_model(bundle, threads=1, roi=None)
        self._photos = clean_photos(folder, ballscrew.TEST_POSITIONS)
        self._figures = cache(self._figures_of)

    def clean(self) -> list[bool]:
        """Feed clean photos; return of each stream whether the alert was silent."""
        silent = [self._silent("clean, all positions in turn", self._photos)]
        for position in ballscrew.TEST_POSITIONS:
            here = [photo for photo in self._photos if photo.position == position]
            silent.append(self._silent(f"clean, position {position} alone", here))
        return silent

    def changed(self) -> list[bool]:
        """Feed clean photos and then changed ones; return whether the alert came in time."""
        return [self._comes(name) for name in CHANGES]

    def _silent(self, what: str, photos: Sequence[Photo]) -> bool:
        watch, before, furthest = self._watch(), 0, ("", 0.0)
        for item, photo in enumerate(_drawn(photos, CLEAN_ITEMS), 1):
            self._feed(watch, photo, "")
            if watch.alerts()[0].raised:
                before = before or item
            furthest = max(furthest, _furthest(watch), key=lambda each: each[1])
        _row(what, CLEAN_ITEMS, f"raised at {before}" if before else "silent", furthest)
        return not before

    def _comes(self, change: str) -> bool:
        watch = self._watch()
        for photo in _drawn(self._photos, BEFORE_ITEMS):
            self._feed(watch, photo, "")
        false = watch.alerts()[0].raised
        for item, photo in enumerate(_drawn(self._photos, WITHIN_ITEMS), 1):
            self._feed(watch, photo, change)
            if watch.alerts()[0].raised and not false:
                _row(change, item, f"raised after {item}", _furthest(watch))
                return True
        _row(change, WITHIN_ITEMS, "raised before" if false else "NOT RAISED", _furthest(watch))
        return False

    def _feed(self, watch: ModelWatch, photo: Photo, change: str) -> None:
        watch.add(self._figures(photo, change), threshold=1.0, reject=False)

    def _figures_of(self, photo: Photo, change: str) -> dict[str, float]:
        frame = ballscrew.frame(photo)
        return figures_of(self._model, CHANGES[change](frame) if change else frame)

    def _watch(self) -> ModelWatch:
        known = self._model.bundle.manifest.reference
        if known is None:
            sys.exit("the manifest has no reference: run with --enter first")
        return ModelWatch(
            "ballscrew",
            DriftOptions(),
            RejectOptions(on=False),
            Origin(self._model.bundle.model_sha256, None),
            family="qc",
            bundle=Reference(known.items, known.figures),
        )


def _drawn(photos: Sequence[Photo], count: int) -> Iterator[Photo]:
    """Give `count` photos, each once before any comes again."""
    order = random.Random(SEED)  # noqa: S311  the same on every run
    left: list[Photo] = []
    for _ in range(count):
        if not left:
            left = list(photos)
            order.shuffle(left)
        yield left.pop()


def _furthest(watch: ModelWatch) -> tuple[str, float]:
    figures = watch.drift_report().figures
    return (figures[0].figure, figures[0].distance) if figures else ("", 0.0)


def _row(what: str, items: int, alert: str, furthest: tuple[str, float]) -> None:
    print(f"| {what} | {items} | {alert} | {furthest[0]} | {furthest[1]:.2f} |", flush=True)


def _darker(frame: Frame) -> Frame:
    return replace(frame, pixels=(frame.pixels * 0.8).astype(np.uint8))


def _blurred(frame: Frame) -> Frame:
    return _with(frame, cv2.GaussianBlur(frame.pixels, (0, 0), 2))


def _shifted(frame: Frame) -> Frame:
    """Show the part as a camera would that was knocked: 40 columns and 20 rows further."""
    height, width = frame.pixels.shape[:2]
    to = np.array([[1, 0, 40], [0, 1, 20]], np.float32)
    moved = cv2.warpAffine(frame.pixels, to, (width, height), borderMode=cv2.BORDER_REFLECT)
    return _with(frame, moved)


def _with(frame: Frame, pixels: object) -> Frame:
    return replace(frame, pixels=np.asarray(pixels, np.uint8))


CHANGES: dict[str, Change] = {
    "darker: 80 % of the light": _darker,
    "blurred: sigma 2 pixels": _blurred,
    "shifted: 40 and 20 pixels": _shifted,
}

if __name__ == "__main__":
    sys.exit(main())
