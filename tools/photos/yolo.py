"""Photos with boxes or polygons as YOLO has them: images/*.jpg, labels/*.txt, names in a file.

A line of a .txt is a class and then four numbers (centre, size) or a polygon, all 0..1. Names come
from data.yaml, classes.txt or obj.names. A photo without a .txt, or with an empty one, is good.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tools.photos.layout import Found, part_of, pictures
from tools.photos.photo import Mark, Photo, rectangle
from tools.training.data_checks import DataUnfit, Finding, named

if TYPE_CHECKING:
    from pathlib import Path

_NUMBERED = re.compile(r"\s*(\d+)\s*:\s*['\"]?([^'\"#]+?)['\"]?\s*$")


def is_layout(root: Path) -> bool:
    """Return whether there are names of classes, and text files in a folder `labels`."""
    texts = any("labels" in path.parts for path in root.rglob("*.txt"))
    return texts and _names_file(root) is not None


def read(root: Path, good: str) -> Found:
    """Return all photos."""
    names = _names(root)
    found, broken = Found(), []
    for picture in pictures(root):
        path = _label_file(picture, root)
        try:
            marks = _marks(path, names) if path.is_file() else ()
        except (ValueError, IndexError):
            broken.append(path.name)
            continue
        label = marks[0].label if marks else good
        found.photos.append(Photo(picture, label, "", marks, part_of(picture, root)))
    if broken:
        text = f"{len(broken)} label files are not as YOLO has them: {named(broken)}"
        found.findings.append(Finding("error", text))
    return found


def _label_file(picture: Path, root: Path) -> Path:
    inside = ["labels" if name == "images" else name for name in picture.relative_to(root).parts]
    beside = root.joinpath(*inside).with_suffix(".txt")
    return beside if beside.is_file() else picture.with_suffix(".txt")


def _marks(path: Path, names: list[str]) -> tuple[Mark, ...]:
    marks = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        if not line.strip():
            continue
        words = line.split()
        label, numbers = names[int(words[0])], [float(word) for word in words[1:]]
        if len(numbers) == 4:
            x, y, width, height = numbers
            left, top = x - width / 2, y - height / 2
            marks.append(rectangle(label, left, top, left + width, top + height))
        elif len(numbers) >= 6 and len(numbers) % 2 == 0:
            points = zip(numbers[::2], numbers[1::2], strict=True)
            marks.append(Mark(label, tuple(points)))
        else:
            raise ValueError(line)
    return tuple(marks)


def _names_file(root: Path) -> Path | None:
    for name in ("data.yaml", "dataset.yaml", "classes.txt", "obj.names", "labels/classes.txt"):
        if (root / name).is_file():
            return root / name
    return None


def _names(root: Path) -> list[str]:
    """Return the class names; of YAML only what YOLO's tools write: a list or numbered lines."""
    path = _names_file(root)
    text = path.read_text(encoding="utf-8") if path else ""
    if path is None or path.suffix != ".yaml":
        names = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        names = _names_in_yaml(text)
    if not names:
        raise DataUnfit(f"{path or root}: no names of classes")
    return names


def _names_in_yaml(text: str) -> list[str]:
    listed = re.search(r"^names\s*:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if listed:
        return [word.strip().strip("'\"") for word in listed[1].split(",") if word.strip()]
    _, _, below = text.partition("names:")
    names = []
    for line in below.splitlines()[1:]:
        numbered = _NUMBERED.match(line)
        dashed = re.match(r"\s*-\s*['\"]?([^'\"#]+?)['\"]?\s*$", line)
        if numbered:
            names.append(numbered[2])
        elif dashed:
            names.append(dashed[1])
        elif line.strip():
            break
    return names
