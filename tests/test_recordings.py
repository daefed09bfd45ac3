"""Recordings: every way in which CSV and NPZ files bring their columns, times and units."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.errors import BadInput, NotConnected
from edge_agent.sensing.recordings import BLOCK_ROWS, RecordingLayout, read_recording

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.sensing.recordings import Block

PLAIN = RecordingLayout()


def read(
    path: Path, layout: RecordingLayout = PLAIN, columns: Sequence[str] | None = None
) -> list[Block]:
    return list(read_recording(path, layout, columns))


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "run.csv"
    path.write_text(text)
    return path


# ---------------------------------------------------------------------- CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " "])
def test_the_delimiter_is_found_out(tmp_path: Path, delimiter: str) -> None:
    text = "x,y\n1,2.5\n3,4\n".replace(",", delimiter)
    [block] = read(csv_file(tmp_path, text))
    assert block.columns == ("x", "y")
    assert block.values.tolist() == [[1, 2.5], [3, 4]]
    assert block.times_ns is None
    assert block.unit is None


def test_names_with_spaces_need_no_white_space_delimiter(tmp_path: Path) -> None:
    [block] = read(csv_file(tmp_path, "time;flow rate\n1;2\n"), columns=["flow rate"])
    assert block.values.tolist() == [[2]]


def test_a_file_without_a_header_is_given_names(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "1 0.5  7 \n1 0.25  8 \n")
    [block] = read(path, RecordingLayout(columns=("unit", "x", "y")), ["y", "x"])
    assert block.values.tolist() == [[7, 0.5], [8, 0.25]]


def test_text_columns_times_and_units_are_not_taken_for_numbers(tmp_path: Path) -> None:
    path = csv_file(tmp_path, ",t,unit,x,state\n0,1,5,2.5,good\n")
    [block] = read(path, RecordingLayout(time="t", unit="unit"))
    assert block.columns == ("x",)


def test_holes_and_texts_in_a_number_column_are_not_numbers(tmp_path: Path) -> None:
    [block] = read(csv_file(tmp_path, "x,y\n1,2\n,3\nbad,4\n5\n"), columns=["x", "y"])
    assert np.isnan(block.values).tolist() == [
        [False, False],
        [True, False],
        [True, False],
        [False, True],
    ]


def test_blank_lines_and_a_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    [block] = read(csv_file(tmp_path, "\ufeffx\n1\n\n2\n\n"))
    assert block.columns == ("x",)
    assert block.values[:, 0].tolist() == [1, 2]


def test_a_file_with_nothing_but_a_header_has_no_rows(tmp_path: Path) -> None:
    assert read(csv_file(tmp_path, "x,y\n")) == []
    assert read(csv_file(tmp_path, "")) == []


def test_each_change_of_unit_begins_a_block(tmp_path: Path) -> None:
    rows = "".join(f"{unit},{i}\n" for unit in ("a", "b", "a") for i in range(BLOCK_ROWS))
    blocks = read(csv_file(tmp_path, "unit,x\n" + rows), RecordingLayout(unit="unit"))
    assert [block.unit for block in blocks] == ["a", "b", "a"]
    blocks = read(csv_file(tmp_path, "unit,x\na,1\na,2\nb,3\n"), RecordingLayout(unit="unit"))
    assert [(block.unit, block.values[:, 0].tolist()) for block in blocks] == [
        ("a", [1, 2]),
        ("b", [3]),
    ]


def test_long_files_come_block_by_block(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "x\n" + "".join(f"{i}\n" for i in range(1000)))
    blocks = read(path)
    assert max(len(block.values) for block in blocks) == BLOCK_ROWS
    assert np.concatenate([block.values[:, 0] for block in blocks]).tolist() == list(range(1000))


def test_times_are_read_in_their_unit(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "t,x\n1.5,1\n2.5,2\n")
    [block] = read(path, RecordingLayout(time="t", time_unit="ms"))
    assert block.times_ns is not None
    assert block.times_ns.tolist() == [1_500_000, 2_500_000]


def test_a_wrong_time_names_file_and_row(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "t,x\n1,1\nsoon,2\n")
    with pytest.raises(BadInput, match=r"run.csv, row 3") as error:
        read(path, RecordingLayout(time="t"))
    assert error.value.reason == "time"


def test_a_missing_file_and_a_missing_column_say_so(tmp_path: Path) -> None:
    with pytest.raises(NotConnected, match=r"none.csv: No such file"):
        read(tmp_path / "none.csv")
    with pytest.raises(NotConnected, match="no column z; there are x, y"):
        read(csv_file(tmp_path, "x,y\n1,2\n"), columns=["z"])


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes(b"x,y\n\xff\xfe\xff,1\n")
    with pytest.raises(BadInput, match=r"run.csv: not UTF-8, by its byte 4: save it as UTF-8"):
        read(path)


# ---------------------------------------------------------------------- NPZ


def test_an_npz_brings_its_arrays_as_columns(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    times = np.array(["2024-01-01T00:00:00.5", "2024-01-01T00:00:01"], "datetime64[ms]")
    np.savez(path, x=np.array([1.0, 2]), y=np.array([3, 4], np.int16), t=times, unit=[7.0, 8.0])
    blocks = read(path, RecordingLayout(time="t", unit="unit"), ["y", "x"])
    assert [block.unit for block in blocks] == ["7", "8"]
    assert blocks[0].values.tolist() == [[3, 1]]
    assert blocks[0].times_ns is not None
    assert blocks[0].times_ns.tolist() == [1_704_067_200_500_000_000]


def test_a_table_in_an_npz_is_given_names(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    np.savez(path, table=np.arange(1200.0).reshape(600, 2))
    blocks = read(path, RecordingLayout(columns=("x", "y")))
    assert blocks[0].columns == ("x", "y")
    assert np.concatenate([block.values for block in blocks])[599].tolist() == [1198, 1199]
    with pytest.raises(BadInput, match="name its columns"):
        read(path)


def test_columns_of_different_lengths_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    np.savez(path, x=np.zeros(2), y=np.zeros(3))
    with pytest.raises(BadInput, match="different lengths"):
        read(path)


def test_an_npz_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as entry,
    ):
        for _ in range(1025):
            entry.write(bytes(1 << 20))
    with pytest.raises(BadInput) as error:
        read(path)
    assert error.value.reason == "too_large"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive at all"])
def test_a_broken_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"run.npz"):
        read(path)


class _Planter:
    """Plants a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    path, planted = tmp_path / "run.npz", tmp_path / "planted"
    np.savez(path, x=np.array([_Planter(planted)], dtype=object))
    with pytest.raises(BadInput, match=r"run.npz"):
        read(path)
    assert not planted.exists()


