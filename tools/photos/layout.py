"""What all layouts share: which files are pictures, which part of a split a folder names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tools.photos.photo import Photo
    from tools.training.data_checks import Finding

WHY = ".why.png"
"""What the name of an explanation ends with (tools/explain.py)."""
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
# Names of folders that hold one part of a split already.
PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(slots=True)
class Found:
    """What a reader found: photos, and what is wrong with the layout."""

    photos: list[Photo] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def pictures(folder: Path) -> Iterator[Path]:
    """Yield every picture at any depth in `folder`, in order of their names.

    Not what `tools.explain` drew beside a picture.
    """
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).parts
        hidden = any(name.startswith(".") for name in inside)
        if path.suffix.lower() in PICTURES and not hidden and not path.name.endswith(WHY):
            yield path


def part_of(path: Path, root: Path) -> str:
    """Return the part of a split that a folder between `root` and `path` names, or ""."""
    for name in path.relative_to(root).parts[:-1]:
        if name.lower() in PARTS:
            return PARTS[name.lower()]
    return ""


def picture_beside(annotation: Path, named: str, root: Path) -> Path | None:
    """Return the picture that an annotation file is about.

    Looked for under the name it gives, then under its own name: beside it, then in the folders
    that the tools use, beside its folder.
    """
    stems = [annotation.parent / named] if named else []
    stems += [annotation.with_suffix(suffix) for suffix in sorted(PICTURES)]
    folders = (annotation.parent, annotation.parent.parent, root)
    for path in stems:
        for folder in folders:
            for inside in ("", "images", "JPEGImages", "img"):
                candidate = folder / inside / path.name
                if path.name and candidate.is_file():
                    return candidate
    return None
