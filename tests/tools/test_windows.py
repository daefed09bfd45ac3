"""Windows of recordings are those of the agent, and no machine is in two parts of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.metrics import Counters
from edge_agent.sensing.features import WindowFeatures
from edge_agent.sensing.windowing import Cut, Timing, Windower
from edge_agent.types import Window
from tests.tools.recording_files import PLAIN, series, table, written
from tools.recordings.parts import parted
from tools.recordings.reader import read
from tools.recordings.series import Layout, Series
from tools.recordings.windows import examples, in_stretches, targets, window_shape, windows, zscore
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from pathlib import Path


def test_windows_and_features_are_those_that_the_agent_makes() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2))
    rows[17] = np.nan
    one = series(rows)
    features = [
        zscore([one]),
        {"kind": "delta_from_start", "samples": 3},
        {"kind": "ema", "alpha": 0.2},
        {"kind": "age", "per": 10.0},
    ]
    shape = window_shape(one.channels, 8, 1, 2.0, features, padded=True)
    found = examples([one], shape)

    agent, expected = WindowFeatures(shape), []
    windower = Windower(shape, Timing("index"), Counters())
    for number, row in enumerate(rows.astype(np.float32)):
        for cut in windower.push_row(row.tolist(), number * 500_000_000):
            if isinstance(cut, Cut):
                window = Window(
                    cut.samples, shape.channels, 2.0, 0, 0, 0, cut.series, cut.first_sample
                )
                expected.append((number, agent.apply(window)))
    assert found.newest.tolist() == [number for number, _ in expected]
    np.testing.assert_array_equal(found.inputs, np.stack([each for _, each in expected]))


def test_no_window_reaches_across_a_hole_or_into_another_series() -> None:
    rows = np.arange(20.0)[:, None]
    rows[9] = np.nan
    shape = window_shape(("c0",), 4, 1, 1.0, [])
    found = examples([series(rows, "a"), series(rows + 100, "b")], shape)
    assert all(np.diff(each[:, 0]).tolist() == [1.0, 1.0, 1.0] for each in found.inputs)
    assert found.newest[found.series == 0].tolist() == [3, 4, 5, 6, 7, 8, *range(13, 20)]


def test_features_of_one_machine_do_not_depend_on_which_machines_came_before() -> None:
    rng = np.random.default_rng(1)
    machines = [series(rng.normal(size=(9, 1)), name) for name in "ab"]
    shape = window_shape(("c0",), 5, 1, 1.0, [{"kind": "ema", "alpha": 0.3}], padded=True)
    together = examples(machines, shape)
    np.testing.assert_array_equal(
        together.inputs[together.series == 1], examples(machines[1:], shape).inputs
    )


def test_the_target_of_a_window_is_that_of_its_newest_row() -> None:
    one = series(np.arange(10.0)[:, None])
    known = Series(one.group, one.file, one.channels, one.values, one.lines, None, np.arange(10))
    shape = window_shape(("c0",), 4, 3, 1.0, [])
    assert targets(examples([known], shape), [known]).tolist() == [3, 6, 9]


def test_the_scaling_ignores_holes() -> None:
    step = zscore([series([[1.0, 5.0], [np.nan, 5.0], [3.0, 5.0]])])
    assert step["mean"] == (2.0, 5.0)
    assert step["std"] == (1.0, 1e-6)


def test_series_without_a_window_are_named() -> None:
    with pytest.raises(DataUnfit, match=r"a\.csv: no window of 40 rows fits"):
        examples([series(np.ones((9, 1)))], window_shape(("c0",), 40, 1, 1.0, []))


def test_the_numbers_of_windows_do_not_repeat_between_series_with_holes() -> None:
    rows = np.arange(12.0)[:, None]
    rows[5] = np.nan
    shape = window_shape(("c0",), 3, 1, 1.0, [])
    numbers = [
        {window.series for window in windows(series(rows, name), shape, number)}
        for number, name in enumerate("ab")
    ]
    assert len(numbers[0]) == 2
    assert not numbers[0] & numbers[1]


def test_no_machine_is_in_two_parts(tmp_path: Path) -> None:
    for number in range(8):
        table(tmp_path / f"m{number}.csv", 20, start=number)
    recording, _ = read(tmp_path, PLAIN)
    parts = parted(recording, 0)
    groups = [{each.group for each in part} for part in (parts.train, parts.validation, parts.test)]
    assert all(groups)
    assert sum(map(len, groups)) == len(set.union(*groups)) == 8


@pytest.mark.parametrize(("last", "said"), [("ok", "; ok 1"), ("worn", "")])
def test_classes_of_a_part_are_said_where_a_machine_has_one_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: str, said: str
) -> None:
    for number in range(3):
        written(tmp_path / f"m{number}.csv", "x,state", f"{number},ok", "5,ok", f"7,{last}")
    recording, _ = read(tmp_path, Layout(target="state", target_is_text=True))
    parted(recording, 0, by_label=True)
    for line in capsys.readouterr().out.splitlines():
        assert line.endswith(f"1 items of 1 groups{said}")


def test_machines_that_each_hold_all_classes_are_parted_by_their_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(10):
        # Most rows of every other machine are of the second class.
        rows = [
            f"{i * 7 % 11},{'ok' if i < (14 if number % 2 else 6) else 'worn'}" for i in range(20)
        ]
        written(tmp_path / f"m{number}.csv", "x,state", *rows)
    recording, _ = read(tmp_path, Layout(target="state", target_is_text=True))
    parts = parted(recording, 0, by_label=True)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [6, 2, 2]
    assert capsys.readouterr().err == ""


def test_a_single_recording_is_parted_in_time_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording, _ = read(table(tmp_path / "a.csv", 100), Layout(time="t"))
    parts = parted(recording, 0)
    assert "another machine was not tested" in capsys.readouterr().err
    lines = [set(each.lines.tolist()) for each in (*parts.train, *parts.validation, *parts.test)]
    assert len(lines) == 10
    assert sum(map(len, lines)) == len(set.union(*lines)) == 100


def test_whole_lives_are_never_cut_into_stretches(tmp_path: Path) -> None:
    recording, _ = read(table(tmp_path / "a.csv", 100), PLAIN)
    with pytest.raises(DataUnfit, match="1 group"):
        parted(recording, 0, whole=True)


def test_stretches_hold_every_row_once(tmp_path: Path) -> None:
    recording, _ = read(table(tmp_path / "a.csv", 23), PLAIN)
    rows = [line for part in in_stretches(recording, 5) for line in part.lines.tolist()]
    assert rows == list(range(2, 25))
