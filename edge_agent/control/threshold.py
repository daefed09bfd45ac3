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


def from_good(
    rule: object, scores: Sequence[float], false_reject: float
) -> dict[str, float | None] | None:
    """Return `fail_at` (and `pass_at`) so that good parts fail in `false_reject` of all cases.

    `scores`: of good parts, 5 or more. The limit lies where the next good part hardly ever comes
    (calibration.prediction_factor), and the zone of `uncertain` keeps its share of the way there.
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
    share = min(1.0, abs(rule.pass_at - mean) / old_room) if old_room else 1.0
    return {"fail_at": fail_at, "pass_at": mean + sign * room * share}
