"""What is done to kernels so that they zip better or quantise better; pure functions.

A structure is found once in a trained kernel and then held: `structure(kernel)` returns the
function that forces any later values of that kernel into it, so that fine-tuning can go on inside.
None of them makes a dense kernel faster: zeros are multiplied as any other number. They pay where
the model travels zipped. Channels that are taken out whole pay on the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Hold = Callable[["Array"], "Array"]
Structure = Callable[["Array"], Hold]

# Kernels of fewer values weigh nothing and are hurt most.
VALUES_MIN = 64
# Lloyd's algorithm has settled by then on kernels.
CLUSTER_STEPS = 20


def magnitude(share: float) -> Structure:
    """Hold the `share` of smallest values of each kernel at zero (0..1)."""

    def structure(kernel: Array) -> Hold:
        if kernel.size < VALUES_MIN:
            return _as_is
        sizes = np.abs(kernel)
        zeros = round(share * kernel.size)
        order = np.argsort(sizes, axis=None, kind="stable")
        kept = np.ones(kernel.size, np.float32)
        kept[order[:zeros]] = 0.0
        mask = kept.reshape(kernel.shape)
        return lambda values: values * mask

    return structure


def clusters(count: int) -> Structure:
    """Hold each kernel at `count` different values: k-means, its centres spread over the range."""

    def structure(kernel: Array) -> Hold:
        if kernel.size < max(VALUES_MIN, 2 * count):
            return _as_is
        nearest = _clustered(kernel.ravel(), count)

        def hold(values: Array) -> Array:
            sums = np.bincount(nearest, values.ravel(), minlength=count)
            members = np.maximum(np.bincount(nearest, minlength=count), 1)
            centres = (sums / members).astype(np.float32)
            return centres[nearest].reshape(values.shape)

        return hold

    return structure


def clipped(deviations: float) -> Structure:
    """Hold each output channel (first axis) within so many standard deviations of its mean.

    An int8 kernel has one scale a channel: a single outlier makes every other value coarse.
    """

    def structure(kernel: Array) -> Hold:
        if kernel.size < VALUES_MIN:
            return _as_is
        axes = tuple(range(1, kernel.ndim))
        mean = kernel.mean(axis=axes, keepdims=True)
        reach = deviations * kernel.std(axis=axes, keepdims=True)
        return lambda values: np.clip(values, mean - reach, mean + reach)

    return structure


def applied(structure: Structure, kernel: Array) -> Array:
    """Return the kernel forced into its own structure."""
    return structure(kernel)(kernel)


def _as_is(values: Array) -> Array:
    return values


def _clustered(values: Array, count: int) -> NDArray[np.int64]:
    """Return which centre is nearest to each value."""
    centres = np.linspace(float(values.min()), float(values.max()), count)
    for _ in range(CLUSTER_STEPS):
        # Sorted centres: the borders between them decide.
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
        members = np.bincount(nearest, minlength=count)
        sums = np.bincount(nearest, values, minlength=count)
        centres = np.sort(np.where(members > 0, sums / np.maximum(members, 1), centres))
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
