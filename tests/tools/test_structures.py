"""Structures that compressing gives to kernels: pruned, clustered, clipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tests.tools.arrays import kernel
from tools.compress.structures import applied, clipped, clusters, magnitude

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def test_magnitude_pruning_zeroes_the_smallest_and_holds_them_there() -> None:
    given = kernel(16, 8)
    hold = magnitude(0.25)(given)
    held = hold(given)
    assert (held == 0).sum() == 32
    assert np.abs(given[held == 0]).max() <= np.abs(given[held != 0]).min()
    assert ((hold(given + 1) == 0) == (held == 0)).all()


def test_clustering_leaves_so_many_values_near_the_old_ones() -> None:
    given = kernel(32, 32)
    held = applied(clusters(16), given)
    assert len(np.unique(held)) <= 16
    assert np.corrcoef(given.ravel(), held.ravel())[0, 1] > 0.99


def test_clustered_values_move_together_while_training_goes_on() -> None:
    given = kernel(32, 32)
    hold = clusters(8)(given)
    moved = hold(given + kernel(32, 32) * 0.1)
    assert len(np.unique(moved)) <= 8


def test_clipping_takes_the_outlier_of_one_channel_and_leaves_the_others() -> None:
    given = kernel(4, 64)
    given[2, 5] = 50.0
    held = applied(clipped(4.0), given)
    assert held[2, 5] < 30
    assert (held[[0, 1, 3]] == given[[0, 1, 3]]).all()


def test_small_kernels_stay_as_they_are() -> None:
    given = kernel(4, 4)
    for structure in (magnitude(0.5), clusters(4), clipped(0.1)):
        assert (applied(structure, given) == given).all()
