"""Threshold, k-of-n and trend: what each of them adds to the contract of rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.inference.limits import ANY_SCORE, Limits, judge, out_of_reach
from edge_agent.rules.trend import theil_sen
from edge_agent.types import Prediction
from tests.test_rule_contract import create, frame, outcomes, window

if TYPE_CHECKING:
    from edge_agent.types import Item


def test_between_the_two_limits_the_outcome_is_uncertain() -> None:
    rule = create("threshold", pass_at=6.0)
    assert outcomes(rule, [5.9, 6.0, 9.9, 10.0]) == ["pass", "uncertain", "uncertain", "fail"]


def test_between_the_two_limits_the_outcome_is_uncertain_below_too() -> None:
    rule = create("threshold", direction="below", pass_at=16.0)
    assert outcomes(rule, [16.1, 16.0, 10.1, 10.0]) == ["pass", "uncertain", "uncertain", "fail"]


def test_an_outcome_gets_worse_at_the_limit_and_better_only_short_of_it() -> None:
    rule = create("threshold", hysteresis=2.0)
    assert outcomes(rule, [9.9, 10.0, 9.0, 8.1, 7.9, 9.9, 10.0]) == [
        *("pass", "fail", "fail", "fail"),
        *("pass", "pass", "fail"),
    ]


def test_hysteresis_holds_each_of_three_outcomes() -> None:
    rule = create("threshold", pass_at=6.0, hysteresis=1.0)
    scores = [10.0, 9.5, 8.9, 5.5, 4.9, 5.5, 6.0, 5.5]
    assert outcomes(rule, scores) == [
        *("fail", "fail", "uncertain", "uncertain"),
        *("pass", "pass", "uncertain", "uncertain"),
    ]


def test_the_threshold_in_a_decision_is_the_one_that_held_then() -> None:
    rule = create("threshold", pass_at=6.0, hysteresis=1.0)
    thresholds = [rule.decide(Prediction(s), frame(0)).threshold for s in (3, 7, 11, 9.5, 8, 3)]
    assert thresholds == [6.0, 6.0, 10.0, 9.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("direction", "pass_at", "said"), [("above", 11.0, "at most"), ("below", 9.0, "at least")]
)
def test_the_limits_must_be_in_order(direction: str, pass_at: float, said: str) -> None:
    with pytest.raises(ValidationError, match=f"pass_at must be {said} fail_at"):
        create("threshold", direction=direction, pass_at=pass_at)


@given(
    score=st.floats(-1e6, 1e6),
    fail_at=st.floats(-1e3, 1e3),
    gap=st.floats(0, 1e3),
    hysteresis=st.floats(0, 1e3),
    before=st.sampled_from(["pass", "uncertain", "fail"]),
)
def test_both_directions_are_mirror_images(
    score: float, fail_at: float, gap: float, hysteresis: float, before: str
) -> None:
    above = Limits(fail_at=fail_at, pass_at=fail_at - gap, hysteresis=hysteresis)
    below = Limits(
        fail_at=-fail_at, pass_at=-(fail_at - gap), hysteresis=hysteresis, direction="below"
    )
    one = judge(above, score, before)  # type: ignore[arg-type]
    other = judge(below, -score, before)  # type: ignore[arg-type]
    assert (one.outcome, one.threshold) == (other.outcome, -other.threshold)


def test_k_bad_ones_of_the_last_n_fail() -> None:
    rule = create("k_of_n", k=2, n=3)
    scores = [20.0, 0.0, 20.0, 0.0, 0.0, 20.0, 20.0]
    assert outcomes(rule, scores) == ["pass", "pass", "fail", "pass", "pass", "pass", "fail"]


def test_k_bad_or_uncertain_ones_are_uncertain() -> None:
    rule = create("k_of_n", k=2, n=3, pass_at=6.0)
    scores = [7.0, 7.0, 20.0, 20.0, 0.0, 0.0]
    assert outcomes(rule, scores) == ["pass", "uncertain", "uncertain", "fail", "fail", "pass"]


def test_k_can_not_be_more_than_n() -> None:
    with pytest.raises(ValidationError, match="k must be at most n, 3"):
        create("k_of_n", k=4, n=3)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("threshold", {"hysteresis": 5.0}),
        ("k_of_n", {"k": 1, "n": 3}),
        ("trend", {"n": 3, "horizon_s": 100.0}),
    ],
)
def test_a_new_series_is_judged_afresh(kind: str, changes: dict[str, float]) -> None:
    rule = create(kind, **changes)
    before = outcomes(rule, [0.0, 4.0, 11.0], [window(second) for second in range(3)])
    assert before[-1] == "fail"
    assert rule.decide(Prediction(8.0), window(3)).outcome == "fail"
    assert rule.decide(Prediction(8.0), window(4, series=1)).outcome == "pass"
    assert rule.decide(Prediction(6.0), window(5, series=1)).outcome == "pass"


def test_a_rise_that_reaches_the_limit_in_time_fails() -> None:
    """0.1 a second: at 8.0 the limit of 10 is 20 s away."""
    rule = create("trend", n=5, horizon_s=20.5, uncertain_horizon_s=40.5)
    scores = [5.0 + 0.1 * second for second in range(40)]
    found = outcomes(rule, scores)
    assert found[:4] == ["pass"] * 4  # too few scores for a trend
    first_uncertain, first_fail = found.index("uncertain"), found.index("fail")
    assert scores[first_uncertain] == pytest.approx(6.0)
    assert scores[first_fail] == pytest.approx(8.0)
    assert set(found[first_fail:]) == {"fail"}


def test_a_trend_needs_n_scores_of_its_own_series() -> None:
    rule = create("trend", n=3, horizon_s=100.0)
    rising: list[Item] = [window(0), window(1), window(2), window(3, 1), window(4, 1), window(5, 1)]
    found = outcomes(rule, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], rising)
    assert found == ["pass", "pass", "fail", "pass", "pass", "fail"]


def test_the_trend_counts_time_and_not_items() -> None:
    slow = create("trend", n=3, horizon_s=30.0)
    items = [frame(second) for second in (0, 60, 120)]
    assert outcomes(slow, [5.0, 6.0, 7.0], [*items])[-1] == "pass"  # 180 s away
    fast = create("trend", n=3, horizon_s=30.0)
    items = [frame(second) for second in (0, 6, 12)]
    assert outcomes(fast, [5.0, 6.0, 7.0], [*items])[-1] == "fail"  # 18 s away


def test_remaining_life_that_falls_is_a_trend_downwards() -> None:
    rule = create("trend", direction="below", n=3, horizon_s=5.5)
    found = outcomes(rule, [20.0, 19.0, 18.0, 17.0, 16.0, 15.0, 14.0])
    assert found == ["pass", "pass", "pass", "pass", "pass", "fail", "fail"]


def test_a_trend_away_from_the_limit_passes() -> None:
    rule = create("trend", n=3, horizon_s=1e9)
    assert outcomes(rule, [9.0, 8.0, 7.0, 6.0]) == ["pass"] * 4


def test_one_outlier_makes_no_trend() -> None:
    rule = create("trend", n=9, horizon_s=1000.0)
    assert outcomes(rule, [5.0, 5.0, 5.0, 5.0, 9.9, 5.0, 5.0, 5.0, 5.0])[-1] == "pass"


def test_items_of_one_instant_make_no_trend() -> None:
    rule = create("trend", n=3, horizon_s=1000.0)
    assert outcomes(rule, [5.0, 6.0, 7.0], [frame(4), frame(4), frame(4)])[-1] == "pass"


def test_the_wider_horizon_can_not_be_the_nearer_one() -> None:
    with pytest.raises(ValidationError, match="uncertain_horizon_s must be at least horizon_s"):
        create("trend", uncertain_horizon_s=1e-4)


def test_a_line_is_found_among_outliers() -> None:
    times = np.arange(20.0)
    scores = 3.0 - 0.25 * times
    scores[[2, 7, 11, 15, 19]] += [50, -40, 30, 99, -99]
    slope, level = theil_sen(times.tolist(), scores.tolist())
    assert slope == pytest.approx(-0.25, abs=0.02)
    assert level == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize(
    ("fail_at", "pass_at", "scores", "wrong", "words"),
    [
        (-1.0, 50.0, (0.0, float("inf")), ["fail_at"], "-1 is out of reach: .* are at least 0"),
        (25.0, 150.0, (0.0, 125.0), ["pass_at"], "150 is out of reach: .* are 0 to 125"),
        (140.0, 150.0, (float("-inf"), 125.0), ["fail_at", "pass_at"], "are at most 125"),
        (0.0, 125.0, (0.0, 125.0), [], ""),
        (1e9, None, ANY_SCORE, [], ""),
    ],
)
def test_a_limit_that_no_score_reaches_is_found(
    fail_at: float,
    pass_at: float | None,
    scores: tuple[float, float],
    wrong: list[str],
    words: str,
) -> None:
    found = dict(out_of_reach(Limits(fail_at=fail_at, pass_at=pass_at, direction="below"), scores))
    assert list(found) == wrong
    assert all(re.search(words, why) for why in found.values())
