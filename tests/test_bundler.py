"""A model file becomes a bundle that the agent runs, or a sentence that says why not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from edge_agent.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(shared_data: Path) -> Path:
    return shared_data / "third_party_models" / "mobilenet_v2_1.0_224_quant.tflite"


def test_a_model_file_becomes_a_bundle_that_loads(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"class {n}" for n in range(1001)))
    settings = [
        "preprocess.mean=[127.5]",
        "preprocess.std=[127.5]",
        'postprocess.normal=["class 3"]',
    ]
    arguments = ["bundle", str(model), str(tmp_path / "mine"), "--task", "classify"]
    arguments += ["--labels", str(tmp_path / "labels.txt")]
    for setting in settings:
        arguments += ["--set", setting]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "uint8 [1, 224, 224, 3]" in shown
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert manifest["model_id"] == "mine"
    assert manifest["task"]["postprocess"] == {"normal": ["class 3"]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["preprocess.mean=[1, 2]"], "mean must have 1 or 3 numbers"),
        (["preprocess.colour=rgb"], "colour"),
        (["mean=1"], "begins with none of preprocess, postprocess, rule"),
        (['postprocess.normal=["good"]'], "good"),
        (["rule.fail_at=1.8"], "decision/rule/fail_at: 1.8 is out of reach: the scores"),
    ],
)
def test_what_does_not_fit_is_said(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: list[str],
    message: str,
) -> None:
    arguments = ["bundle", str(model), str(tmp_path / "mine"), "--task", "classify"]
    for setting in settings:
        arguments += ["--set", setting]
    assert main(arguments) == 69
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.tflite").write_bytes(b"not a model")
    arguments = ["bundle", str(tmp_path / "model.tflite"), str(tmp_path / "mine")]
    assert main([*arguments, "--task", "classify"]) == 69
    assert capsys.readouterr().err.startswith("edge-agent: ")
