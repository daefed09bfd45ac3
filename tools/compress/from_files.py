"""Samples for a model from labelled photos or from CSV files: what an .npz file holds otherwise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.preprocess import ImagePreprocess
from tools.compress.samples import Samples
from tools.photos import add_arguments as add_photo_arguments
from tools.photos import check_photos, options_of, read_photos
from tools.photos.layout import pictures
from tools.recordings.checks import read_checked
from tools.recordings.series import add_layout_arguments, layout_of
from tools.recordings.windows import examples, targets, window_shape, zscore
from tools.training import photo_recipe
from tools.training.data_checks import DataUnfit, settle
from tools.training.pictures import normalised
from tools.training.splits import grouped_split

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from numpy.typing import NDArray

    Shares = tuple[float, float, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what must be said of photos and of CSV files; an .npz file holds all of it."""
    add_photo_arguments(parser)
    photos = parser.add_argument_group("--data is a folder of labelled photos")
    photos.add_argument("--size", default="", metavar="HxW", help="of the model's input")
    photos.add_argument("--mean", type=float, nargs="+", default=[0.0], help="of pixels, 0..255")
    photos.add_argument("--std", type=float, nargs="+", default=[255.0], help="of pixels")
    add_layout_arguments(parser)
    rows = parser.add_argument_group("--data is a CSV file, or a folder of them")
    rows.add_argument("--label", help="column of the class")
    rows.add_argument("--target", help="column of the value that is predicted")
    rows.add_argument("--rows", type=int, default=1, help="in a sample; 1: no axis for them")
    rows.add_argument("--zscore", action="store_true", help="scale columns by mean and deviation")


def is_files(path: Path) -> bool:
    """Return whether `path` is something to be read here."""
    return path.is_dir() or path.suffix.lower() in {".csv", ".tsv", ".txt"}


def samples_of_files(options: argparse.Namespace, shares: Shares) -> Samples:
    """Return the samples in `options.data`, parted by group. Raises DataUnfit."""
    if options.data.is_dir() and next(pictures(options.data), None):
        return _of_photos(options, shares)
    return _of_rows(options, shares)


def _of_photos(options: argparse.Namespace, shares: Shares) -> Samples:
    size = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", options.size)
    if not size:
        raise DataUnfit("photos need --size HxW, height and width of the model's input: 32x32")
    if len(options.mean) not in {1, 3} or len(options.std) not in {1, 3} or min(options.std) <= 0:
        raise DataUnfit("--mean and --std want 1 or 3 numbers, of which --std are above 0")
    found, findings = read_photos(options.data, options_of(options))
    found, more = check_photos(found, least=1)
    settle([*findings, *more])
    preprocess = ImagePreprocess(kind="image", mean=tuple(options.mean), std=tuple(options.std))
    pixels = photo_recipe.pixels(found, preprocess, (int(size[1]), int(size[2])))
    inputs = normalised(pixels, preprocess)
    names = sorted({photo.label for photo in found})
    classes = np.array([names.index(photo.label) for photo in found])
    return _parted(inputs, classes, [photo.group for photo in found], options, shares)


def _of_rows(options: argparse.Namespace, shares: Shares) -> Samples:
    target = options.label or options.target
    if not target:
        raise DataUnfit("a CSV needs --label COLUMN (classes) or --target COLUMN (values)")
    layout = layout_of(options, target, text=bool(options.label))
    recording = read_checked(options.data, layout, options.rows)
    features = [zscore(recording.series)] if options.zscore else []
    shape = window_shape(recording.channels, options.rows, 1, 1.0, features)
    found = examples(recording.series, shape)
    wanted = targets(found, recording.series)
    if options.label:
        wanted = np.searchsorted(recording.labels, wanted.astype(str))
    groups = [recording.series[number].group for number in found.series.tolist()]
    inputs = found.inputs[:, 0] if options.rows == 1 else found.inputs
    return _parted(inputs, wanted, groups, options, shares)


def _parted(
    inputs: NDArray[np.float32],
    wanted: NDArray[Any],
    groups: list[str],
    options: argparse.Namespace,
    shares: Shares,
) -> Samples:
    classes = wanted.dtype.kind in "iub"
    labels = [str(value) for value in wanted] if classes else None
    split = grouped_split(groups, shares=shares, seed=options.seed, labels=labels)
    settle(split.findings)
    return Samples(inputs.astype(np.float32), wanted, split)
