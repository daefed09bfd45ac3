"""The samples that a model is calibrated, tuned, chosen and tested with."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tools.compress.failures import CompressFailed
from tools.training.data_checks import print_findings
from tools.training.splits import Split, grouped_split

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

# What the arrays of an .npz file may be called.
INPUT_NAMES = ("inputs", "x", "X", "samples")
TARGET_NAMES = ("targets", "y", "labels")
PART_NAMES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Samples:
    """`inputs`: real values as the float model takes them, float32 [items, ...].

    `targets`: class numbers [items], or values [items, ...]; None where there are none.
    """

    inputs: Array
    targets: NDArray[np.generic] | None
    split: Split


def read_samples(
    path: Path, *, shares: tuple[float, float, float] = (0.7, 0.15, 0.15), seed: int = 0
) -> Samples:
    """Read an .npz file with arrays `inputs`, `targets`, and `groups` or `parts` if there are any.

    `groups`: what belongs together stays in one part of the split. `parts`: "train", "validation"
    or "test" for each item. Raises CompressFailed, DataUnfit.
    """
    arrays = _arrays(path)
    inputs = _named(arrays, INPUT_NAMES)
    if inputs is None:
        raise CompressFailed(f"{path.name} holds no array `inputs`; it has {', '.join(arrays)}")
    if inputs.dtype.kind not in "fiub" or inputs.ndim < 2:
        raise CompressFailed(f"{path.name}: inputs must be numbers, [items, ...]")
    values = inputs.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if len(bad):
        raise CompressFailed(
            f"{path.name}: {len(bad)} of {len(values)} inputs hold NaN or infinity, the first is "
            f"item {bad[0]}"
        )
    targets = _named(arrays, TARGET_NAMES)
    if targets is not None and len(targets) != len(values):
        raise CompressFailed(f"{path.name}: {len(values)} inputs and {len(targets)} targets")
    return Samples(values, targets, _split(path, arrays, len(values), targets, shares, seed))


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise CompressFailed(f"{path}: not a readable .npz file: {error}") from None


def _named(
    arrays: dict[str, NDArray[np.generic]], names: tuple[str, ...]
) -> NDArray[np.generic] | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _split(
    path: Path,
    arrays: dict[str, NDArray[np.generic]],
    count: int,
    targets: NDArray[np.generic] | None,
    shares: tuple[float, float, float],
    seed: int,
) -> Split:
    if "parts" in arrays:
        parts = arrays["parts"].astype(str)
        indices = [np.flatnonzero(parts == name).astype(np.int64) for name in PART_NAMES]
        if len(parts) != count or not (len(indices[0]) and len(indices[2])):
            raise CompressFailed(
                f"{path.name}: parts must name train or test for each of the {count} items"
            )
        return Split(indices[0], indices[1], indices[2])
    groups = arrays.get("groups", np.arange(count))
    if len(groups) != count:
        raise CompressFailed(f"{path.name}: {count} inputs and {len(groups)} groups")
    classes = targets if targets is not None and targets.dtype.kind in "iub" else None
    split = grouped_split(
        [str(group) for group in groups],
        shares=shares,
        seed=seed,
        labels=None if classes is None else [str(value) for value in classes.reshape(count)],
    )
    print_findings(split.findings)
    return split
