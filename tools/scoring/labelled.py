"""Items whose truth is known, as the agent gets them: photos of a folder, windows of recordings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.errors import BadInput
from tools.bundling.bundle import files_sha256
from tools.photos import check_photos, read_photos
from tools.recordings.parts import parted
from tools.recordings.reader import read
from tools.recordings.windows import windows
from tools.training.data_checks import DataUnfit, print_findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.types import Item
    from tools.photos import Mark, Photo
    from tools.photos.reading import Reading
    from tools.recordings.series import Layout, Series


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One item and what is true of it: a label, or a number. `group`: its part or machine.

    `marks`: the outlined regions of a photo.
    """

    item: Item
    truth: str | float
    name: str
    group: str
    last_of_group: bool = False
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Unusable:
    """A file that is no item, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Labels:
    """Labelled items, the hash of the files they are from, and whether they are all of them."""

    items: Iterable[Labelled | Unusable]
    sha256: str
    whole: bool


def photos(folder: Path, reading: Reading, seed: int | None = None) -> Labels:
    """Return the photos of a folder in any layout that the recipes read; their class is the truth.

    `seed`: only the test part of the recipes' split with this seed. Without it, where the folder
    holds a split already, only its test part. Raises DataUnfit.
    """
    found, findings = read_photos(folder, reading)
    if seed is not None:
        from tools.training.photo_recipe import parted as photos_parted  # noqa: PLC0415  of the training environment only

        found, more = check_photos(found, least=0)
        print_findings([*findings, *more])
        held = [found[index] for index in photos_parted(found, seed).test.tolist()]
    else:
        # What belongs together matters to a split alone.
        print_findings(finding for finding in findings if "--group" not in finding.text)
        held = [photo for photo in found if photo.part == "test"]
    sha256 = files_sha256(folder, {photo.path for photo in found})
    return Labels(_frames(folder, held or found), sha256, whole=not held)


def recording_windows(
    path: Path, layout: Layout, shape: WindowPreprocess, seed: int | None = None
) -> Labels:
    """Return the windows of every series; a window's truth is that of its newest row.

    `seed`: only the test part of the recipes' split. Raises DataUnfit that names what is missing.
    """
    recording, findings = read(path, layout)
    missing = [name for name in shape.channels if name not in recording.channels]
    if missing:
        raise DataUnfit(
            f"{path.name}: no column {', '.join(missing)}, which the model reads; there are "
            f"{', '.join(recording.channels)}"
        )
    print_findings(findings)
    recording = recording.only(shape.channels)
    series: Sequence[Series] = recording.series
    if seed is not None:
        series = parted(recording, seed, by_label=layout.target_is_text).test
    sha256 = files_sha256(recording.folder, recording.files)
    return Labels(_windows(series, shape), sha256, whole=seed is None)


def _frames(folder: Path, held: Sequence[Photo]) -> Iterator[Labelled | Unusable]:
    for photo in held:
        name = photo.path.relative_to(folder).as_posix()
        try:
            frame = photo.frame()
        except (BadInput, OSError) as error:
            yield Unusable(name, str(error).splitlines()[0])
            continue
        yield Labelled(frame, photo.label, name, photo.group or name, marks=photo.marks)


def _windows(recording: Sequence[Series], shape: WindowPreprocess) -> Iterator[Labelled]:
    for number, series in enumerate(recording):
        made = list(windows(series, shape, number))
        for index, window in enumerate(made):
            row = window.captured_ns
            yield Labelled(
                item=window,
                truth=_truth(series.target, row),
                name=f"{series.file}, row {series.lines[row]}",
                group=series.group,
                last_of_group=index == len(made) - 1,
            )


def _truth(target: Any, row: int) -> str | float:  # noqa: ANN401  an array of text or of numbers
    if target is None:
        raise DataUnfit(
            "the recording has no truth: name its column with --target or --label. Of a life it is "
            "a column of what is left at each row, which the recipe counts by itself"
        )
    value = target[row]
    return str(value) if isinstance(value, np.str_) else float(value)
