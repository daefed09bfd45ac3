"""Bundles: the same input gives the same bytes, and the card says what the manifest holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edge_agent.commands.verification import verify
from edge_agent.modelstore.manifest import load_bundle
from tools.bundling.bundle import Draft, build, enter_resources, write_bundle
from tools.bundling.card import Account, card_of_draft, thresholds_in_words, write_card_of

MODEL = Path(__file__).parents[2] / "models" / "turbofan-rul"
WINDOW = {
    "kind": "window",
    "channels": [f"c{number}" for number in range(57)],
    "samples": 50,
    "hop": 1,
    "rate_hz": 1.0,
}
RULE = {
    "kind": "threshold",
    "direction": "below",
    "fail_at": 0.2,
    "pass_at": 0.5,
    "hysteresis": 0.1,
}
DRAFT = Draft(
    model_id="life",
    version="1.0.0",
    seq=1,
    task={"kind": "regress", "preprocess": WINDOW},
    decision={"rule": RULE},
    license={"spdx": "Apache-2.0", "attribution": "Trained on somebody's engines"},
    source={"training": "python -m tools.train life", "data_sha256": "ab" * 32},
    model=(MODEL / "model.tflite").read_bytes(),
    precision="int8",
    golden=[{"args_0": np.full((1, 50, 57), value, np.int8)} for value in (0, 9)],
    atol=0.02,
    p95_ms_max=1000.0,
)
ACCOUNT = Account(
    about="Remaining life.\n\n**Split** by engine.",
    command="python -m tools.train life",
    figures=[("RMSE, 100 engines", "12.3")],
    variants=[{"variant": "float", "kB": "180"}, {"variant": "int8", "kB": "48"}],
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_two_builds_of_the_same_draft_are_the_same_bytes_card_and_all(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_bundle(
            tmp_path / name, dataclasses.replace(DRAFT, card=card_of_draft(DRAFT, ACCOUNT))
        )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert "card.md" in contents(tmp_path / "one")


def test_what_was_measured_enters_a_build_only_when_it_is_brought_along(tmp_path: Path) -> None:
    measured = {"ram_mb": 12.5, "p95_ms": 0.25}
    assert b"resources" not in build(DRAFT)[1]
    write_bundle(tmp_path / "brought", dataclasses.replace(DRAFT, resources=measured))
    write_bundle(tmp_path / "entered", DRAFT)
    enter_resources(tmp_path / "entered", measured)
    assert contents(tmp_path / "brought") == contents(tmp_path / "entered")
    resources = load_bundle(tmp_path / "entered").variant.resources
    assert resources is not None
    assert (resources.ram_mb, resources.p95_ms) == (12.5, 0.25)


def test_a_bundle_that_was_written_is_verified(tmp_path: Path) -> None:
    write_bundle(tmp_path / "life", DRAFT)
    found = verify(tmp_path / "life")
    assert found.passed, found.failure
    assert found.cases == 2


def test_files_that_an_earlier_bundle_left_are_removed_and_others_stay(tmp_path: Path) -> None:
    write_bundle(tmp_path, DRAFT)
    (tmp_path / "notes.txt").write_text("mine")
    write_bundle(tmp_path, dataclasses.replace(DRAFT, golden=DRAFT.golden[:1]))
    assert not (tmp_path / "golden_in_1.npz").exists()
    assert (tmp_path / "golden_in_0.npz").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_manifest_of_somebody_else_has_no_file_removed_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("keep")
    folder = tmp_path / "life"
    folder.mkdir()
    tree = {"variants": [{"files": [{"path": "../precious"}, {"path": 7}]}]}
    (folder / "manifest.json").write_text(json.dumps(tree))
    write_bundle(folder, DRAFT)
    assert (tmp_path / "precious").read_text() == "keep"


def test_the_card_says_figures_costs_thresholds_licence_and_data(tmp_path: Path) -> None:
    write_bundle(tmp_path, DRAFT)
    write_card_of(tmp_path, ACCOUNT)
    card = (tmp_path / "card.md").read_text()
    assert card.startswith("# life\n\nRemaining life.")
    for words in (
        "| RMSE, 100 engines | 12.3 |",
        "| variant | kB |\n|---|---|\n| float | 180 |\n| int8 | 48 |",
        "`fail` at 0.2 or less, `pass` at more than 0.5, `uncertain` between",
        "| licence | Apache-2.0 |",
        "| attribution | Trained on somebody's engines |",
        f"| sha256 of the data | {'ab' * 32} |",
        "| golden samples | 2 |",
        "By `python -m tools.train life`:",
    ):
        assert words in card
    assert card == card_of_draft(DRAFT, ACCOUNT)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"fail_at": 0.5}, "`fail` at 0.5 or more."),
        (
            {"fail_at": 0.7, "pass_at": 0.4, "k": 3, "n": 5},
            (
                "`fail` at 0.7 or more, `pass` at less than 0.4, `uncertain` between; "
                "3 of the last 5 scores must be beyond."
            ),
        ),
        (
            {"fail_at": 25.0, "direction": "below", "hysteresis": 5.0},
            "`fail` at 25 or less; the outcome gets better only 5 short of a limit.",
        ),
    ],
)
def test_a_rule_is_put_into_words(rule: dict[str, float | str], words: str) -> None:
    assert thresholds_in_words(rule) == words
