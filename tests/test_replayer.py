"""`edge-agent replay`: a recording published as its sensors would have."""

from __future__ import annotations

import json
import signal
import struct
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from edge_agent.cli import main
from edge_agent.commands.replayer import WINDOW, Replay, replay
from edge_agent.errors import NotConnected
from edge_agent.mqtt.broker import BrokerOptions
from edge_agent.sensing.recordings import RecordingLayout
from tests.conftest import free_port
from tests.sources import create, read_one, source_context, window_shape, windows

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Mosquitto, Recorder, WaitFor


def options_of(broker: Mosquitto) -> BrokerOptions:
    return BrokerOptions(host=broker.host, port=broker.port)


def recording(folder: Path, rows: int = 4) -> Path:
    path = folder / "run.csv"
    lines = (f"{1000 + i / 10},engine-{i // 100},{i},{-i / 2}" for i in range(rows))
    path.write_text("\n".join(["t,unit,x,y", *lines]))
    return path


TIMED = RecordingLayout(time="t", unit="unit")


def test_each_row_is_an_object_with_time_and_unit(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    sent = replay(
        Replay(recording(tmp_path), "t", TIMED, speed=0), options_of(mosquitto), threading.Event()
    )
    assert sent == 4
    wait_for(lambda: len(mqtt_client.payloads("t")) == 4)
    assert json.loads(mqtt_client.payloads("t")[1]) == {
        "ts": 1_000_100.0,
        "unit": "engine-0",
        "x": 1.0,
        "y": -0.5,
    }


def test_times_may_be_written_out(
    mosquitto: Mosquitto,
    mqtt_client: Recorder,
    tmp_path: Path,
    wait_for: WaitFor,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mqtt_client.subscribe("t")
    path = tmp_path / "run.csv"
    path.write_text("when,x\n2026-01-31T06:00:00.250Z,5\n")
    where = ["--host", mosquitto.host, "--port", str(mosquitto.port), "--topic", "t"]

    def published(*more: str) -> str:
        main(["replay", str(path), *where, *more])
        return "".join(capsys.readouterr())

    assert published("--time", "when", "--time-unit", "iso8601") == "1 messages published\n"
    wait_for(lambda: mqtt_client.payloads("t"))
    assert json.loads(mqtt_client.payloads("t")[0]) == {"ts": 1_769_839_200_250.0, "x": 5.0}
    assert "--time-unit: name the column of the time as well" in published("--time-unit", "iso8601")
    refused = published("--time", "when")
    assert "row 2: '2026-01-31T06:00:00.250Z' is no number of s; a written time is" in refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--topic", "plant/#"], "must be a topic, without + and #: plant/#"),
        (["--port", "70000"], "must be 1 to 65535: 70000"),
        (["--rate", "0"], "must be above 0: 0"),
        (["--rate", "nan"], "must be above 0: nan"),
        (["--rows", "0"], "must be 1 or more: 0"),
        (["--rows", "two"], "must be 1 or more: two"),
        (["--speed", "-1"], "must be 0 or more: -1"),
    ],
)
def test_a_number_or_topic_that_cannot_be_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["replay", "run.csv", "--topic", "t", *words])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_file_without_numbers_is_refused_before_a_broker_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "comma.csv"
    path.write_text("x;y\n0,5;1,5\n")
    assert main(["replay", str(path), "--port", str(free_port()), "--topic", "t"]) == 69
    assert (
        "comma.csv: no column has a number, like 0.5, in its first row" in capsys.readouterr().err
    )


def test_a_recording_without_a_row_is_refused_before_a_broker_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("x,y\n")
    words = ["--port", str(free_port()), "--topic", "t", "--loop"]
    assert main(["replay", str(path), *words]) == 69
    assert "empty.csv: there is no row in it" in capsys.readouterr().err


