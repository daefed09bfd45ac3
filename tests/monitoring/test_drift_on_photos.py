"""The shipped ball screw model's reference, on photos of positions that it was not made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.drift import BUNDLE, CHANGES, Trial

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def trials() -> list[Trial]:
    return []


@pytest.fixture
def trial(shared_data: Path, trials: list[Trial]) -> Trial:
    """Judge each photo once for all tests."""
    folder = shared_data / "bsdata"
    if not folder.is_dir():
        pytest.skip("../shared/data/bsdata is absent")
    if not trials:
        trials.append(Trial(BUNDLE, folder))
    return trials[0]


def test_two_thousand_clean_photos_raise_no_alert_of_all_positions_or_of_one(trial: Trial) -> None:
    assert all(trial.clean())


def test_darker_blurred_and_shifted_photos_raise_the_alert_within_200(trial: Trial) -> None:
    assert len(CHANGES) == 3
    assert all(trial.changed())
