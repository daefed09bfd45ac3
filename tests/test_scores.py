"""The scores that a threshold is calibrated again with: the last ones, of the model of now."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.control.requests import RecalibrateCommand, Refused
from edge_agent.control.scores import SCORES_MOST, Scores
from tests.verdicts import verdict


def scores(*parts: tuple[str, float]) -> Scores:
    found = Scores()
    for model, score in parts:
        found.add(verdict(pipeline="one", model_sha256=model, score=score))
    return found


def asked(parts: int, **more: Any) -> RecalibrateCommand:
    return RecalibrateCommand(id="1", pipeline="one", parts=parts, **more)


def test_the_last_parts_are_taken_in_their_order() -> None:
    many = scores(*(("a", float(number)) for number in range(SCORES_MOST + 7)))
    assert many.of_good(asked(3), "") == [1004.0, 1005.0, 1006.0]
    assert len(many.of_good(asked(SCORES_MOST), "")) == SCORES_MOST


@pytest.mark.parametrize("endless", [float("inf"), float("-inf"), float("nan")])
def test_a_score_without_bounds_is_none(endless: float) -> None:
    assert scores(("a", 1.0), ("a", endless), ("a", 2.0)).of_good(asked(2), "") == [1.0, 2.0]


def test_what_another_model_said_does_not_count() -> None:
    mixed = scores(("a", 1.0), ("b", 9.0), ("a", 2.0))
    assert mixed.of_good(asked(2), "") == [1.0, 2.0]
    with pytest.raises(Refused):
        mixed.of_good(asked(3), "")


def test_what_another_recipe_said_does_not_count_also_with_the_same_model() -> None:
    found = Scores()
    for recipe, score in (("P-1", 0.1), ("P-2", 0.8), ("P-1", 0.2)):
        found.add(verdict(pipeline="one", model_sha256="a", recipe=recipe, score=score))
    assert found.of_good(asked(2), "P-1") == [0.1, 0.2]
    assert found.of_good(asked(1), "P-2") == [0.8]
    with pytest.raises(Refused, match="only 0 parts of recipe P-3 were inspected"):
        found.of_good(asked(1), "P-3")
