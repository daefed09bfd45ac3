"""A model that its maker holds unfit for use says so wherever somebody brings it into use."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from edge_agent.cli import main
from edge_agent.config import parse_toml
from edge_agent.control.checking import look
from tests.agents import MODELS
from tools import pipeline
from tools.bundling.bundle import enter_doubts

if TYPE_CHECKING:
    from pathlib import Path

DOUBT = "27 of 59 test photos are told right, and 29 by always saying worn: do not use this one"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Return a bundle that works, and is doubted."""
    folder = tmp_path / "parts"
    shutil.copytree(MODELS / "conveyor-parts", folder)
    enter_doubts(folder, [DOUBT])
    return folder


@pytest.mark.tflite
def test_its_self_test_passes_and_warns(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0
    verified, warned = capsys.readouterr().out.splitlines()
    assert verified.startswith(f"{bundle}: verified: ")
    assert warned == f"{bundle}: warning: {DOUBT}"


def test_a_config_that_names_it_is_good_and_warns(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(tmp_path / "my.toml")
    assert pipeline.main([str(bundle), config, "--camera", "0"]) == 0
    assert f"{bundle}: warning: {DOUBT}" in capsys.readouterr().out.splitlines()
    assert main(["check", config]) == 0
    told = (
        f"{config}: /pipelines/conveyor-parts/model: warning: the maker of parts doubts it: {DOUBT}"
    )
    assert told in capsys.readouterr().out.splitlines()
    main(["doctor", config])
    assert f"parts: {DOUBT}" in capsys.readouterr().out


def test_a_change_that_brings_it_in_is_answered_with_a_warning(
    bundle: Path, tmp_path: Path
) -> None:
    config = tmp_path / "my.toml"
    assert pipeline.main([str(bundle), str(config), "--camera", "0"]) == 0
    with config.open("a") as file:
        file.write(f'\n[pipelines.conveyor-parts.recipes.P-2]\nmodel = "{bundle}"\n')
    found = look(parse_toml(config.read_bytes()), tmp_path, ["conveyor-parts"])
    assert not found.wrong
    pointer = "/pipelines/conveyor-parts"
    assert [(each.path, each.kind, each.message) for each in found.warnings] == [
        (f"{pointer}/model", "doubted", f"the maker of parts doubts it: {DOUBT}"),
        (f"{pointer}/recipes/P-2/model", "doubted", f"the maker of {bundle} doubts it: {DOUBT}"),
    ]
