"""What every rule must do, run on each of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edge_agent import registry
from edge_agent.types import Frame, Prediction, Window

if TYPE_CHECKING:
    from edge_agent.rules.base import Rule
    from edge_agent.types import Item, Outcome

SECOND_NS = 1_000_000_000
OPTIONS: dict[str, dict[str, Any]] = {
    "threshold": {"fail_at": 10.0},
    "k_of_n": {"fail_at": 10.0, "k": 1, "n": 1},
    "trend": {"fail_at": 10.0, "n": 3, "horizon_s": 1e-3},
}


def create(kind: str, **changes: object) -> Rule:
    tree = {"kind": kind, **OPTIONS[kind], **changes}
    options = TypeAdapter(registry.options_type("rules")).validate_python(tree)
    rule: Rule = registry.create("rules", options)
    return rule


def frame(at_s: float) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), int(at_s * SECOND_NS), 0, 0)


def window(at_s: float, series: int = 0) -> Window:
    samples = np.zeros((1, 1), np.float32)
    return Window(samples, ("c",), 1.0, int(at_s * SECOND_NS), 0, 0, series=series)


def outcomes(rule: Rule, scores: list[float], items: list[Item] | None = None) -> list[Outcome]:
    items = items or [frame(second) for second in range(len(scores))]
    return [
        rule.decide(Prediction(score), item).outcome
        for score, item in zip(scores, items, strict=True)
    ]


every_rule = pytest.mark.parametrize("kind", registry.kinds("rules"))


def test_every_rule_has_options_here() -> None:
    assert set(registry.kinds("rules")) == set(OPTIONS)


@every_rule
def test_a_score_beyond_the_limit_fails_and_one_short_of_it_passes(kind: str) -> None:
    assert outcomes(create(kind), [10.0, 9.99, 10.01, 0.0]) == ["fail", "pass", "fail", "pass"]


@every_rule
def test_the_side_that_is_bad_can_be_turned(kind: str) -> None:
    rule = create(kind, direction="below")
    assert outcomes(rule, [10.0, 10.01, 9.99, 99.0]) == ["fail", "pass", "fail", "pass"]


@every_rule
def test_a_decision_tells_the_threshold_that_decided_it(kind: str) -> None:
    decision = create(kind).decide(Prediction(11.0), frame(0))
    assert (decision.outcome, decision.threshold) == ("fail", 10.0)


@every_rule
def test_the_same_items_get_the_same_outcomes(kind: str) -> None:
    random = np.random.default_rng(7)
    scores = (9 + random.standard_normal(200).cumsum() / 3).tolist()
    assert outcomes(create(kind), scores) == outcomes(create(kind), scores)


@every_rule
def test_pictures_and_windows_are_judged_alike(kind: str) -> None:
    scores = [1.0, 5.0, 12.0, 9.0, 10.5]
    windows: list[Item] = [window(second) for second in range(5)]
    assert outcomes(create(kind), scores) == outcomes(create(kind), scores, windows)


@every_rule
@pytest.mark.parametrize("limit", [math.nan, math.inf])
def test_a_limit_must_be_a_number(kind: str, limit: float) -> None:
    with pytest.raises(ValidationError):
        create(kind, fail_at=limit)
