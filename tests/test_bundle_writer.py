"""What the training scripts share and need no training framework for."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.errors import ModelError
from edge_agent.inference.golden import npz
from edge_agent.inference.preprocess import ImagePreprocess, WindowPreprocess
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.types import Frame
from tests.tiny_tflite import model_bytes
from tools.bundling.bundle import Draft, files_sha256, write_bundle
from tools.compress.quantise import Agreement, QuantisationFailed, agreement, check
from tools.datasets import ballscrew, cmapss
from tools.scoring.report import auroc, confusion, table, write_card
from tools.training.pictures import normalised, shrunk

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = {"kind": "window", "channels": ["x"], "samples": 3, "hop": 3, "rate_hz": 1.0}
GOLDEN = {"a": np.array([[1, 2, 3]], np.int8), "b": np.array([[4, 5, 6]], np.int8)}
DRAFT = Draft(
    model_id="sum",
    version="1.2.3",
    seq=4,
    task={"kind": "regress", "preprocess": WINDOW},
    decision={"rule": {"kind": "threshold", "fail_at": 1.0}},
    license={"spdx": "Apache-2.0"},
    source={"training": "by hand"},
    model=model_bytes("add_int8"),
    precision="int8",
    golden=[GOLDEN, GOLDEN],
    atol=0.5,
    p95_ms_max=5.0,
    labels=("good", "bad"),
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_bundle_that_is_written_is_one_that_the_agent_loads(tmp_path: Path) -> None:
    write_bundle(tmp_path / "sum", DRAFT)
    bundle = load_bundle(tmp_path / "sum")
    assert bundle.model == DRAFT.model
    assert bundle.labels == ("good", "bad")
    assert bundle.manifest.version == "1.2.3"
    assert bundle.variant.io is not None
    assert [tensor.dtype for tensor in bundle.variant.io.inputs] == ["int8", "int8"]
    case = bundle.manifest.selftest.cases[1]
    with np.load(tmp_path / "sum" / case.golden_out) as archive:
        (total,) = archive.values()
    # real = (stored + 3) / 2, so the first total stores (1 + 3) + (4 + 3) - 3.
    np.testing.assert_array_equal(total, [[8, 10, 12]])


def test_outputs_may_each_have_a_tolerance_of_their_own(tmp_path: Path) -> None:
    draft = dataclasses.replace(DRAFT, atol={"score": 0.09, "map": 0.34})
    write_bundle(tmp_path, draft)
    for case in load_bundle(tmp_path).manifest.selftest.cases:
        assert case.atol == 0.34
        assert case.atol_of == {"score": 0.09}


def test_the_same_draft_gives_the_same_bytes(tmp_path: Path) -> None:
    write_bundle(tmp_path / "one", DRAFT)
    write_bundle(tmp_path / "two", DRAFT)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert npz({"a": np.zeros(3), "b": np.ones(2)}) == npz({"b": np.ones(2), "a": np.zeros(3)})


def test_a_bundle_that_the_agent_would_refuse_is_not_written(tmp_path: Path) -> None:
    wrong = dataclasses.replace(DRAFT, decision={"rule": {"kind": "threshold"}})
    with pytest.raises(ModelError, match="fail_at"):
        write_bundle(tmp_path / "sum", wrong)
    assert not (tmp_path / "sum").exists()


def test_the_hash_of_files_changes_with_a_name_and_with_a_content(tmp_path: Path) -> None:
    def digest() -> str:
        return files_sha256(tmp_path, tmp_path.iterdir())

    (tmp_path / "a").write_text("1")
    first = digest()
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = digest()
    (tmp_path / "b").write_text("2")
    assert len({first, renamed, digest()}) == 3


def test_auroc_is_the_chance_that_a_bad_item_scores_above_a_good_one() -> None:
    rng = np.random.default_rng(0)
    scores, bad = rng.integers(0, 9, 80).astype(float), rng.random(80) < 0.4
    pairs = [(b > g) + 0.5 * (b == g) for b in scores[bad] for g in scores[~bad]]
    assert auroc(bad, scores) == pytest.approx(np.mean(pairs))
    assert auroc(bad, bad.astype(float)) == 1.0


def test_a_card_holds_what_was_printed(tmp_path: Path) -> None:
    figures = confusion(["a", "b", "b"], ["a", "a", "b"], ("a", "b"))
    assert [value for _, value in figures] == ["1 / 0", "1 / 1"]
    write_card(tmp_path, "# x\n", figures, "python -m tools.train_x")
    card = (tmp_path / "card.md").read_text()
    assert table(figures) in card
    assert "`python -m tools.train_x`" in card


def test_an_int8_model_that_answers_nonsense_is_not_let_through() -> None:
    scores = np.random.default_rng(0).standard_normal(500).astype(np.float32)
    assert check(agreement(scores, np.round(scores * 50) / 50)).correlation > 0.99
    with pytest.raises(QuantisationFailed, match="correlates"):
        check(agreement(scores, np.roll(scores, 1)))
    with pytest.raises(QuantisationFailed, match="different scores"):
        check(agreement(scores, np.round(scores * 4) / 4))
    with pytest.raises(QuantisationFailed, match="at the ends"):
        check(Agreement(correlation=0.99, distinct=100, saturated=0.6))


def test_pictures_for_training_are_made_by_the_agents_own_code() -> None:
    pixels = np.zeros((8, 12, 3), np.uint8)
    pixels[:, :, 0] = 200  # blue comes first in the agent, last in the model
    preprocess = ImagePreprocess(kind="image", color="rgb", mean=(100.0,), std=(50.0,))
    small = shrunk([Frame(pixels, 0, 0, 0)] * 2, preprocess, (4, 6))
    assert small.shape == (2, 4, 6, 3)
    assert small[0, 0, 0].tolist() == [0, 0, 200]
    assert normalised(small, preprocess)[1, 3, 5].tolist() == [-2.0, -2.0, 2.0]


def test_the_nasa_score_punishes_late_answers_more_than_early_ones() -> None:
    assert cmapss.nasa_score(np.array([0.0])) == 0
    assert cmapss.nasa_score(np.array([-13.0])) == pytest.approx(np.e - 1)
    assert cmapss.nasa_score(np.array([10.0, 10.0])) == pytest.approx(2 * (np.e - 1))
    assert cmapss.rmse(np.array([3.0, -4.0])) == pytest.approx(np.sqrt(12.5))


def test_windows_of_an_engine_end_at_each_cycle_and_belong_to_it_alone(tmp_path: Path) -> None:
    rows = [
        " ".join(str(value) for value in (unit, cycle, 0, 0, 100, *range(cycle, cycle + 21)))
        for unit, cycles in ((1, 4), (2, 6))
        for cycle in range(1, cycles + 1)
    ]
    (tmp_path / "test_FD001.txt").write_text("\n".join(rows))
    (tmp_path / "RUL_FD001.txt").write_text("7\n9\n")
    engines = cmapss.test_engines(tmp_path)
    assert [(engine.number, engine.rul, len(engine.samples)) for engine in engines] == [
        (1, 7.0, 4),
        (2, 9.0, 6),
    ]
    tree = WINDOW | {"channels": list(cmapss.CHANNELS), "hop": 1, "pad": "edge"}
    shape = WindowPreprocess.model_validate_json(json.dumps(tree))
    windows = list(cmapss.windows(engines[1], shape))
    assert [window.first_sample for window in windows] == [-2, -1, 0, 1, 2, 3]
    assert {window.series for window in windows} == {2}
    # Sensor 2 of cycle n is n + 1.
    assert windows[-1].samples[:, 0].tolist() == [5.0, 6.0, 7.0]


def test_photos_without_a_label_count_only_before_the_first_labelled_one(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for time in range(8):
        (tmp_path / "images" / f"01_20{time}_100_000_crop_2.jpg").touch()
    (tmp_path / "images" / "01_200_900_000_crop_2.jpg").touch()
    for time in (5, 7):
        (tmp_path / "labels" / f"01_20{time}_100_000_crop_2.json").touch()
    photos = ballscrew.photos(tmp_path, ["100_000"])
    assert [photo.time for photo in photos] == ["200", "201", "202", "203", "204", "205", "207"]
    assert [photo.pitted for photo in photos] == [False] * 5 + [True] * 2
    assert sum(ballscrew.hard_ones(photos)) == 7
