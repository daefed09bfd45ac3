"""Reading recordings: what is wrong is said by file, row and column; windows are the agent's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.metrics import Counters
from edge_agent.sensing.features import WindowFeatures
from edge_agent.sensing.windowing import Cut, Timing, Windower
from edge_agent.types import Window
from tools import study_skab
from tools.recordings import checks
from tools.recordings.parts import parted
from tools.recordings.reader import read
from tools.recordings.scores import accuracy, macro_f1, mean_and_spread
from tools.recordings.series import Layout, Series
from tools.recordings.windows import examples, in_stretches, targets, window_shape, windows, zscore
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = Layout()


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def table(path: Path, rows: int, *, start: int = 0) -> Path:
    lines = [f"{i},{np.sin(i / 3 + start):.4f},{(i + start) * 7 % 11}" for i in range(rows)]
    return written(path, "t,x,y", *lines)


def series(values: list[list[float]] | np.ndarray, group: str = "a") -> Series:
    rows = np.asarray(values, np.float64)
    channels = tuple(f"c{i}" for i in range(rows.shape[1]))
    return Series(group, f"{group}.csv", channels, rows, np.arange(2, len(rows) + 2))


# ---------------------------------------------------------------------- reading


def test_numbers_are_channels_and_words_are_not(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "t,state,x", "0,idle,1.5", "1,busy,2.5")
    recording, findings = read(tmp_path, PLAIN)
    assert recording.channels == ("t", "x")
    assert recording.series[0].values.tolist() == [[0.0, 1.5], [1.0, 2.5]]
    assert recording.series[0].lines.tolist() == [2, 3]
    assert findings == []


def test_time_unit_target_and_ignored_columns_are_no_channels(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "t;u;x;y;l", "0;m1;1;5;ok", "1;m1;2;6;ok", "2;m2;3;7;bad")
    layout = Layout(time="t", unit="u", target="l", target_is_text=True, ignored=("y",))
    recording, _ = read(path, layout)
    assert recording.channels == ("x",)
    assert recording.groups == ["m1", "m2"]
    assert recording.labels == ("bad", "ok")
    first = recording.series[0]
    assert first.times_s is not None
    assert first.times_s.tolist() == [0.0, 1.0]
    assert recording.series[1].lines.tolist() == [4]


def test_a_machine_that_comes_back_is_another_series_of_the_same_group(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "u,x", "1,0", "2,0", "1,1")
    assert read(path, Layout(unit="u"))[0].groups == ["1", "2", "1"]


def test_a_file_without_a_header_is_read_with_names(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", "1  2.0 3", "1  4.0 5")
    recording, _ = read(path, Layout(names=("u", "x", "y"), delimiter=" ", unit="u"))
    assert recording.series[0].values.tolist() == [[2.0, 3.0], [4.0, 5.0]]


def test_a_file_without_a_header_and_without_names_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "1,2", "3,4")
    with pytest.raises(DataUnfit, match=r"a\.csv, row 1: numbers where .* --names"):
        read(path, PLAIN)


def test_a_cell_that_is_no_number_is_named_by_file_row_and_column(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "x,y", "1,2", "3,broken", "5,6")
    with pytest.raises(DataUnfit, match=r"a\.csv, row 3, column y: 'broken' is no number"):
        read(path, PLAIN)


def test_a_decimal_comma_is_recognised(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "x;y", "1;2.5", "3;4,5")
    with pytest.raises(DataUnfit, match=r"row 3, column y: '4,5' is no number: write 0\.5"):
        read(path, PLAIN)


def test_a_column_of_decimal_commas_does_not_pass_for_words(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "x;y;z;state", "1;2,5;3;ok", "3;4,5;4;worn")
    with pytest.raises(DataUnfit, match=r"a\.csv, column y: 2,5 is no number: write 0\.5") as unfit:
        read(path, PLAIN)
    assert len(unfit.value.findings) == 1
    found, _ = read(path, Layout(columns=("x", "z")))
    assert found.channels == ("x", "z")


@pytest.mark.parametrize("hole", ["", "nan", "NaN", "n/a", "inf"])
def test_a_column_without_any_number_is_named(tmp_path: Path, hole: str) -> None:
    path = written(tmp_path / "a.csv", "x,y", f"1,{hole}", f"2,{hole}")
    with pytest.raises(DataUnfit, match=r"a\.csv, column y: no number in any of its rows, 2 to 3"):
        read(path, PLAIN)


def test_every_bad_file_is_named_at_once(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "x,y", "1,2", "3,4,5")
    written(tmp_path / "b.csv", "x,y", "1,2", "3")
    written(tmp_path / "c.csv", "x,y", "1,2")
    with pytest.raises(DataUnfit) as unfit:
        read(tmp_path, PLAIN)
    assert [finding.text for finding in unfit.value.findings] == [
        "a.csv, row 3: 3 fields instead of 2",
        "b.csv, row 3: 1 fields instead of 2",
    ]


def test_a_hole_is_a_warning_that_says_where(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "x,y", "1,2", "3,", "5,6", ",7")
    recording, findings = read(path, PLAIN)
    texts = [finding.text for finding in findings]
    assert [finding.severity for finding in findings] == ["warning", "warning"]
    assert texts[0].startswith("a.csv, row 5, column x: no number")
    assert texts[1].startswith("a.csv, row 3, column y: no number")
    assert np.isnan(recording.series[0].values).sum() == 2


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "x,y", "1,2")
    written(tmp_path / "b.csv", "x,z", "1,2")
    with pytest.raises(DataUnfit, match=r"b\.csv: no column y; it has x, z"):
        read(tmp_path, PLAIN)


def test_an_empty_target_is_no_label(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "x,l", "1,ok", "2,")
    with pytest.raises(DataUnfit, match=r"a\.csv, row 3, column l: empty"):
        read(path, Layout(target="l", target_is_text=True))


def test_a_time_that_cannot_be_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "t,x", "2020-01-01 00:00:00,1", "yesterday,2")
    with pytest.raises(DataUnfit, match=r"a\.csv, row 3, column t"):
        read(path, Layout(time="t", time_unit="iso8601"))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"x,y\n", "holds no rows"),
        (b"", "holds no rows"),
        (b"x,y\n1,\xff\xfe\n", "no text: byte 6"),
        (b"x\n1\0\n", "zero bytes"),
        (b"x,x\n1,2\n", "x stands there twice"),
        (b"name\nbob\n", "no column holds numbers"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataUnfit, match=rf"a\.csv.*{text}"):
        read(tmp_path, PLAIN)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataUnfit, match=r"holds no \.csv"):
        read(tmp_path, PLAIN)
    with pytest.raises(DataUnfit, match="does not exist"):
        read(tmp_path / "nowhere", PLAIN)


# ---------------------------------------------------------------------- checks


def test_a_constant_channel_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "a.csv", "x,y", *(f"{i},7" for i in range(9)))
    recording = checks.read_checked(tmp_path, PLAIN, 4)
    assert recording.channels == ("x",)
    assert "a.csv, column y: always 7, left out" in capsys.readouterr().err


def test_a_constant_channel_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "x,y", *(f"{i},7" for i in range(9)))
    with pytest.raises(DataUnfit, match=r"column y: always 7: leave it out of --columns"):
        checks.read_checked(tmp_path, Layout(columns=("x", "y")), 4)


def test_recordings_that_are_too_short_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(tmp_path / "long.csv", 30)
    table(tmp_path / "short.csv", 5, start=1)
    checks.read_checked(tmp_path, Layout(time="t"), 10)
    assert "short.csv: fewer than 10 rows without a hole" in capsys.readouterr().err
    with pytest.raises(DataUnfit, match="the longest has 30: give a smaller --samples"):
        checks.read_checked(tmp_path, Layout(time="t"), 31)


def test_a_hole_makes_a_recording_shorter() -> None:
    values = np.ones((20, 1))
    values[12] = np.nan
    assert checks.longest_run(series(values)) == 12


def test_times_that_go_back_are_an_error_that_names_the_row(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "t,x", "0,1", "1,2", "1,3", "0,4", "5,5")
    with pytest.raises(DataUnfit, match=r"a\.csv, row 4: its time is not after .* 1 more"):
        checks.read_checked(tmp_path, Layout(time="t"), 2)


def test_an_odd_step_in_time_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "a.csv", "t,x", *(f"{i + 60 * (i > 3)},{i}" for i in range(9)))
    recording = checks.read_checked(tmp_path, Layout(time="t"), 2)
    assert "a.csv, row 6: 61 s after the row before" in capsys.readouterr().err
    assert checks.rate_hz(recording) == 1.0


def test_a_copy_of_a_recording_is_an_error(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", 20)
    table(tmp_path / "b.csv", 20)
    with pytest.raises(DataUnfit, match=r"b\.csv: the same content as a\.csv"):
        checks.read_checked(tmp_path, PLAIN, 4)


def test_classes_with_too_few_windows_and_lonely_ones_are_found() -> None:
    with pytest.raises(DataUnfit, match=r"only one class \(ok\)"):
        checks.classes(["ok"] * 50)
    few = checks.classes(["ok"] * 50 + ["bad"] * 2)
    assert [finding.severity for finding in few] == ["error"]
    assert few[0].text == "class bad: 2 windows, 20 are needed"
    assert [f.severity for f in checks.classes(["ok"] * 500 + ["bad"] * 30)] == ["warning"]


# ---------------------------------------------------------------------- windows


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


# ---------------------------------------------------------------------- parts


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


# ---------------------------------------------------------------------- figures


def test_figures_of_classes_and_of_runs() -> None:
    truths, answers = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    assert accuracy(truths, answers) == 0.75
    assert macro_f1(truths, answers) == pytest.approx((0.8 + 2 / 3) / 2)
    assert mean_and_spread([1.0, 3.0]) == "2.00 +- 1.41"
    assert mean_and_spread([2.0]) == "2.00 +- 0.00"


# ---------------------------------------------------------------------- the study of SKAB


@pytest.mark.parametrize(
    "score", [study_skab.residual_score, study_skab.unscaled_score, study_skab.t2_score]
)
def test_a_causal_score_does_not_change_with_what_comes_later(score: study_skab.Score) -> None:
    rows = np.random.default_rng(3).normal(size=(600, 4))
    later = rows.copy()
    later[500:] += 9
    np.testing.assert_allclose(score(later)[:500], score(rows)[:500])
    assert (score(later)[505:] > score(rows)[:500].max()).mean() > 0.9


def test_the_score_that_looks_ahead_does_change() -> None:
    rows = np.random.default_rng(3).normal(size=(600, 4))
    later = rows.copy()
    later[500:] += 9
    changed = study_skab.centred_score(later)[:500] != study_skab.centred_score(rows)[:500]
    assert np.flatnonzero(changed)[0] == 500 - study_skab.WINDOW // 2


def test_alarms_count_from_the_end_of_the_calibration_on() -> None:
    rows = np.random.default_rng(4).normal(size=(500, 1))
    rows[450:] += 20
    one = series(rows)
    bad = (np.arange(500) >= 450).astype(float)
    labelled = Series(one.group, one.file, one.channels, rows, one.lines, None, bad)
    found = study_skab.judged([labelled], lambda values: np.abs(values[:, 0]))
    assert (found.f1, found.mar) == (1.0, 0.0)
    always = study_skab.judged([labelled], lambda values: np.full(len(values), np.inf))
    assert (always.far, always.mar) == (1.0, 0.0)


def test_a_model_that_gives_back_what_it_sees_leaves_nothing() -> None:
    rows = np.random.default_rng(5).normal(size=(450, 2))
    assert study_skab.residual_score(rows, reconstruct=lambda scaled: scaled).max() == 0.0
