"""What a pipeline is told beside its model: limits within reach, an accelerator for it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from edge_agent.cli import main
from tests.agents import MODELS
from tests.bundles import config_of

if TYPE_CHECKING:
    from pathlib import Path

CONVEYOR = str(MODELS / "conveyor-parts")
TREND = 'rule = { kind = "trend", fail_at = 2, n = 3, horizon_s = 9 }'
OPENVINO = "OpenVINOExecutionProvider"
OF_CLASSES = "is out of reach: the scores of this model are 0 to 1"


def checked(folder: Path, text: str) -> int:
    (folder / "agent.toml").write_text(text)
    return main(["check", str(folder / "agent.toml")])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('rule = { kind = "threshold", fail_at = 1.8 }', f"/rule/fail_at: 1.8 {OF_CLASSES}"),
        (
            'rule = { kind = "threshold", fail_at = 0.5, pass_at = -0.1 }',
            f"/rule/pass_at: -0.1 {OF_CLASSES}",
        ),
        (
            'rule = { kind = "k_of_n", fail_at = 80, k = 1, n = 2 }',
            f"/rule/fail_at: 80 {OF_CLASSES}",
        ),
        (
            f'recipes.P-1 = {{ model = "{CONVEYOR}", {TREND} }}',
            f"/recipes/P-1/rule/fail_at: 2 {OF_CLASSES}",
        ),
        (
            f'accelerator = {{ provider = "{OPENVINO}" }}',
            f"/accelerator: {OPENVINO} runs ONNX models, and this is one of TensorFlow Lite",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_refused_with_its_place(
    line: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checked(tmp_path, config_of("surface", CONVEYOR, line)) == 78
    assert capsys.readouterr().err == f"{tmp_path}/agent.toml: /pipelines/surface{said}\n"


@pytest.mark.parametrize("fail_at", [0, 0.5, 1])
def test_a_limit_at_an_end_of_the_scores_is_within_reach(fail_at: float, tmp_path: Path) -> None:
    line = f'rule = {{ kind = "threshold", fail_at = {fail_at} }}'
    assert checked(tmp_path, config_of("surface", CONVEYOR, line)) == 0


@pytest.mark.parametrize("accelerator", ['"npu"', '{ delegate = "libvx_delegate.so" }'])
def test_a_delegate_or_hardware_before_an_onnx_model_is_refused(
    accelerator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(CONVEYOR, tmp_path / "parts")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["variants"][0]["runtime"] = "onnx"
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    provider = f'accelerator = {{ provider = "{OPENVINO}" }}'
    assert checked(tmp_path, config_of("surface", "parts", provider)) == 0
    line = f"accelerator = {accelerator}"
    assert checked(tmp_path, config_of("surface", "parts", line)) == 78
    said = "/pipelines/surface/accelerator: ONNX models run on the CPU or an execution provider"
    assert said in capsys.readouterr().err


def test_a_limit_of_the_bundle_itself_is_looked_at_where_the_config_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = shutil.copytree(CONVEYOR, tmp_path / "parts")
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["decision"]["rule"] = {"kind": "threshold", "fail_at": 3}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    rule = 'rule = { kind = "threshold", fail_at = 0.7 }'
    assert checked(tmp_path, config_of("surface", "parts", rule)) == 0
    assert checked(tmp_path, config_of("surface", "parts")) == 78
    said = f"/pipelines/surface/model: its own rule: fail_at 3 {OF_CLASSES}"
    assert said in capsys.readouterr().err
