"""The examples and the reference in docs/ are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli import main
from tools.reference import PAGES, page

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(
    "example", sorted(DOCS.glob("examples/*.toml")), ids=lambda path: path.stem
)
def test_an_example_is_a_good_config(example: Path) -> None:
    assert main(["check", str(example)]) == 0


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == page(name), "run: make schemas"


def test_a_wrong_field_ends_check_with_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "examples" / "folder.toml").read_text().replace("fps = 5", "fps = 0")
    config = tmp_path / "wrong.toml"
    config.write_text(text)
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    assert "/pipelines/recorded/source/fps: Input should be greater than 0" in shown


def test_a_bundle_that_is_missing_or_damaged_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "examples" / "folder.toml").read_text()
    config = tmp_path / "wrong.toml"
    config.write_text(text.replace("../../models/conveyor-parts", "nowhere"))
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    assert "/pipelines/recorded/model: " in shown
    assert "nowhere/manifest.json" in shown


def test_a_source_that_lacks_a_channel_of_the_model_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "examples" / "vibration.toml").read_text()
    models = Path(__file__).parents[1] / "models"
    text = text.replace("../../models", str(models)).replace("channels.accel_y", "channels.other")
    config = tmp_path / "wrong.toml"
    config.write_text(text)
    assert main(["check", str(config)]) == 78
    assert "accel_y" in capsys.readouterr().err


def test_a_config_file_that_is_not_there_is_a_plain_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "none.toml")]) == 69
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.parametrize("example", ["usb-camera", "folder", "mqtt-pictures"])
def test_a_camera_before_a_model_of_windows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], example: str
) -> None:
    text = (DOCS / "examples" / f"{example}.toml").read_text()
    models = Path(__file__).parents[1] / "models"
    config = tmp_path / "wrong.toml"
    config.write_text(text.replace("../../models/conveyor-parts", str(models / "motor-bearing")))
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    assert "/source/kind: gives pictures, and the model takes windows of samples" in shown
