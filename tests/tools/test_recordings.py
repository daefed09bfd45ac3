"""Reading recordings: what is wrong is said by file, row and column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.tools.recording_files import PLAIN, series, table, written
from tools.recordings import checks
from tools.recordings.reader import read
from tools.recordings.series import Layout
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from pathlib import Path


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


def test_a_column_that_names_machines_by_numbers_is_warned_of_and_a_counter_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{row // 40},{row},{row % 3},{row % 7}" for row in range(120)]
    checks.read_checked(written(tmp_path / "a.csv", "machine,count,x,y", *rows), PLAIN, 10)
    said = capsys.readouterr()
    assert "column machine holds 3 whole numbers, each in one stretch of rows" in said.err
    assert "say --unit machine" in said.err
    assert said.err.count("\n") == 1
    assert "  channels: machine, count, x, y\n" in said.out


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
