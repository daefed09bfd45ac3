"""Recordings that no recipe of sensors can learn from: a sentence, and nothing half-written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.tools.machines import ROWS, STATES, states, vibration, wearing, written

pytest.importorskip("torch")

from tools.train.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(600),
    # torch and the converters warn of what is to change in themselves.
    pytest.mark.filterwarnings("ignore"),
]

BROKEN = {
    "a column without numbers": {"x": np.full(ROWS, ""), "y": np.arange(ROWS)},
    "nothing moves": {"x": np.ones(ROWS), "y": np.ones(ROWS)},
    "too short": {"x": np.arange(5), "y": np.arange(5) ** 2},
    "too few windows to quantise": {"x": np.arange(90) % 7, "y": np.arange(90) % 5},
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("recipe", ["sensor-anomaly", "forecast"])
def test_unfit_data_ends_in_a_sentence_and_leaves_nothing(
    what: str, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "data" / "bad.csv", BROKEN[what])
    extra = ["--target", "x"] if recipe == "forecast" else []
    extra += ["--epochs", "1", "--samples", "6"]
    assert main([recipe, str(data), str(tmp_path / "out" / "model"), *extra]) == 1
    captured = capsys.readouterr()
    said = captured.err
    assert "error: " in said
    assert "epoch" not in captured.out, "it was trained before that was said"
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_target_that_is_no_channel_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "a.csv", vibration(0))
    assert main(["forecast", str(data), str(tmp_path / "m"), "--target", "speed"]) == 1
    assert "--target speed: no channel that changes; there are x, y" in capsys.readouterr().err


def test_a_good_label_that_does_not_exist_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "a.csv", vibration(0) | {"state": np.full(ROWS, "fine")})
    arguments = ["--label", "state", "--samples", "6"]
    assert main(["sensor-anomaly", str(data), str(tmp_path / "m"), *arguments]) == 1
    assert "column state holds fine: say with --good which is good" in capsys.readouterr().err


def test_one_machine_is_not_enough_for_a_life(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "a.csv", wearing(0))
    arguments = ["--unit", "unit", "--samples", "6"]
    assert main(["life", str(data), str(tmp_path / "m"), *arguments]) == 1
    assert "1 group" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["sensor-classify", "sensor-anomaly", "life", "forecast"])
@pytest.mark.parametrize("option", ["--hop", "--rate", "--epochs"])
def test_nothing_of_what_must_be_something_is_refused(
    recipe: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([recipe, str(tmp_path), str(tmp_path / "m"), option, "0"])
    assert f"argument {option}: 0: wanted is a " in capsys.readouterr().err


def test_too_few_windows_name_the_hop_and_one_that_makes_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = states(tmp_path / "a.csv", rows=200)
    words = ["sensor-classify", str(data), str(tmp_path / "m"), *STATES, "--epochs", "1"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "144 windows to train on with --hop 8; 240 are needed" in said
    assert "record more, or give --hop 4" in said
    assert main([*words, "--hop", "5"]) == 1
    assert main([*words, "--hop", "4"]) == 0


def test_a_hop_that_would_do_is_not_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = states(tmp_path / "a.csv", rows=40)
    assert main(["sensor-classify", str(data), str(tmp_path / "m"), *STATES]) == 1
    assert (
        "with --hop 8; 240 are needed to quantise and to check it: record more, for not even"
        in (capsys.readouterr().err)
    )


@pytest.mark.parametrize("unit", ["s", "iso8601"])
def test_a_column_of_text_has_no_times(
    unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = states(tmp_path / "a.csv", machines=3)
    words = ["sensor-classify", str(data), str(tmp_path / "m"), *STATES]
    assert main([*words, "--time", "state", "--time-unit", unit]) == 1
    said = capsys.readouterr().err
    assert f"a.csv, column state has no times: 'ok' in row 2 is none by --time-unit {unit}" in said
