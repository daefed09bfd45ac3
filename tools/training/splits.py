"""Splits that cannot leak: what belongs together (a position, a unit, an experiment) stays so.

Photos of one part, or windows of one recording, are near-duplicates of each other. Parted at
random, they put the answers of the test into the training. Here groups are parted, never items.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tools.training.data_checks import DataUnfit, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Indices = NDArray[np.int64]

PARTS = ("train", "validation", "test")
# Orders of the groups that are tried; the one that comes nearest to the shares is taken.
ATTEMPTS = 200
# With many groups any order comes near: fewer are tried.
DEALS = 40_000


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the items in each part, sorted; `findings` say what could not be had."""

    train: Indices
    validation: Indices
    test: Indices
    findings: tuple[Finding, ...] = ()

    def parts(self) -> Iterator[tuple[str, Indices]]:
        """Yield the name and the indices of each part."""
        yield from zip(PARTS, (self.train, self.validation, self.test), strict=True)


def grouped_split(
    groups: Sequence[str],
    *,
    shares: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    labels: Sequence[str] | None = None,
) -> Split:
    """Part items by their groups, so that no group is in two parts.

    With `labels`, of many orders of the groups the one is taken that leaves the classes most
    evenly spread; a class that is missing from a part is a Finding. The same arguments give the
    same split. Raises DataUnfit where a part that is asked for stays empty.
    """
    names = sorted(set(groups))
    wanted = sum(share > 0 for share in shares)
    if len(names) < wanted:
        raise DataUnfit(
            f"{len(names)} group{'s' * (len(names) != 1)} ({', '.join(names)}) cannot be parted "
            f"into {wanted} parts: what belongs together must stay together"
        )
    counts = _counts(groups, names, labels)
    rng = np.random.default_rng(seed)
    attempts = max(1, min(ATTEMPTS, DEALS // len(names)))
    targets = np.array(shares)[:, None] * counts.sum(axis=0) / sum(shares)
    best = min(
        (_dealt(counts, targets, rng.permutation(len(names))) for _ in range(attempts)),
        key=lambda dealt: _distance(dealt, counts, targets),
    )
    part_of = dict(zip(names, best.tolist(), strict=True))
    where = np.array([part_of[group] for group in groups])
    parts = [np.flatnonzero(where == part).astype(np.int64) for part in range(3)]
    for name, share, part in zip(PARTS, shares, parts, strict=True):
        if share > 0 and not len(part):
            raise DataUnfit(f"the {name} part is empty: {len(names)} groups are too few")
    return Split(parts[0], parts[1], parts[2], tuple(_missing(parts, shares, labels)))


def folds(groups: Sequence[str], count: int, *, seed: int = 0) -> Iterator[tuple[Indices, Indices]]:
    """Yield indices (train, held out) `count` times; each group is held out once.

    Raises DataUnfit where there are fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < count:
        raise DataUnfit(f"{len(names)} groups cannot make {count} folds")
    sizes = Counter(groups)
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of: dict[str, int] = {}
    filled = [0] * count
    # The largest first, each into the fold that is emptiest: folds come out of nearly one size.
    for index in sorted(order.tolist(), key=lambda index: -sizes[names[index]]):
        emptiest = filled.index(min(filled))
        fold_of[names[index]] = emptiest
        filled[emptiest] += sizes[names[index]]
    where = np.array([fold_of[group] for group in groups])
    for fold in range(count):
        yield (
            np.flatnonzero(where != fold).astype(np.int64),
            np.flatnonzero(where == fold).astype(np.int64),
        )


def described(
    split: Split, groups: Sequence[str], labels: Sequence[str] | None = None
) -> list[str]:
    """Return one line for each part: items, groups, and classes if there are `labels`."""
    lines = []
    for name, part in split.parts():
        those = sorted({groups[index] for index in part.tolist()})
        shown = f" ({', '.join(those)})" if len(those) <= 6 and len(those) < len(part) else ""
        line = f"{name}: {len(part)} items of {len(those)} groups{shown}"
        if labels is not None:
            spread = Counter(labels[index] for index in part.tolist())
            line += "; " + ", ".join(f"{label} {spread[label]}" for label in sorted(set(labels)))
        lines.append(line)
    return lines


def _counts(
    groups: Sequence[str], names: Sequence[str], labels: Sequence[str] | None
) -> NDArray[np.float64]:
    """Return how many items of each class each group has: [groups, classes]."""
    kinds = sorted(set(labels)) if labels is not None else [""]
    row = {name: index for index, name in enumerate(names)}
    column = {kind: index for index, kind in enumerate(kinds)}
    counts = np.zeros((len(names), len(kinds)))
    for index, group in enumerate(groups):
        counts[row[group], column[labels[index] if labels is not None else ""]] += 1
    return counts


def _dealt(
    counts: NDArray[np.float64], targets: NDArray[np.float64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Deal groups in `order` to the part that then lacks most; return each group's part."""
    part_of = np.zeros(len(counts), np.int64)
    filled = np.zeros_like(targets)
    open_parts = targets.sum(axis=1) > 0
    scale = np.maximum(targets, 1e-9)
    for done, group in enumerate(order):
        lacking = ((targets - filled) / scale * (counts[group] > 0)).sum(axis=1)
        empty = open_parts & (filled.sum(axis=1) == 0)
        # The last groups go to parts that would have none.
        allowed = empty if empty.sum() == len(order) - done else open_parts
        part = int(np.argmax(np.where(allowed, lacking, -np.inf)))
        part_of[group] = part
        filled[part] += counts[group]
    return part_of


def _distance(
    part_of: NDArray[np.int64], counts: NDArray[np.float64], targets: NDArray[np.float64]
) -> float:
    """Return how far the parts are from the shares; a class missing from a part weighs most."""
    filled = np.stack([counts[part_of == part].sum(axis=0) for part in range(len(targets))])
    missing = ((filled == 0) & (targets > 0)).sum()
    return float(missing * 1e3 + np.abs(filled - targets).sum() / counts.sum())


def _missing(
    parts: Sequence[Indices], shares: Sequence[float], labels: Sequence[str] | None
) -> Iterator[Finding]:
    if labels is None:
        return
    for name, share, part in zip(PARTS, shares, parts, strict=True):
        here = {labels[index] for index in part.tolist()}
        for label in sorted(set(labels) - here) if share > 0 else ():
            yield Finding(
                "warning",
                f"class {label} has no item in the {name} part: its groups are too few",
            )
