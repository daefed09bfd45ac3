"""What is said when a model is published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.agents import MODELS
from tests.modelstore.plant import write_bundle
from tools.repo import publishing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.modelstore.plant import Owner


def test_a_model_that_gateways_will_refuse_is_named_when_it_is_published(
    owner: Owner, tmp_path: Path
) -> None:
    bundles = [write_bundle(tmp_path / "wear"), MODELS / "motor-bearing"]
    said = publishing.add_models(owner.desk, bundles, min_seq=None)
    named = [line for line in said if "golden samples" in line]
    assert [line.split(" has no ")[0] for line in named] == ["wear 1.0.0"]
