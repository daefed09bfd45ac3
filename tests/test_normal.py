"""What is normal of good parts, cell by cell: its measure, its limit, and what is strange."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.inference.calibration import (
    CalibrationFailed,
    Normal,
    measure,
    prediction_factor,
    reduced,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


HEIGHT, WIDTH = 8, 12


def measured(parts: int = 10, seed: int = 0, *, reduce: Any = "power_mean") -> Normal:
    return measure(good_maps(parts, seed), reduce, 0.01)[0]


def good_maps(parts: int, seed: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    usual = 1.0 + np.arange(40, dtype=np.float32).reshape(5, 8)
    return [
        usual * np.exp(rng.normal(0, 0.1, usual.shape)).astype(np.float32) for _ in range(parts)
    ]


def test_good_parts_score_about_0_and_hardly_ever_reach_1() -> None:
    scores = [
        measured(10, seed).judge(one, "power_mean")[0]
        for seed in range(40)
        for one in good_maps(20, 1000 + seed)
    ]
    assert abs(float(np.median(scores))) < 0.3
    assert 0.0 < np.mean(np.array(scores) >= 1.0) < 0.03  # asked for: 0.01


@pytest.mark.parametrize("reduce", ["mean", "max", "power_mean"])
def test_one_cell_beyond_its_own_usual_value_is_strange_where_a_higher_one_is_not(
    reduce: Any,
) -> None:
    normal, usual = measured(reduce=reduce), good_maps(1, 7)[0]
    strange = usual.copy()
    strange[0, :3] = 20.0  # usual is 1 to 3 there, and 40 in the last cell
    value, cells = normal.judge(strange, reduce)
    assert value > max(1.0, normal.judge(usual, reduce)[0])
    assert cells[0, 0] > 1.0 > cells[4, 7]
    assert cells.min() >= 0.0
    assert cells.dtype == np.float32


def test_values_that_may_be_negative_are_compared_as_they_are() -> None:
    rng = np.random.default_rng(3)
    normal, _ = measure([rng.normal(0, 1, 6).astype(np.float32) for _ in range(20)], "max", 0.01)
    assert normal.typical == 0.0
    assert normal.judge(np.full(6, 9.0, np.float32), "max")[0] > 1.0


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (good_maps(4, 0), "4 good parts; 5 are needed"),
        ([good_maps(1, 0)[0]] * 10, "all the same picture"),
        ([*good_maps(5, 0), np.ones((3, 3), np.float32)], "different sizes, 3x3 and 5x8"),
    ],
)
def test_parts_that_do_not_show_what_is_normal_are_refused(
    parts: list[NDArray[np.float32]], text: str
) -> None:
    with pytest.raises(CalibrationFailed, match=text):
        measure(parts, "mean", 0.01)


def test_the_limit_allows_for_how_few_the_parts_are() -> None:
    # Student's t at .99: 2.821 with 9 degrees of freedom, 2.364 with 99.
    assert prediction_factor(10, 0.01) == pytest.approx(2.821 * np.sqrt(1.1), rel=0.005)
    assert prediction_factor(100, 0.01) == pytest.approx(2.365 * np.sqrt(1.01), rel=0.005)


def test_the_power_mean_lies_between_mean_and_maximum_and_overflows_nowhere() -> None:
    cells = np.array([[0.0, 1.0], [2.0, 3.0]], np.float32)
    assert reduced(cells, "mean") < reduced(cells, "power_mean") < reduced(cells, "max")
    assert reduced(cells, "power_mean") == pytest.approx(((1 + 16 + 81) / 4) ** 0.25)
    assert reduced(cells * np.float32(1e30), "power_mean") == pytest.approx(2.2249e30, rel=1e-3)
    assert reduced(np.zeros((2, 2), np.float32), "power_mean") == 0.0
