"""Figures of classes and runs, and the scores of the study of SKAB."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tools.recording_files import series
from tools import study_skab
from tools.recordings.scores import accuracy, macro_f1, mean_and_spread
from tools.recordings.series import Series


def test_figures_of_classes_and_of_runs() -> None:
    truths, answers = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    assert accuracy(truths, answers) == 0.75
    assert macro_f1(truths, answers) == pytest.approx((0.8 + 2 / 3) / 2)
    assert mean_and_spread([1.0, 3.0]) == "2.00 +- 1.41"
    assert mean_and_spread([2.0]) == "2.00 +- 0.00"


@pytest.mark.parametrize(
    "score", [study_skab.residual_score, study_skab.unscaled_score, study_skab.t2_score]
)
def test_a_causal_score_does_not_change_with_what_comes_later(score: study_skab.Score) -> None:
    rows = np.random.default_rng(3).normal(size=(600, 4))
    later = rows.copy()
    later[500:] += 9
    np.testing.assert_allclose(score(later)[:500], score(rows)[:500])
    assert (score(later)[505:] > score(rows)[:500].max()).mean() > 0.9


def test_the_score_that_looks_ahead_does_change() -> None:
    rows = np.random.default_rng(3).normal(size=(600, 4))
    later = rows.copy()
    later[500:] += 9
    changed = study_skab.centred_score(later)[:500] != study_skab.centred_score(rows)[:500]
    assert np.flatnonzero(changed)[0] == 500 - study_skab.WINDOW // 2


def test_alarms_count_from_the_end_of_the_calibration_on() -> None:
    rows = np.random.default_rng(4).normal(size=(500, 1))
    rows[450:] += 20
    one = series(rows)
    bad = (np.arange(500) >= 450).astype(float)
    labelled = Series(one.group, one.file, one.channels, rows, one.lines, None, bad)
    found = study_skab.judged([labelled], lambda values: np.abs(values[:, 0]))
    assert (found.f1, found.mar) == (1.0, 0.0)
    always = study_skab.judged([labelled], lambda values: np.full(len(values), np.inf))
    assert (always.far, always.mar) == (1.0, 0.0)


def test_a_model_that_gives_back_what_it_sees_leaves_nothing() -> None:
    rows = np.random.default_rng(5).normal(size=(450, 2))
    assert study_skab.residual_score(rows, reconstruct=lambda scaled: scaled).max() == 0.0
