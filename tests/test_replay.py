"""The replay source: windows out of recordings, at the speed that is asked for."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.errors import BadInput, ConfigError, EndOfStream, NotConnected
from tests.sources import create, read_all, read_one, source_context, window_shape, windows

if TYPE_CHECKING:
    from pathlib import Path


def recording(folder: Path, text: str) -> None:
    (folder / "run.csv").write_text(text)


def test_windows_come_in_order_and_then_the_stream_ends(tmp_path: Path) -> None:
    recording(tmp_path, "x\n" + "".join(f"{i}\n" for i in range(10)))
    context = source_context(window=window_shape(hop=3), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0)
    source.connect()
    items = windows(read_all(source))
    assert [item.samples[:, 0].tolist() for item in items] == [
        [0, 1, 2, 3],
        [3, 4, 5, 6],
        [6, 7, 8, 9],
    ]
    assert [item.index for item in items] == [0, 1, 2]
    assert {item.origin for item in items} == {"run.csv"}


def test_a_recording_that_cannot_be_read_from_its_first_row_on_is_not_connected(
    tmp_path: Path,
) -> None:
    (tmp_path / "run.csv").write_bytes(b"x\n\xff\xfe\n")
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0)
    with pytest.raises(NotConnected, match=r"run\.csv"):
        source.connect()


def test_channels_take_their_columns_and_units_their_series(tmp_path: Path) -> None:
    recording(tmp_path, "unit,load A,rpm\n" + "1,1,10\n" * 4 + "2,2,20\n" * 4)
    context = source_context(window=window_shape("rpm", "load"), folder=tmp_path)
    source = create(
        context,
        kind="replay",
        file="run.csv",
        speed=0,
        channels={"load": "load A"},
        unit_column="unit",
    )
    source.connect()
    items = windows(read_all(source))
    assert [item.part_id for item in items] == ["1", "2"]
    assert [item.series for item in items] == [0, 1]
    assert [item.samples[0].tolist() for item in items] == [[10, 1], [20, 2]]
    assert items[0].channels == ("rpm", "load")


def test_recorded_times_show_gaps_and_become_the_time_of_capture(tmp_path: Path) -> None:
    times = [0, 0.1, 0.2, 0.3, 0.7, 0.8, 0.9, 1.0]
    recording(tmp_path, "t,x\n" + "".join(f"{1000 + t},{t}\n" for t in times))
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0, time_column="t")
    source.connect()
    items = windows(read_all(source))
    assert [item.captured_ns for item in items] == [1000_300_000_000, 1001_000_000_000]
    assert [item.series for item in items] == [0, 1]
    assert context.counters.totals() == {"gaps": 1}


def test_a_recording_at_another_rate_is_refused(tmp_path: Path) -> None:
    recording(tmp_path, "t,x\n" + "".join(f"{t},0\n" for t in range(20)))
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0, time_column="t")
    source.connect()
    with pytest.raises(BadInput, match="1 Hz, the model was made for 10"):
        read_all(source)
    assert read_all(source) == []


@pytest.mark.parametrize("time_column", [None, "t"])
def test_speed_says_how_fast_a_recording_passes(tmp_path: Path, time_column: str | None) -> None:
    recording(tmp_path, "t,x\n" + "".join(f"{i / 10},{i}\n" for i in range(40)))
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=10, time_column=time_column)
    began = time.monotonic()
    source.connect()
    assert source.read(0) is None
    items = windows(read_all(source))
    assert time.monotonic() - began >= 0.39
    assert len(items) == 10
    assert items[-1].captured_mono_ns - items[0].captured_mono_ns >= 0.3e9


def test_a_loop_begins_a_new_series_each_time(tmp_path: Path) -> None:
    recording(tmp_path, "x\n" + "1\n" * 6)
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0, loop=True)
    source.connect()
    items = windows([read_one(source) for _ in range(3)])
    assert [item.series for item in items] == [0, 1, 2]
    assert [item.first_sample for item in items] == [0, 0, 0]


def test_a_loop_over_an_empty_recording_ends(tmp_path: Path) -> None:
    recording(tmp_path, "x\n")
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", loop=True)
    source.connect()
    assert read_all(source) == []


def test_a_column_that_is_no_number_is_reported_once(tmp_path: Path) -> None:
    recording(tmp_path, "x\n" + "idle\n" * 300)
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0)
    source.connect()
    with pytest.raises(BadInput, match="nan: x"):
        read_all(source)
    assert read_all(source) == []
    assert context.counters.totals() == {"samples_nan": 300}


def test_a_missing_recording_is_waited_for(tmp_path: Path) -> None:
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0)
    with pytest.raises(NotConnected, match=r"run.csv"):
        source.connect()
    recording(tmp_path, "x\n" + "1\n" * 4)
    source.connect()
    assert len(read_all(source)) == 1


def test_closing_ends_a_wait_at_once(tmp_path: Path) -> None:
    recording(tmp_path, "x\n" + "1\n" * 4)
    context = source_context(window=window_shape(), folder=tmp_path)
    source = create(context, kind="replay", file="run.csv", speed=0.001)
    source.connect()
    assert source.read(0) is None
    closing = threading.Timer(0.05, source.close)
    closing.start()
    with pytest.raises(EndOfStream):
        source.read(1000)
    closing.join()


def test_a_model_of_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the model takes pictures"):
        create(source_context(folder=tmp_path), kind="replay", file="run.csv")


def test_a_turbofan_engine_is_replayed_cycle_by_cycle(shared_data: Path) -> None:
    path = shared_data / "cmapss" / "train_FD001.txt"
    shape = window_shape("s2", "s11", samples=30, hop=1, rate_hz=1, pad="edge")
    source = create(
        source_context(window=shape, folder=shared_data),
        kind="replay",
        file="cmapss/train_FD001.txt",
        columns=["unit", "cycle", "a", "b", "c", *(f"s{i}" for i in range(1, 22))],
        unit_column="unit",
        speed=0,
    )
    source.connect()
    items = windows(read_all(source))
    table = np.loadtxt(path)
    assert len(items) == len(table)
    assert len({item.series for item in items}) == 100
    engine = table[table[:, 0] == 7][:, [6, 15]].astype(np.float32)
    cycles = [item for item in items if item.part_id == "7"]
    padded = np.concatenate([np.repeat(engine[:1], 29, axis=0), engine])
    for cycle, item in enumerate(cycles):
        assert np.array_equal(item.samples, padded[cycle : cycle + 30])
        assert item.first_sample == cycle - 29


def test_a_pump_recording_has_a_gap_wherever_a_second_is_missing(shared_data: Path) -> None:
    file = min((shared_data / "skab" / "data" / "valve1").glob("*.csv"))
    shape = window_shape("Current", "Volume Flow RateRMS", samples=10, hop=10, rate_hz=1)
    context = source_context(window=shape, folder=file.parent)
    source = create(
        context,
        kind="replay",
        file=file.name,
        time_column="datetime",
        time_unit="iso8601",
        speed=0,
    )
    source.connect()
    items = windows(read_all(source))
    assert context.counters.totals()["gaps"] > 10
    seconds = np.loadtxt(file, str, delimiter=";", usecols=0, skiprows=1)
    times = np.array([each.replace(" ", "T") for each in seconds], "datetime64[s]").astype(int)
    for item in items:
        newest = int(np.flatnonzero(times == item.captured_ns // 10**9)[0])
        assert (np.diff(times[newest - 9 : newest + 1]) == 1).all()
