"""Photos with boxes or polygons as COCO has them: one .json file for all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tools.photos.layout import Found, part_of, picture_beside
from tools.photos.photo import Mark, Photo, rectangle
from tools.training.data_checks import Finding, named

if TYPE_CHECKING:
    from pathlib import Path


def is_layout(root: Path) -> bool:
    """Return whether a .json file lists annotations."""
    return bool(_files(root))


def read(root: Path, good: str) -> Found:
    """Return the photos that are listed; without annotations a photo is `good`."""
    found, missing = Found(), []
    for path in _files(root):
        try:
            tree = json.loads(path.read_bytes())
            names = {one["id"]: str(one["name"]) for one in tree["categories"]}
            images = {one["id"]: one for one in tree["images"]}
            marks: dict[Any, list[Mark]] = {number: [] for number in images}
            for one in tree["annotations"]:
                here = images[one["image_id"]]
                marks[one["image_id"]] += _marks(one, names[one["category_id"]], here)
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            text = f"{path.name} is no COCO file: {type(error).__name__} {error}"
            found.findings.append(Finding("error", text))
            continue
        for number, here in images.items():
            picture = picture_beside(path, str(here["file_name"]), root)
            if picture is None:
                missing.append(str(here["file_name"]))
                continue
            label = marks[number][0].label if marks[number] else good
            # A split shows in the file's name (instances_train.json) or in a folder's.
            part = part_of(picture, root) or part_of(root / path.stem.split("_")[-1] / "x", root)
            found.photos.append(Photo(picture, label, "", tuple(marks[number]), part))
    if missing:
        text = f"{len(missing)} pictures are listed and missing: {named(missing)}"
        found.findings.append(Finding("warning", text))
    return found


def _files(root: Path) -> list[Path]:
    places = sorted([*root.glob("*.json"), *root.glob("*/*.json")])
    return [path for path in places[:20] if b'"annotations"' in path.read_bytes()]


def _marks(annotation: dict[str, Any], label: str, picture: dict[str, Any]) -> list[Mark]:
    width, height = float(picture["width"]), float(picture["height"])
    outlines = annotation.get("segmentation")
    if isinstance(outlines, list) and outlines:
        return [
            Mark(
                label,
                tuple(
                    (float(x) / width, float(y) / height)
                    for x, y in zip(outline[::2], outline[1::2], strict=True)
                ),
            )
            for outline in outlines
        ]
    left, top, across, down = (float(number) for number in annotation["bbox"])
    right, bottom = (left + across) / width, (top + down) / height
    return [rectangle(label, left / width, top / height, right, bottom)]
