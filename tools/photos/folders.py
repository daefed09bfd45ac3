"""Photos in class folders: DATA/good/*.jpg, DATA/scratch/*.jpg; or DATA/train/good/*.jpg."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.photos.layout import PARTS, Found, part_of, pictures
from tools.photos.photo import Photo

if TYPE_CHECKING:
    from pathlib import Path


def is_layout(root: Path) -> bool:
    """Return whether there are folders with pictures in them; the last to be asked."""
    return any(path.parent != root for path in pictures(root))


def read(root: Path, good: str) -> Found:  # noqa: ARG001  as every reader
    """Return the photos; a photo's class is the first folder that names no part of a split."""
    found = Found()
    for path in pictures(root):
        names = [name for name in path.relative_to(root).parts[:-1] if name.lower() not in PARTS]
        if names:
            found.photos.append(Photo(path, names[0], "", part=part_of(path, root)))
    return found
