"""Distances between distributions, and the alerts that come of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from edge_agent.monitoring.drift import Drift, Learning, Reference
from edge_agent.monitoring.options import DriftOptions, RejectOptions
from edge_agent.monitoring.reference import distance, quantiles_of, slack_of
from edge_agent.monitoring.reject_rate import RejectRate, tail

if TYPE_CHECKING:
    from collections.abc import Sequence

EVEN = tuple(float(number) for number in range(21))


def normal(mean: float, count: int, seed: int = 1) -> list[float]:
    order = random.Random(seed)
    return [order.gauss(mean, 1.0) for _ in range(count)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (EVEN, 0.05),
        ([30.0, 31.0], 1.0),
        ([-5.0, -4.0], 1.0),
        ([10.0], 0.5),
        ([0.0, 20.0], 0.5),
        ([15.0, 16.0, 17.0, 18.0], 0.75),
    ],
)
def test_the_distance_is_that_of_the_two_distribution_functions(
    values: Sequence[float], expected: float
) -> None:
    assert distance(values, EVEN) == pytest.approx(expected, abs=0.051)


def test_values_that_stray_less_than_the_slack_are_as_usual() -> None:
    steady = (120.0,) * 21
    assert distance([121.0] * 50, steady) == 1.0
    assert distance([121.0] * 50, steady, slack=3.0) == 0.0
    assert distance([124.0] * 50, steady, slack=3.0) == 1.0
    assert slack_of("brightness", steady) == 3.0
    assert slack_of("mean x", EVEN) == pytest.approx(1.8)


def test_a_reference_that_is_mostly_one_value_knows_how_often_it_is() -> None:
    mostly_zero = (0.0,) * 19 + (0.5, 1.0)
    assert distance([0.0] * 90 + [0.7] * 10, mostly_zero) < 0.15
    assert distance([0.0] * 40 + [0.7] * 60, mostly_zero) == pytest.approx(0.55)


def drift(**options: float) -> Drift:
    reference = Reference(500, {"score": quantiles_of(normal(0.0, 500))})
    return Drift(DriftOptions(**options), reference)  # type: ignore[arg-type]


def test_nothing_is_said_before_the_window_is_full() -> None:
    watched = drift(window=100)
    for value in normal(9.0, 99):
        watched.add({"score": value})
    assert watched.raised is None


def test_what_is_as_usual_raises_nothing() -> None:
    watched = drift()
    for value in normal(0.0, 5000, seed=2):
        watched.add({"score": value})
        assert not watched.raised


def test_an_alert_is_raised_by_what_is_far_from_usual_and_cleared_by_its_return() -> None:
    watched = drift(window=100)
    changes = []
    stream = [*normal(0.0, 200, 2), *normal(6.0, 300, 3), *normal(0.0, 300, 4)]
    for item, value in enumerate(stream):
        if watched.add({"score": value}):
            changes.append((item, watched.raised))
    (_, first), (raised_at, raised), (cleared_at, cleared) = changes
    assert (first, raised, cleared) == (False, True, False)
    assert 200 + 75 <= raised_at <= 200 + 90
    assert 500 + 35 <= cleared_at <= 500 + 60


def test_between_the_two_limits_an_alert_stays_what_it_is() -> None:
    watched = drift(window=100, raise_at=0.8, clear_at=0.5)
    half = [6.0, 6.0, 6.0, 0.0, 0.0] * 40  # a distance of 0.6
    for value in (*normal(0.0, 100), *half):
        watched.add({"score": value})
    assert watched.raised is False
    for value in (*normal(6.0, 100), *half):
        watched.add({"score": value})
    assert watched.raised is True


def test_a_score_far_below_its_threshold_may_be_as_small_as_it_likes() -> None:
    tiny = Reference(500, {"score": (0.0,) * 20 + (1e-6,)})
    watched = Drift(DriftOptions(), tiny)
    for _ in range(300):
        watched.add({"score": 1e-3}, threshold=0.5)
    assert watched.raised is False


def test_a_figure_that_is_seldom_there_is_not_judged_by_a_few() -> None:
    reference = Reference(500, {"score": EVEN, "sharpness": EVEN})
    watched = Drift(DriftOptions(), reference)
    for item in range(100):
        watched.add({"score": item % 21.0} | ({"sharpness": 99.0} if item % 10 == 0 else {}))
    assert [each.figure for each in watched.distances] == ["score"]


def test_a_reference_is_learned_from_the_first_items() -> None:
    learning = Learning(100)
    values = normal(3.0, 100)
    found = [learning.add({"score": value}, reject=index < 4) for index, value in enumerate(values)]
    assert found[:-1] == [None] * 99
    assert found[-1] is not None
    assert found[-1].origin == "learned"
    assert found[-1].usual("score") == pytest.approx(3.0, abs=0.3)
    assert found[-1].reject_rate == pytest.approx(5 / 102)


# ---------------------------------------------------------------------- rejects


def test_the_tail_is_that_of_the_binomial_distribution() -> None:
    assert tail(1, 10, 0.05) == pytest.approx(1 - 0.95**10)
    assert tail(10, 10, 0.5) == pytest.approx(0.5**10)
    assert tail(8, 10, 0.5) == pytest.approx((45 + 10 + 1) / 1024)
    assert tail(200, 200, 0.9) == pytest.approx(0.9**200)
    assert tail(1, 200, 0.01) == 1.0  # fewer than expected: not worth the sum


def rejects(rate: float, count: int, seed: int = 1) -> list[bool]:
    order = random.Random(seed)
    return [order.random() < rate for _ in range(count)]


def test_as_many_rejects_as_expected_raise_nothing_in_ten_thousand_items() -> None:
    watched = RejectRate(RejectOptions(), 0.02)
    for reject in rejects(0.02, 10_000):
        watched.add(reject=reject)
        assert not watched.raised


def test_more_rejects_than_expected_raise_an_alert_and_their_end_clears_it() -> None:
    watched = RejectRate(RejectOptions(), 0.02)
    changes = []
    stream = [*rejects(0.02, 400), *rejects(0.15, 300), *rejects(0.02, 500)]
    for item, reject in enumerate(stream):
        if watched.add(reject=reject):
            changes.append((item, watched.raised))
    assert [raised for _, raised in changes] == [False, True, False]
    assert 400 < changes[1][0] < 400 + 150
    assert 700 < changes[2][0] < 700 + 250


def test_a_line_that_begins_with_nothing_but_rejects_is_told_of_before_the_window_is_full() -> None:
    watched = RejectRate(RejectOptions(), 0.02)
    for _ in range(5):
        watched.add(reject=True)
    assert watched.raised is True
