"""`pipeline`: a config for a bundle that the agent takes as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_agent.commands.checks import check_pipelines
from edge_agent.config import parse_toml
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.sources import folder, mqtt_sensor, replay
from tools import pipeline

if TYPE_CHECKING:
    from edge_agent.config import PipelineOptions

MODELS = Path(__file__).parents[2] / "models"
CONVEYOR, TURBOFAN = str(MODELS / "conveyor-parts"), str(MODELS / "turbofan-rul")


def read(path: Path) -> PipelineOptions:
    config = parse_toml(path.read_bytes())
    check_pipelines(config, path.parent)
    (options,) = config.pipelines.values()
    return options


def recording(file: Path, value: str) -> None:
    """Write one row of an engine, semicolons between its numbers."""
    channels = load_bundle(MODELS / "turbofan-rul").manifest.task.preprocess.channels
    rows = (["engine", *channels], ["7", *[value] * len(channels)])
    file.write_text("".join(";".join(row) + "\n" for row in rows))


def test_a_folder_of_pictures_becomes_a_pipeline_of_quality(tmp_path: Path) -> None:
    (tmp_path / 'new "photos"').mkdir()
    config = tmp_path / "my.toml"
    arguments = [CONVEYOR, str(config), "--folder", str(tmp_path / 'new "photos"')]
    assert pipeline.main(arguments) == 0
    options = read(config)
    assert options.family == "qc"
    assert isinstance(options.source, folder.Options)
    assert options.source.path == 'new "photos"'
    assert (tmp_path / options.model).resolve() == Path(CONVEYOR)


def test_a_folder_of_class_folders_is_not_one_of_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "parts" / "good").mkdir(parents=True)
    (tmp_path / "parts" / "good" / "1.jpg").write_bytes(b"")
    config = tmp_path / "my.toml"
    assert pipeline.main([CONVEYOR, str(config), "--folder", str(tmp_path / "parts")]) == 1
    assert f"say --folder {tmp_path / 'parts' / 'good'}" in capsys.readouterr().err
    assert not config.exists()


def test_a_recording_becomes_a_pipeline_of_a_machine_s_condition(tmp_path: Path) -> None:
    config = tmp_path / "sub" / "my.toml"
    config.parent.mkdir()
    recording(tmp_path / "x.csv", "1.5")
    arguments = [TURBOFAN, str(config), "--recording", str(tmp_path / "x.csv")]
    assert pipeline.main([*arguments, "--unit", "engine", "--speed", "0"]) == 0
    options = read(config)
    assert options.family == "pdm"
    assert isinstance(options.source, replay.Options)
    assert (options.source.file, options.source.unit_column) == ("../x.csv", "engine")


@pytest.mark.parametrize(
    ("value", "unit", "sentence"),
    [
        ("1,5", "engine", "no numbers below s2, s3"),
        ("1.5", "machine", "no column machine; there are engine, s2, "),
    ],
)
def test_a_recording_that_the_agent_could_not_read_is_refused_before_it_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str, unit: str, sentence: str
) -> None:
    config, file = tmp_path / "my.toml", tmp_path / "x.csv"
    recording(file, value)
    arguments = [TURBOFAN, str(config), "--recording", str(file), "--unit", unit]
    assert pipeline.main(arguments) == 1
    assert sentence in capsys.readouterr().err
    assert not config.exists()


def test_a_topic_becomes_a_pipeline_with_a_place_for_each_channel(tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    arguments = [TURBOFAN, str(config), "--topic", "plant/engine", "--unit", "a/b"]
    assert pipeline.main(arguments) == 0
    options = read(config)
    assert isinstance(options.source, mqtt_sensor.Options)
    assert options.source.channels["s11"].pointer == "/s11"
    assert options.source.part_id == "/a~1b"
    assert len(options.source.channels) == 14


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([TURBOFAN, "--camera", "0"], "turbofan-rul reads samples"),
        ([CONVEYOR, "--topic", "x"], "conveyor-parts reads pictures"),
        (["nowhere", "--camera", "0"], "nowhere"),
        ([TURBOFAN, "--topic", "a/#/b"], "topic"),
        ([CONVEYOR, "--folder", "nowhere"], "nowhere: no such folder"),
        ([TURBOFAN, "--recording", "nowhere.csv"], "nowhere.csv: No such file"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    bundle, *source = arguments
    assert pipeline.main([bundle, str(tmp_path / "my.toml"), *source]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_config_that_exists_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.toml").write_text("mine")
    assert pipeline.main([CONVEYOR, str(tmp_path / "my.toml"), "--camera", "0"]) == 1
    assert "exists" in capsys.readouterr().err
    assert (tmp_path / "my.toml").read_text() == "mine"
