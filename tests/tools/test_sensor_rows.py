"""What recipes of sensors learn of a recording: labels, lives, scales, coming values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.tools.machines import vibration, written

torch = pytest.importorskip("torch")

from tools import train_ballscrew_wear, train_turbofan  # noqa: E402
from tools.recordings import usual  # noqa: E402
from tools.recordings.reader import read  # noqa: E402
from tools.recordings.series import Layout, Series  # noqa: E402
from tools.train import forecast, life, sensor_classify  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(600),
    # torch and the converters warn of what is to change in themselves.
    pytest.mark.filterwarnings("ignore"),
]


def test_folders_name_the_class_where_no_column_does(tmp_path: Path) -> None:
    for name in ("ok/a", "ok/b", "worn/c"):
        written(tmp_path / f"{name}.csv", vibration(len(name)))
    recording = sensor_classify.labelled_by_folder(read(tmp_path, Layout())[0])
    labels = [np.unique(np.asarray(each.target)).tolist() for each in recording.series]
    assert labels == [["ok"], ["ok"], ["worn"]]


def test_bad_rows_are_never_learned() -> None:
    plan = usual.Plan("density", 4, 1, 0.01, ("0",), life.SCHEDULE)
    one = Series("a", "a", ("x",), np.ones((4, 1)), np.arange(4), None, np.array(list("0011")))
    assert np.isnan(usual.good_only([one], plan)[0].values[:, 0]).tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_a_life_column_wins_over_counting_rows() -> None:
    rows = np.ones((3, 1))
    counted = life.with_life(Series("a", "a", ("x",), rows, np.arange(3)))
    assert counted.target is not None
    assert counted.target.tolist() == [2.0, 1.0, 0.0]
    told = Series("a", "a", ("x",), rows, np.arange(3), None, np.array([9.0, 8.0, 7.0]))
    assert life.with_life(told) is told


def test_offsets_move_values_and_their_means_but_not_differences_and_age() -> None:
    plan = life.Plan(offset=1.0)
    still = torch.zeros(3, 4, 9)
    moved = life.with_offsets(still, plan, torch.Generator().manual_seed(0)).numpy()
    assert (moved[:, :, [2, 3, 6, 7, 8]] == 0).all()
    np.testing.assert_array_equal(moved[:, :, 0:2], moved[:, :, 4:6])
    assert (moved[:, 0] == moved[:, 3]).all()
    assert (moved[:, :, :2] != 0).all()


def test_coming_values_beyond_the_end_or_a_hole_are_unknown() -> None:
    values = np.arange(8.0)[:, None]
    values[5] = np.nan
    one = Series("a", "a", ("x",), values, np.arange(8))
    plan = forecast.Plan(0, 2, 2, life.SCHEDULE)
    shape = forecast.shape_of([one], plan, 1.0)
    inputs, coming = forecast.learned([one], shape, plan)
    mean, std = forecast.scale(shape, plan)
    assert len(inputs) == 2
    np.testing.assert_allclose(coming * std + mean, [[2, 3], [3, 4]], atol=1e-5)


def test_errors_of_the_turbofan_are_told_as_given_and_clipped_over_all_seeds() -> None:
    truth = np.array([130.0, 50.0])
    answers = [np.array([1.0, 0.4]), np.array([1.0, 0.48])]  # of 125 cycles
    given, clipped = train_turbofan.errors_of(answers, truth, "float")
    assert given[1].startswith(f"{np.mean([np.sqrt(12.5), np.sqrt((25 + 100) / 2)]):.2f} +- ")
    assert clipped[1].startswith(f"{np.mean([0, np.sqrt(50)]):.2f} +- ")
    assert "2 seeds" in given[0]
    assert clipped[0].endswith("clipped")


def wear(seed: int, rows: int = 40) -> Series:
    shares = np.cumsum(np.random.default_rng(seed).random(rows))[:, None] / 100
    return Series(f"p{seed}", f"p{seed}", ("pitted_share",), shares, np.arange(rows))


def test_histories_futures_and_what_the_network_learns_are_of_the_same_photos() -> None:
    series = [wear(0), wear(1, 31)]
    plan = train_ballscrew_wear.PLAN
    shape = forecast.shape_of(series, plan, 1.0)
    inputs, coming = forecast.learned(series, shape, plan)
    mean, std = forecast.scale(shape, plan)
    past, future = (each(series) for each in (train_ballscrew_wear.windows_of,
                                              train_ballscrew_wear.future_of))  # fmt: skip
    np.testing.assert_allclose(inputs[:, :, 0] * std + mean, past, atol=1e-5)
    np.testing.assert_allclose(coming[:, -1] * std + mean, future, atol=1e-5)
    known = train_ballscrew_wear.has_future(series)
    assert known.sum() == len(future)
    assert len(known) == len(future) + 2 * plan.ahead


def test_trivial_forecasts_are_what_their_names_say() -> None:
    line = np.linspace(0.02, 0.41, 40)[:, None]
    steady = Series("a", "a", ("pitted_share",), line, np.arange(40))
    answers = dict(train_ballscrew_wear.trivial_answers([steady], [steady]))
    future = train_ballscrew_wear.future_of([steady])
    np.testing.assert_allclose(answers["the line through the window goes on"], future)
    np.testing.assert_allclose(answers[train_ballscrew_wear.STEADY], future)
    np.testing.assert_allclose(future - answers[train_ballscrew_wear.STAYS], 0.06)
