"""Limits out of the scores of good parts."""

from __future__ import annotations

import pytest

from edge_agent.control import threshold
from edge_agent.rules.threshold import Options as Threshold


def test_a_threshold_keeps_its_side_and_its_zone() -> None:
    rule = Threshold(kind="threshold", fail_at=1.0, pass_at=0.5)
    found = threshold.from_good(rule, [0.0, 0.1, -0.1, 0.05, -0.05] * 4, 0.001)
    assert found is not None
    assert found["fail_at"] is not None
    assert 0.2 < found["fail_at"] < 0.5
    assert found["pass_at"] == pytest.approx(found["fail_at"] / 2)
    below = Threshold(kind="threshold", fail_at=1.0, direction="below")
    found = threshold.from_good(below, [5.0, 5.1, 4.9, 5.05, 4.95] * 4, 0.001)
    assert found is not None
    assert found["fail_at"] is not None
    assert 4.5 < found["fail_at"] < 4.9


@pytest.mark.parametrize("side", [1.0, -1.0], ids=["above", "below"])
@pytest.mark.parametrize(
    ("pass_at", "zone"), [(0.02, "kept"), (0.4, "kept"), (-9.0, "half of the way")]
)
def test_good_parts_beyond_the_old_zone_leave_it_its_width(
    side: float, pass_at: float, zone: str
) -> None:
    rule = Threshold(
        kind="threshold",
        fail_at=side * 0.5,
        pass_at=side * pass_at,
        direction="above" if side > 0 else "below",
    )
    scores = [side * score for score in (0.6, 1.0, 1.4, 0.8, 1.2) * 4]
    found = threshold.from_good(rule, scores, 0.001)
    assert found is not None
    fail_at, now_pass_at = found["fail_at"], found["pass_at"]
    assert fail_at is not None
    assert now_pass_at is not None
    way = side * fail_at - 1.0
    assert way > 0.5
    width = 0.5 - pass_at if zone == "kept" else way / 2
    assert side * (fail_at - now_pass_at) == pytest.approx(width)
