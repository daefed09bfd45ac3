"""From a folder to labelled photos: which layout it has, and which photos belong together."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tools.photos import coco, folders, labelme, voc, yolo
from tools.photos.layout import pictures
from tools.training.data_checks import DataUnfit, Finding, named

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from tools.photos.photo import Photo

# In the order in which a folder is asked what it is.
LAYOUTS = {"labelme": labelme, "coco": coco, "voc": voc, "yolo": yolo, "folders": folders}
DEFAULT_GOOD = "good"


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a folder of photos.

    `layout`: a key of LAYOUTS, or "" to find out. `group`: a regular expression that is searched
    for in a photo's path; what it matches (its first bracket, if it has one) is the group.
    `groups`: a CSV file with the columns file and group. `good`: the label of unmarked photos.
    """

    layout: str = ""
    group: str = ""
    groups: Path | None = None
    good: str = DEFAULT_GOOD


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what a recipe over photos lets the user say about their folder."""
    from pathlib import Path  # noqa: PLC0415  for the type of an option

    parser.add_argument(
        "--layout", choices=sorted(LAYOUTS), default="", help="how labels are kept; else found out"
    )
    parser.add_argument(
        "--group",
        default="",
        metavar="REGEX",
        help="what in a file's path says which part, position or day it is of: photos of one "
        "group are near-duplicates, and are never split; its first bracket counts",
    )
    parser.add_argument(
        "--groups", type=Path, default=None, metavar="CSV", help="the same, as columns file,group"
    )
    # No default here: only a name that was said must be one of the labels.
    parser.add_argument(
        "--good",
        default="",
        metavar="LABEL",
        help=f"of good parts, and of photos without marks; left out: {DEFAULT_GOOD}",
    )


def options_of(options: argparse.Namespace) -> Reading:
    """Return what the user said on the command line."""
    good = options.good or DEFAULT_GOOD
    return Reading(options.layout, options.group, options.groups, good)


def check_good(photos: Sequence[Photo], said: str) -> None:
    """Raise DataUnfit where the label that the user said is good ("": none) is none of them."""
    labels = sorted({photo.label for photo in photos})
    if said and said not in labels:
        raise DataUnfit(f"--good {said}: the labels are {named(labels)}")


def read_photos(root: Path, reading: Reading | None = None) -> tuple[list[Photo], list[Finding]]:
    """Return the photos in `root` with their groups, and findings; raise DataUnfit without any."""
    reading = reading or Reading()
    if not root.is_dir():
        raise DataUnfit(f"{root} is no folder")
    layout = reading.layout or _layout_of(root)
    found = LAYOUTS[layout].read(root, reading.good)
    if not found.photos:
        raise DataUnfit([*found.findings, Finding("error", f"{root}: no photos ({layout})")])
    findings = [*found.findings]
    photos = grouped(found.photos, root, reading, findings)
    if layout in {"labelme", "voc", "coco"}:
        known = {photo.path for photo in photos}
        left = [path.name for path in pictures(root) if path not in known]
        if left:
            text = f"{len(left)} pictures have no labels: {named(left)}; left out"
            findings.append(Finding("warning", text))
    return photos, findings


def _layout_of(root: Path) -> str:
    for name, layout in LAYOUTS.items():
        if layout.is_layout(root):
            return name
    raise DataUnfit(
        f"{root}: no photos with labels. Put them in a folder for each class ({root.name}/good, "
        f"{root.name}/scratch), or beside labelme, VOC, YOLO or COCO files"
    )


def grouped(
    photos: Sequence[Photo], root: Path, reading: Reading, findings: list[Finding]
) -> list[Photo]:
    """Return the photos with the groups that `reading` says; without, that is a finding."""
    if reading.groups:
        return _from_csv(photos, root, reading.groups)
    if reading.group:
        return _from_regex(photos, root, reading.group)
    findings.append(
        Finding(
            "warning",
            "no --group: every photo counts as a part of its own. If several show the same part, "
            "position or minute, name what they share, or the test will flatter",
        )
    )
    return [replace(photo, group=str(photo.path.relative_to(root))) for photo in photos]


def _from_regex(photos: Sequence[Photo], root: Path, group: str) -> list[Photo]:
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise DataUnfit(f"--group {group!r} is no regular expression: {error}") from None
    given, without = [], []
    for photo in photos:
        match = pattern.search(photo.path.relative_to(root).as_posix())
        if match:
            given.append(replace(photo, group=match[1] if match.groups() else match[0]))
        else:
            without.append(photo.path.name)
    if without:
        raise DataUnfit(
            f"--group '{group}' is not in {len(without)} names: {named(without)}; say which part "
            "of a name tells what belongs together, or leave --group out"
        )
    return given


def _from_csv(photos: Sequence[Photo], root: Path, path: Path) -> list[Photo]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "group"} <= set(rows[0]):
        raise DataUnfit(f"{path} must have the columns file and group")
    group_of = {row["file"]: row["group"] for row in rows}
    given, without = [], []
    for photo in photos:
        inside = photo.path.relative_to(root).as_posix()
        group = group_of.get(inside, group_of.get(photo.path.name))
        if group:
            given.append(replace(photo, group=group))
        else:
            without.append(inside)
    if without:
        raise DataUnfit(f"{path} names no group for {len(without)} photos: {named(without)}")
    return given
