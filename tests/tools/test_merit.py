"""Figures of merit, against what they are by definition; thresholds, against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tools.scoring import merit

BAD = np.array([False, False, True, False, True, True])
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.8, 0.9])
SOME_SCORES = arrays(np.float64, st.integers(1, 60), elements=st.integers(-20, 20).map(float))


def test_alarms_are_shares_of_the_good_and_of_the_bad() -> None:
    found = merit.alarms(BAD, SCORES >= 0.5)
    assert [found.far, found.mar] == pytest.approx([1 / 3, 1 / 3])
    assert [found.precision, found.recall] == pytest.approx([2 / 3, 2 / 3])
    assert found.f1 == pytest.approx(2 / 3)
    everything = merit.alarms(BAD, np.ones(6, bool))
    assert [everything.far, everything.mar, everything.f1] == pytest.approx([1.0, 0.0, 2 / 3])
    assert merit.alarms(BAD, np.zeros(6, bool)).f1 == 0.0


def test_average_precision_is_the_mean_precision_at_each_hit() -> None:
    # Thresholds .9, .8, .4, .35, .1: recall 1/3, 2/3, 2/3, 1, 1; precision 1, 2/3, 2/4, 3/5, 3/6.
    wanted = (1 / 3) * 1 + (1 / 3) * (2 / 3) + (1 / 3) * (3 / 5)
    assert merit.average_precision(BAD, SCORES) == pytest.approx(wanted)
    assert merit.average_precision(BAD, BAD.astype(float)) == 1.0


def test_the_area_under_the_roc_curve_is_the_auroc() -> None:
    rng = np.random.default_rng(1)
    bad, scores = rng.random(300) < 0.3, np.round(rng.random(300), 1)
    far, hits = merit.roc(bad, scores)
    assert (far[0], hits[0], far[-1], hits[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert np.trapezoid(hits, far) == pytest.approx(merit.auroc(bad, scores))


@given(SOME_SCORES, st.floats(0, 0.999))
def test_a_threshold_for_false_rejects_costs_no_more_than_was_chosen(
    good: np.ndarray, rate: float
) -> None:
    at = merit.threshold_for_false_reject(good, rate)
    assert (good >= at).mean() <= rate + 1e-9
    # And no lower one would do: the next score below is one too many.
    below = good[good < at]
    if len(below):
        assert (good >= below.max()).mean() > rate - 1e-9


@given(SOME_SCORES, st.floats(0, 0.999))
def test_a_threshold_for_escapes_lets_no_more_pass_than_was_chosen(
    bad: np.ndarray, rate: float
) -> None:
    at = merit.threshold_for_escape(bad, rate)
    assert (bad < at).mean() <= rate + 1e-9
    above = bad[bad > at]
    if len(above):
        assert (bad < above.min()).mean() > rate - 1e-9


def test_reliability_holds_what_was_said_against_what_was() -> None:
    likely = np.array([0.05, 0.05, 0.95, 0.95, 1.0, 0.0])
    true = np.array([False, True, True, True, True, False])
    bins = merit.reliability(likely, true)
    assert [each.count for each in bins] == [3, 3]
    assert bins[0].said == pytest.approx(0.1 / 3)
    assert bins[0].was == pytest.approx(1 / 3)
    error = merit.expected_calibration_error(bins)
    assert error == pytest.approx(0.5 * (1 / 3 - 0.1 / 3) + 0.5 * (1 - 2.9 / 3))


def test_the_commonest_class_is_the_figure_to_beat() -> None:
    assert merit.share_right_at_best(["a", "b", "a", "a"]) == 0.75


def test_late_answers_cost_more_than_early_ones() -> None:
    assert merit.nasa_score(np.array([-13.0])) == pytest.approx(np.e - 1)
    assert merit.nasa_score(np.array([10.0])) == pytest.approx(np.e - 1)
    assert merit.rmse(np.array([3.0, -4.0])) == pytest.approx(np.sqrt(12.5))
