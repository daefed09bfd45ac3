"""Arrays that tests of the model tools make up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def kernel(*shape: int) -> NDArray[np.float32]:
    """Return weights of a normal distribution, the same each time."""
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def saved(path: Path, **arrays: Any) -> Path:
    """Write arrays into one .npz file and return its path."""
    np.savez(path, **arrays)
    return path
