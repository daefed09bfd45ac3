"""Golden inputs that are made up: they tell as much as real items do, and no more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.inference import golden
from edge_agent.inference.golden import npz
from edge_agent.inference.preprocess import ImagePreprocess
from edge_agent.modelstore.manifest import SelfTestCase
from tools.bundling.golden_inputs import CASES, LEVELS, chosen, moved, pictures, walks
from tools.compress.quantise import stored_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.tflite

MODELS = Path(__file__).parents[1] / "models"
LIVES = (MODELS / "turbofan-rul" / "model.tflite").read_bytes()
PITTING = (MODELS / "ballscrew-pitting" / "model.tflite").read_bytes()


def windows(count: int) -> list[NDArray[np.float32]]:
    """Return what moves as slowly as engines age."""
    rng = np.random.default_rng(7)
    steps = rng.normal(size=(count, 1, 50, 57)).cumsum(axis=2) / 7.0
    return list((rng.normal(size=(count, 1, 1, 57)) + steps).astype(np.float32))


def test_the_inputs_spread_over_the_answers_and_one_step_moves_each_within_the_tolerance() -> None:
    made = walks(LIVES, windows(48))
    answers, moves = moved(LIVES, made.inputs)
    assert len(made.inputs) == CASES
    assert list(answers) == sorted(answers)
    assert answers[-1] - answers[0] > 0.3
    assert (moves["output_0"] > 0.0).all()
    assert (moves["output_0"] <= made.atol["output_0"]).all()


def test_the_tolerance_is_how_far_one_step_moves_the_answers_to_real_items() -> None:
    real = windows(48)
    _, moves = moved(LIVES, stored_inputs(LIVES, real))
    (atol,) = chosen(LIVES, real, real).atol.values()
    assert moves["output_0"].max() <= atol <= 1.1 * moves["output_0"].max()


def parted(count: int) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return windows whose answers one step moves, and those whose answers are at their end."""
    made = windows(count)
    _, moves = moved(LIVES, stored_inputs(LIVES, made))
    both: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    for window, move in zip(made, moves["output_0"], strict=True):
        both[int(move == 0.0)].append(window)
    return both


def test_the_most_telling_input_of_each_part_is_taken() -> None:
    real = parted(60)[0][: 2 * CASES]
    answers, moves = moved(LIVES, stored_inputs(LIVES, real))
    pairs = moves["output_0"][np.argsort(answers, kind="stable")].reshape(CASES, 2)
    _, taken = moved(LIVES, chosen(LIVES, real, real).inputs)
    np.testing.assert_array_equal(taken["output_0"], pairs.max(axis=1))


def test_inputs_that_tell_nothing_are_refused() -> None:
    moving, still = parted(40)
    with pytest.raises(ValueError, match="moves no answer"):
        walks(LIVES, still)
    with pytest.raises(ValueError, match=f"answers to 0 of {len(still)} golden inputs"):
        chosen(LIVES, still, moving)


def test_two_makings_are_the_same_bytes_and_pictures_pack_well() -> None:
    preprocess = ImagePreprocess(kind="image", mean=(127.0,), std=(128.0,))
    noise = np.random.default_rng(3).normal(size=(1, 160, 384, 3))
    real = [(noise / 4).astype(np.float32)]
    one, two = (pictures(PITTING, preprocess, real) for _ in range(2))
    assert [npz(each) for each in one.inputs] == [npz(each) for each in two.inputs]
    assert set(one.atol) == {"output_0", "output_1"}
    for tensors in one.inputs:
        (array,) = tensors.values()
        assert len(np.unique(array)) <= 256 // LEVELS + 1


@pytest.mark.parametrize(
    ("off", "complaint"),
    [({"score": 0.09, "map": 0.3}, ""), ({"score": 0.3, "map": 0.3}, "score differs in 1 of 1")],
)
def test_an_output_is_held_against_its_own_tolerance(off: dict[str, float], complaint: str) -> None:
    case = SelfTestCase.model_validate(
        {"in": "i", "out": "o", "atol": 0.4, "atol_of": {"score": 0.1}}
    )
    wanted = {"score": np.zeros((1, 1), np.float32), "map": np.zeros((1, 4), np.float32)}
    got = {name: wanted[name] + np.float32(off[name]) for name in wanted}
    assert complaint in golden.difference(got, wanted, case)
    assert bool(complaint) == bool(golden.difference(got, wanted, case))
