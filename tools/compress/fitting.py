"""Whether the data fit a model: looked at before anything is trained on them or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.compress.failures import CompressFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def check_input(given: Sequence[int], wanted: Sequence[int], name: str = "") -> None:
    """Raise CompressFailed where samples [1, ...] are no input of shape `wanted`; -1: any size."""
    fits = len(wanted) == len(given) and all(
        size in {-1, here} for size, here in zip(wanted, given, strict=True)
    )
    if not fits:
        what = f"input {name}" if name else "input"
        raise CompressFailed(
            f"the samples have shape {list(given)}; the model's {what} wants {list(wanted)}"
        )


def check_classes(targets: NDArray[np.generic], outputs: int) -> None:
    """Raise CompressFailed where class numbers are none of a model with so many outputs."""
    if targets.size != len(targets):
        raise CompressFailed(
            "accuracy wants one class number an item, and the targets hold "
            f"{list(targets.shape[1:])}"
        )
    if targets.dtype.kind not in "iubf":
        raise CompressFailed("targets must be class numbers, counted from 0 as the model's outputs")
    numbers = targets.astype(float)
    # A single output tells two classes.
    classes = 2 if outputs == 1 else outputs
    if numbers.max() >= classes:
        has = "1 output, which tells 0 from 1" if outputs == 1 else f"{outputs} outputs"
        hint = "; for values instead of classes say --metric rmse" if outputs == 1 else ""
        raise CompressFailed(f"targets go to {numbers.max():g}, the model has {has}{hint}")
    if numbers.min() < 0:
        raise CompressFailed(f"targets begin at {numbers.min():g}; classes are counted from 0")
