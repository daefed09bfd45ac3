"""What is said instead of "is ready"; and a classifier of photos that hardly differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.inference.model import load_model
from edge_agent.types import Frame
from tests.tools.pictures import drawings, save
from tools import evaluate
from tools.train.__main__ import main
from tools.training import doubts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("failed", "of", "asked", "told"),
    [
        (9, 12, 0.02, "9 of 12 good test photos (75%) fail, where 2.0% was asked for"),
        (60, 60, 0.01, "60 of 60 good test photos (100%) fail"),
        (1, 12, 0.02, ""),
        (3, 80, 0.01, ""),
        (0, 0, 0.01, ""),
    ],
)
def test_far_more_false_rejects_than_asked_for_are_doubted_and_chance_is_not(
    failed: int, of: int, asked: float, told: str
) -> None:
    for can_calibrate in (False, True):
        reached = np.arange(of) < failed
        found = [
            one.text
            for one in doubts.rejects(
                "good test photos", reached, asked, can_calibrate=can_calibrate
            )
        ]
        assert bool(found) == bool(told)
        assert all(told in text and "--group" in text for text in found)
        assert all(("edge-agent calibrate" in text) == can_calibrate for text in found)


def test_int8_that_lost_or_moved_much_is_doubted_and_the_way_out_is_named() -> None:
    (lost,) = doubts.lost_by_int8("AUROC on 40 test photos", 0.98, 0.91)
    (moved,) = doubts.moved_by_int8(0.41)
    assert "AUROC on 40 test photos is 0.910 in int8 and 0.980 in float" in lost.text
    assert "+41%" in moved.text
    assert all("--precision float32" in each.text for each in (lost, moved))
    assert not [*doubts.lost_by_int8("AUROC", 0.98, 0.97), *doubts.moved_by_int8(-0.01)]


def test_a_model_of_windows_that_learned_nothing_is_doubted_and_one_that_did_is_not() -> None:
    (useless,) = doubts.learned_nothing(1.95, {"the last": 3.0, "the mean": 2.0})
    assert "RMSE on test windows is 1.95, and 2 without any model" in useless.text
    assert "for whoever says the mean: do not use this one" in useless.text
    (guessed,) = doubts.guesses(27, 59, 29)
    assert "27 of 59 test windows are told right, and 29 by always saying" in guessed.text
    (blind,) = doubts.tells_little(0.61, 0.65)
    assert "AUROC on test windows is 0.610, and 0.650 without any model" in blind.text
    (loud,) = doubts.false_alarms(np.arange(100) < 30, 0.01)
    assert "30 of 100 good test windows (30%) exceed the threshold, where 1.0% was" in loud.text
    assert not [
        *doubts.learned_nothing(1.89, {"the last": 3.0, "the mean": 2.0}),
        *doubts.guesses(50, 59, 29),
        *doubts.guesses(59, 59, 59),
        *doubts.tells_little(1.0, 1.0),
        *doubts.tells_little(0.9, 0.65),
        *doubts.false_alarms(np.arange(100) < 2, 0.01),
    ]


def test_a_rule_that_decides_little_or_wrongly_is_doubted_and_a_good_one_is_not() -> None:
    bad = np.arange(100) >= 50
    nothing = np.zeros(100, bool)
    assert not list(doubts.by_rule(~bad, bad, bad, 0.02))
    (unsure,) = doubts.by_rule(nothing, nothing, bad, 0.02)
    assert "100 of 100 test windows (100%) are uncertain" in unsure.text
    failing, passing = doubts.by_rule(bad, ~bad, bad, 0.02)
    assert "50 of 50 good test windows (100%) fail, where 2.0% was asked for" in failing.text
    assert "50 of 50 bad test windows (100%) pass" in passing.text


@pytest.mark.tools
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_photos_that_hardly_differ_are_told_apart_in_the_precision_of_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], precision: str
) -> None:
    pytest.importorskip("torch", reason="PyTorch is in the training environment only")
    for name, scratched in (("good", False), ("scratched", True)):
        for number, pixels in enumerate(drawings(40, scratched=scratched, noise=1.5)):
            save(tmp_path / "photos" / name / f"{name}{number}.jpg", pixels)
    out = tmp_path / "model"
    words = ["classify", str(tmp_path / "photos"), str(out), "--precision", precision]
    assert main([*words, "--size", "96x128", "--depth", "8"]) == 0
    assert "is ready" in capsys.readouterr().out
    model = load_model(out, threads=1, roi=None)
    fail_at = model.bundle.manifest.decision.rule.fail_at
    for scratched in (False, True):
        scores = np.array(
            [
                evaluate.inspect(model, Frame(pixels, 0, 0, 0)).score
                for pixels in drawings(30, seed=1, scratched=scratched, noise=1.5)
            ]
        )
        assert np.mean((scores >= fail_at) == scratched) >= 0.9
    card, size = (out / "card.md").read_text(), (out / "model.tflite").stat().st_size
    assert f"| size of the model file | {size / 1000:.0f} kB |" in card
    assert f"test photos, {'int8' if precision == 'int8' else 'float'}" in card
    assert ("int8" in card) == (precision == "int8")
