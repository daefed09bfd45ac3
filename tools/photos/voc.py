"""Photos with boxes as Pascal VOC has them: an .xml file for each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree  # noqa: ICN001  said in full

from tools.photos.layout import Found, part_of, picture_beside
from tools.photos.photo import Mark, Photo, rectangle
from tools.training.data_checks import Finding

if TYPE_CHECKING:
    from pathlib import Path

# An annotation has no use for a document type; one that has it may be made to fill the memory.
_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)


def is_layout(root: Path) -> bool:
    """Return whether there are files of annotations."""
    return any(b"<annotation" in path.read_bytes() for path in sorted(root.rglob("*.xml"))[:5])


def read(root: Path, good: str) -> Found:
    """Return the photos that have a file; without objects in it, a photo is `good`."""
    found = Found()
    for path in sorted(root.rglob("*.xml")):
        try:
            named, marks = _annotation(path.read_bytes())
        except (ElementTree.ParseError, ValueError, ZeroDivisionError) as error:
            found.findings.append(Finding("error", f"{path.name} is no VOC annotation: {error}"))
            continue
        picture = picture_beside(path, named, root)
        if picture is None:
            found.findings.append(Finding("warning", f"{path.name}: its picture is missing"))
            continue
        label = marks[0].label if marks else good
        found.photos.append(Photo(picture, label, "", marks, part_of(picture, root)))
    return found


def _annotation(text: bytes) -> tuple[str, tuple[Mark, ...]]:
    if _DOCTYPE.search(text):
        raise ValueError("it has a document type")
    tree = ElementTree.fromstring(text)  # noqa: S314  without a document type nothing expands
    width, height = _number(tree, "size/width"), _number(tree, "size/height")
    marks = tuple(
        rectangle(
            one.findtext("name", "").strip(),
            _number(one, "bndbox/xmin") / width,
            _number(one, "bndbox/ymin") / height,
            _number(one, "bndbox/xmax") / width,
            _number(one, "bndbox/ymax") / height,
        )
        for one in tree.findall("object")
    )
    return tree.findtext("filename", "").strip(), marks


def _number(tree: ElementTree.Element, path: str) -> float:
    text = tree.findtext(path)
    if text is None:
        raise ValueError(f"{path} is missing")
    return float(text)
