"""Between real values and what a tensor stores: real = scale * (stored - zero_point)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.types import TensorSpec
else:
    np = lazy_module("numpy")


def quantise(values: NDArray[np.floating], spec: TensorSpec) -> NDArray[np.generic]:
    """Return finite `values` as the tensor `spec` stores them.

    Integers are rounded to the nearest (a half to the even one, as numpy and IEEE 754 do) and
    clipped to the type's range. A float tensor holds the values themselves.
    """
    if is_float(spec):
        return values.astype(spec.dtype, copy=False)
    stored = values / spec.scale + spec.zero_point if spec.scale else values
    limits = np.iinfo(spec.dtype)
    rounded: NDArray[np.floating] = np.clip(np.rint(stored), limits.min, limits.max)
    return rounded.astype(spec.dtype)


def dequantise(stored: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.float32]:
    """Return the real values that the tensor `spec` stores: float32, same shape."""
    values = stored.astype(np.float32, copy=False)
    if spec.scale and stored.dtype.kind != "f":
        values -= np.float32(spec.zero_point)  # in place: of integers it is a copy
        values *= np.float32(spec.scale)
    return values


def is_float(spec: TensorSpec) -> bool:
    """Return whether the tensor holds real values themselves."""
    return np.dtype(spec.dtype).kind == "f"