# ---------------------------------------------------------------------- whatever comes


@given(
    content=st.binary(max_size=200) | st.text('x,;1. \t\n"-nae', max_size=200).map(str.encode),
    ending=st.sampled_from(["csv", "npz"]),
    layout=st.sampled_from([PLAIN, RecordingLayout(("x", "t"), ",", time="t", unit="x")]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_read_or_refused(
    tmp_path: Path, content: bytes, ending: str, layout: RecordingLayout
) -> None:
    path = tmp_path / f"run.{ending}"
    path.write_bytes(content)
    try:
        blocks = read(path, layout)
    except (BadInput, NotConnected):
        return
    for block in blocks:
        assert block.values.dtype == np.float64
        assert block.values.shape == (len(block.values), len(block.columns))


# ---------------------------------------------------------------------- real recordings


def test_the_turbofan_file_is_read_to_the_last_number(shared_data: Path) -> None:
    names = ("unit", "cycle", *(f"c{i}" for i in range(24)))
    path = shared_data / "cmapss" / "train_FD001.txt"
    blocks = read(path, RecordingLayout(columns=names, unit="unit"))
    values = np.concatenate([block.values for block in blocks])
    assert np.array_equal(values, np.loadtxt(path)[:, 1:])
    units = [block.unit for block in blocks]
    assert list(dict.fromkeys(units)) == [str(unit) for unit in range(1, 101)]


def test_the_pump_and_milling_recordings_have_their_columns(shared_data: Path) -> None:
    pump = min((shared_data / "skab" / "data" / "valve1").glob("*.csv"))
    blocks = read(pump, RecordingLayout(time="datetime", time_unit="iso8601"))
    assert "Volume Flow RateRMS" in blocks[0].columns
    assert blocks[0].times_ns is not None
    mill = shared_data / "cnc_mill_wear" / "data" / "experiment_01.csv"
    blocks = read(mill)
    assert "Machining_Process" not in blocks[0].columns
    assert sum(len(block.values) for block in blocks) == 1055
