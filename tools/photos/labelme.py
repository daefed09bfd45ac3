"""Photos outlined with labelme: a .json file for each, with polygons, boxes or circles."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from tools.photos.layout import Found, part_of, picture_beside
from tools.photos.photo import Mark, Photo, rectangle
from tools.training.data_checks import Finding

if TYPE_CHECKING:
    from pathlib import Path

CORNERS = 24  # of the polygon that stands for a circle


def is_layout(root: Path) -> bool:
    """Return whether there are files that labelme wrote."""
    return any(b'"shapes"' in path.read_bytes() for path in sorted(root.rglob("*.json"))[:5])


def read(root: Path, good: str) -> Found:
    """Return the photos that have a file; without shapes in it, a photo is `good`."""
    found = Found()
    for path in sorted(root.rglob("*.json")):
        try:
            tree = json.loads(path.read_bytes())
            width, height = float(tree["imageWidth"]), float(tree["imageHeight"])
            marks = tuple(_mark(shape, width, height) for shape in tree["shapes"])
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            text = f"{path.name} is no labelme file: {type(error).__name__} {error}"
            found.findings.append(Finding("error", text))
            continue
        picture = picture_beside(path, str(tree.get("imagePath") or "").split("\\")[-1], root)
        if picture is None:
            found.findings.append(Finding("warning", f"{path.name}: its picture is missing"))
            continue
        label = marks[0].label if marks else good
        found.photos.append(Photo(picture, label, "", marks, part_of(picture, root)))
    return found


def _mark(shape: dict[str, Any], width: float, height: float) -> Mark:
    label, kind = str(shape["label"]), shape.get("shape_type", "polygon")
    points = [(float(x) / width, float(y) / height) for x, y in shape["points"]]
    if kind == "rectangle":
        across, down = zip(*points, strict=True)
        return rectangle(label, min(across), min(down), max(across), max(down))
    if kind == "circle":
        return Mark(label, _circle(shape["points"], width, height))
    if kind != "polygon" or len(points) < 3:
        raise ValueError(f"a shape of type {kind} with {len(points)} points outlines no region")
    return Mark(label, tuple(points))


def _circle(
    points: list[list[float]], width: float, height: float
) -> tuple[tuple[float, float], ...]:
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    turns = [2 * math.pi * step / CORNERS for step in range(CORNERS)]
    return tuple(
        ((x + radius * math.cos(turn)) / width, (y + radius * math.sin(turn)) / height)
        for turn in turns
    )