@pytest.mark.parametrize(("form", "instead"), [("json", "null"), ("raw", "NaN")])
def test_cells_that_are_no_numbers_are_told_of_once_for_each_column(
    mosquitto: Mosquitto,
    tmp_path: Path,
    form: str,
    instead: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.csv"
    path.write_text("x,y,z\n1,2,3\nbad,2,3\n1,,3\n,,3\n")
    words = ["--host", mosquitto.host, "--port", str(mosquitto.port), "--topic", "t"]
    assert main(["replay", str(path), *words, "--format", form, "--speed", "0"]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"run.csv: column 'x' has no number in its row 2; such cells are sent as {instead}",
        f"run.csv: column 'y' has no number in its row 3; such cells are sent as {instead}",
    ]
    assert said.out == "4 messages published\n"


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("x,y,note\n,1,a\n2,3,b\n", [], "left out, no number in their first row: x, note;"),
        ("x,y\n,1\n2,3\n", ["--columns", "x", "y"], "column 'x' has no number in its row 1;"),
        ("1,2\n3,4\n", [], "the names of its columns, its first row, are numbers: if they"),
        ("1,2\n3,4\n", ["--names", "x", "y"], ""),
        ("x,y\n3,4\n", [], ""),
        ("t,x,y\n1,3,4\n", ["--time", "t"], ""),
    ],
)
def test_what_is_taken_of_a_recording_unasked_is_told(
    mosquitto: Mosquitto,
    tmp_path: Path,
    text: str,
    words: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run.csv"
    path.write_text(text)
    broker = ["--host", mosquitto.host, "--port", str(mosquitto.port), "--topic", "t"]
    assert main(["replay", str(path), *broker, "--speed", "0", *words]) == 0
    heard = capsys.readouterr().err
    assert heard.startswith(f"run.csv: {said}") if said else heard == ""
    assert heard.count("\n") == bool(said)


def test_rows_may_be_gathered_into_arrays(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    plan = Replay(recording(tmp_path, 5), "t", TIMED, columns=("y",), rows_per_message=3, speed=0)
    assert replay(plan, options_of(mosquitto), threading.Event()) == 2
    wait_for(lambda: len(mqtt_client.payloads("t")) == 2)
    first, second = map(json.loads, mqtt_client.payloads("t"))
    assert first == {"ts": 1_000_200.0, "unit": "engine-0", "y": [0, -0.5, -1]}
    assert second == {"ts": 1_000_400.0, "unit": "engine-0", "y": [-1.5, -2]}


def test_raw_blocks_are_interleaved_float32(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    plan = Replay(recording(tmp_path), "t", TIMED, format="raw", rows_per_message=2, speed=0)
    replay(plan, options_of(mosquitto), threading.Event())
    wait_for(lambda: len(mqtt_client.payloads("t")) == 2)
    assert mqtt_client.payloads("t")[1] == struct.pack("<4f", 2, -1, 3, -1.5)


def test_messagepack_names_its_columns(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    plan = Replay(recording(tmp_path), "t", TIMED, format="msgpack", rows_per_message=2, speed=0)
    replay(plan, options_of(mosquitto), threading.Event())
    wait_for(lambda: len(mqtt_client.payloads("t")) == 2)
    assert msgspec.msgpack.decode(mqtt_client.payloads("t")[0]) == {
        "ts": 1_000_100_000_000,
        "unit": "engine-0",
        "columns": ["x", "y"],
        "rows": struct.pack("<4f", 0, 0, 1, -0.5),
    }


def test_without_times_rows_count_on_from_now_at_the_rate(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    plan = Replay(recording(tmp_path, 300), "t", rate_hz=50, speed=0)
    before_ms = time.time_ns() / 1e6
    replay(plan, options_of(mosquitto), threading.Event())
    wait_for(lambda: len(mqtt_client.payloads("t")) == 300)
    times = [json.loads(payload)["ts"] for payload in mqtt_client.payloads("t")]
    assert times[0] >= before_ms - 1
    assert np.allclose(np.diff(times), 20, atol=0.01)


def test_speed_says_how_fast_a_recording_passes(mosquitto: Mosquitto, tmp_path: Path) -> None:
    began = time.monotonic()
    plan = Replay(recording(tmp_path, 31), "t", TIMED, speed=10)
    replay(plan, options_of(mosquitto), threading.Event())
    assert time.monotonic() - began >= 0.3


def test_a_stop_ends_a_loop(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    stop = threading.Event()
    plan = Replay(recording(tmp_path), "t", TIMED, speed=100, loop=True)
    sent: list[int] = []
    thread = threading.Thread(target=lambda: sent.append(replay(plan, options_of(mosquitto), stop)))
    thread.start()
    wait_for(lambda: len(mqtt_client.payloads("t")) > 8)
    stop.set()
    thread.join(60)
    wait_for(lambda: len(mqtt_client.payloads("t")) >= sent[0] > 8)
    assert len(mqtt_client.payloads("t")) == sent[0]


def test_more_than_the_window_is_published_without_loss_and_in_order(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    rows = 20 * WINDOW
    plan = Replay(recording(tmp_path, rows), "t", TIMED, columns=("x",), speed=0)
    assert replay(plan, options_of(mosquitto), threading.Event()) == rows
    wait_for(lambda: len(mqtt_client.payloads("t")) == rows)
    numbers = [json.loads(payload)["x"] for payload in mqtt_client.payloads("t")]
    assert numbers == list(range(rows))


def test_a_broker_that_dies_under_way_is_reported(
    mosquitto: Mosquitto, mqtt_client: Recorder, tmp_path: Path, wait_for: WaitFor
) -> None:
    mqtt_client.subscribe("t")
    plan = Replay(recording(tmp_path), "t", TIMED, speed=100, loop=True)
    errors: list[NotConnected] = []

    def run() -> None:
        try:
            replay(plan, options_of(mosquitto), threading.Event())
        except NotConnected as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: len(mqtt_client.payloads("t")) > 3)
    mosquitto.stop(signal.SIGKILL)
    thread.join(60)
    assert "broker" in str(errors[0])


def test_a_stop_while_the_broker_is_away_ends_at_once(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    plan = Replay(recording(tmp_path), "t", TIMED)
    assert replay(plan, BrokerOptions(port=free_port()), stop) == 0


def test_a_missing_recording_is_reported_before_a_broker_is_asked(tmp_path: Path) -> None:
    with pytest.raises(NotConnected, match=r"none\.csv"):
        replay(
            Replay(tmp_path / "none.csv", "t"), BrokerOptions(port=free_port()), threading.Event()
        )


def test_real_milling_samples_arrive_at_a_sensor_source_unchanged(
    mosquitto: Mosquitto, shared_data: Path
) -> None:
    path = shared_data / "cnc_mill_wear" / "data" / "experiment_01.csv"
    columns = ("X1_OutputPower", "S1_OutputPower")
    shape = window_shape(*columns, samples=50, hop=50, rate_hz=10)
    source = create(
        source_context(mosquitto, window=shape),
        kind="mqtt_sensor",
        topic="mill",
        format="msgpack",
        columns=columns,
        pointer="/rows",
        clock="event",
        time="/ts",
        time_unit="ns",
        qos=1,
        queue=100,
    )
    source.connect()
    plan = Replay(
        path, "mill", columns=columns, format="msgpack", rate_hz=10, rows_per_message=7, speed=0
    )
    assert replay(plan, options_of(mosquitto), threading.Event()) > 150
    items = windows([read_one(source) for _ in range(21)])
    header = path.read_text().partition("\n")[0].split(",")
    places = [header.index(name) for name in columns]
    table = np.loadtxt(path, np.float32, delimiter=",", skiprows=1, usecols=places)
    expected = table[:1050]
    assert np.array_equal(np.concatenate([item.samples for item in items]), expected)
    assert {item.series for item in items} == {0}
    source.close()
