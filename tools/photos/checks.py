"""What is wrong with photos: unreadable, the same twice, too few, one class far ahead."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from edge_agent.errors import BadInput
from edge_agent.pictures import image
from tools.training.data_checks import Finding, named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.photos.photo import Photo

# Of a class with fewer photos nothing can be held back for testing and still be learned from.
PHOTOS_MIN = 10
# Below, figures of the test say little.
PHOTOS_WARN = 50
UNBALANCED = 10
# One broken file in a thousand is an accident; one in ten is a camera or a disk.
UNREADABLE_MAX = 0.1


def check_photos(
    photos: Sequence[Photo], *, least: int = PHOTOS_MIN
) -> tuple[list[Photo], list[Finding]]:
    """Return the photos that can be used, and findings.

    Unreadable photos and second copies are left out. A copy under another label is an error, as is
    a class with fewer than `least` photos. `least` 0: classes are not counted.
    """
    readable, findings = _readable(photos)
    kept, about_copies = _without_copies(readable)
    findings += about_copies
    findings += _outside(kept)
    if least:
        findings += _balance(kept, least)
    return kept, findings


def _readable(photos: Sequence[Photo]) -> tuple[list[Photo], list[Finding]]:
    kept, broken = [], []
    for photo in photos:
        try:
            image.decode(photo.path.read_bytes())
        except (BadInput, OSError) as error:
            broken.append(f"{photo.path.name} ({str(error).splitlines()[0]})")
        else:
            kept.append(photo)
    if not broken:
        return kept, []
    many = len(broken) > max(1, UNREADABLE_MAX * len(photos))
    text = f"{len(broken)} of {len(photos)} pictures cannot be read: {named(broken)}"
    ending = "; look after the camera or the disk first" if many else "; left out"
    return kept, [Finding("error" if many else "warning", text + ending)]


def _without_copies(photos: Sequence[Photo]) -> tuple[list[Photo], list[Finding]]:
    """Keep one of photos with the same content, and unite the groups that they are from."""
    copies: dict[str, list[Photo]] = defaultdict(list)
    for photo in photos:
        copies[hashlib.sha256(photo.path.read_bytes()).hexdigest()].append(photo)
    findings, twice, kept = [], [], []
    for same in copies.values():
        labels = sorted({photo.label for photo in same})
        names = [photo.path.name for photo in same]
        if len(labels) > 1:
            text = f"the same picture is labelled {' and '.join(labels)}: {named(names)}"
            findings.append(Finding("error", text))
        twice += names[1:]
        kept.append(same[0])
    if twice:
        text = f"{len(twice)} pictures are copies of others: {named(twice)}; left out"
        findings.append(Finding("warning", text))
    return kept, findings


def _outside(photos: Sequence[Photo]) -> list[Finding]:
    """Find marks that do not lie in their picture."""
    wrong = [
        photo.path.name
        for photo in photos
        for mark in photo.marks
        if not (min(mark.box) >= -0.02 and max(mark.box) <= 1.02 and math.isfinite(sum(mark.box)))
    ]
    if not wrong:
        return []
    text = f"{len(wrong)} marks do not lie in their picture: {named(sorted(set(wrong)))}"
    return [Finding("error", text)]


def _balance(photos: Sequence[Photo], least: int) -> list[Finding]:
    counts = Counter(photo.label for photo in photos)
    findings = []
    for label, count in sorted(counts.items()):
        if count < least:
            s = "" if count == 1 else "s"
            text = f"class {label} has {count} usable photo{s}; at least {least} are needed"
            findings.append(Finding("error", text))
        elif count < PHOTOS_WARN:
            text = f"class {label} has {count} photos: figures of the test will be rough"
            findings.append(Finding("warning", text))
    if len(counts) < 2:
        what = ", ".join(counts) or "none"
        findings.append(Finding("error", f"two classes are needed; found: {what}"))
    elif max(counts.values()) > UNBALANCED * min(counts.values()):
        (most, many), *_, (fewest, few) = counts.most_common()
        text = f"unbalanced: {many} photos of {most}, {few} of {fewest}"
        findings.append(Finding("warning", text))
    return findings
