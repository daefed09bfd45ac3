"""What is said when a model is published."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.agents import MODELS
from tests.modelstore.plant import write_bundle
from tests.updating.plant import changed
from tools.repo import publishing
from tools.repo.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.modelstore.plant import Owner


def test_a_model_that_gateways_will_refuse_is_named_when_it_is_published(
    owner: Owner, tmp_path: Path
) -> None:
    bundles = [write_bundle(tmp_path / "wear"), MODELS / "motor-bearing"]
    said = publishing.add_models(owner.desk, bundles, min_seq=None)
    named = [line for line in said if "golden samples" in line]
    assert [line.split(" has no ")[0] for line in named] == ["wear 1.0.0"]


def test_a_model_is_signed_only_after_it_has_answered_its_golden_samples_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer_otherwise(_: object, bundle: Path) -> None:
        shutil.copy(bundle / "golden_out_1.npz", bundle / "golden_out_0.npz")

    repo = str(tmp_path / "repo")
    good = str(changed(tmp_path, "2.0.0"))
    wrong = str(changed(tmp_path, "3.0.0", change=answer_otherwise))
    assert main(["init", repo]) == 0
    models = tmp_path / "repo" / "metadata" / "2.models.json"
    assert main(["add-model", repo, good, wrong, "--slot", "plates"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"refused: {wrong}: NOT VERIFIED: ")
    assert "golden_in_0.npz" in said
    assert not models.exists(), "nothing of it is signed, not even the good one"
    assert main(["add-model", repo, good]) == 0
    assert f"{good}: verified: 8 golden samples" in capsys.readouterr().out
    assert models.exists()
    assert main(["add-model", repo, wrong, "--unverified"]) == 0
