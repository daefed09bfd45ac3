"""A threshold out of the scores of good parts, whatever the model."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from edge_agent.inference.calibration import prediction_factor
from edge_agent.inference.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

# Scores that happen to be all alike leave this much room: of the old limit's distance from them.
ROOM_MIN = 0.05
# How much of the way the zone of `uncertain` may take where only its width is kept.
ZONE_MOST = 0.5


def from_good(
    rule: object, scores: Sequence[float], false_reject: float
) -> dict[str, float | None] | None:
    """Return `fail_at` (and `pass_at`) so that good parts fail in `false_reject` of all cases.

    `scores`: of good parts, 5 or more. The limit lies where the next good part hardly ever comes
    (calibration.prediction_factor), and the zone of `uncertain` keeps its share of the way there;
    its width, where good parts lie beyond it: the old limits say nothing of the way then.
    None: the rule has no such limits.
    """
    if not isinstance(rule, Limits):
        return None
    sign = 1.0 if rule.direction == "above" else -1.0
    mean, spread = statistics.fmean(scores), statistics.stdev(scores)
    old_room = abs(rule.fail_at - mean)
    room = max(prediction_factor(len(scores), false_reject) * spread, ROOM_MIN * old_room)
    fail_at = mean + sign * room
    if rule.pass_at is None:
        return {"fail_at": fail_at, "pass_at": None}
    return {"fail_at": fail_at, "pass_at": fail_at - sign * _zone(rule, mean, room)}


def _zone(rule: Limits, mean: float, room: float) -> float:
    """Return the new width of `uncertain`; `room`: from the good parts' mean to `fail_at`."""
    if rule.pass_at is None:
        return 0.0
    sign = 1.0 if rule.direction == "above" else -1.0
    width, way = abs(rule.fail_at - rule.pass_at), sign * (rule.fail_at - mean)
    if sign * (rule.pass_at - mean) > 0:
        return room * width / way
    return min(width, ZONE_MOST * room)
