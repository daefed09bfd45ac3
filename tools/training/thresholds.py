"""From scores of items whose truth is known to the limits of a threshold rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.calibration import prediction_factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Scores = NDArray[np.floating]

# Limits are written with so many digits, and stay so far from the ends of a probability.
DIGITS = 3
MARGIN = 0.01
# Of the places, parts or days that come later so many may lie beyond what those at hand foretell.
BEYOND = 0.2
# Where no class is good, a verdict is about how sure the model is of the best one.
UNSURE: dict[str, Any] = {
    "kind": "threshold",
    "direction": "below",
    "fail_at": 0.4,
    "pass_at": 0.6,
}


def limits(
    scores: Scores,
    bad: NDArray[np.bool_],
    false_rejects: float = 0.02,
    groups: Sequence[str] | None = None,
) -> tuple[float, float]:
    """Return (pass_at, fail_at) for scores 0..1 of items that training did not see.

    At most the share `false_rejects` of the good ones reach `fail_at`, and of the bad ones at most
    the same share stays below `pass_at`; what lies between is uncertain. Where the classes are
    parted so well that the limits would cross, both lie in the middle of the gap.

    `groups`: what each item belongs to. Groups differ from each other more than the items of one,
    and those that come later are other ones: `fail_at` then also holds for four of five new groups,
    by how those at hand differ.
    """
    good, wrong = np.sort(scores[~bad]), np.sort(scores[bad])
    fail_at = _above(good, 1 - false_rejects)
    if groups is not None:
        of_good = [group for group, is_bad in zip(groups, bad.tolist(), strict=True) if not is_bad]
        fail_at = max(fail_at, of_new_groups(scores[~bad], of_good, false_rejects))
    pass_at = float(wrong[int(np.floor(false_rejects * len(wrong)))])
    if pass_at >= fail_at:
        middle = (max(good[-1], fail_at) + min(wrong[0], pass_at)) / 2
        pass_at = fail_at = round(float(np.clip(middle, fail_at, pass_at)), DIGITS)
    # Rounded outwards: neither share may grow.
    fine = 10**DIGITS
    pass_at, fail_at = np.floor(pass_at * fine) / fine, np.ceil(fail_at * fine) / fine
    low, high = MARGIN, 1 - MARGIN
    return float(np.clip(pass_at, low, high)), float(np.clip(fail_at, low, high))


def of_new_groups(good: Scores, groups: Sequence[str], share: float) -> float:
    """Return the limit that the `share` of good items of a group not at hand stays below, likely.

    Each group at hand has a limit of its own; the next one's lies below a prediction limit of their
    logits (normal, Student's t). A single group foretells nothing: 0.
    """
    names = np.array(groups)
    each = [_above(np.sort(good[names == name]), 1 - share) for name in np.unique(names)]
    if len(each) < 2:
        return 0.0
    near = np.clip(np.array(each, np.float64), 1e-6, 1 - 1e-6)
    logits = np.log(near / (1 - near))
    limit = logits.mean() + prediction_factor(len(each), BEYOND) * logits.std(ddof=1)
    return float(1 / (1 + np.exp(-limit)))


def _above(ordered: Scores, share: float) -> float:
    """Return a limit that `share` of the ordered scores stay below."""
    index = min(len(ordered) - 1, int(np.ceil(share * len(ordered))) - 1)
    return float(ordered[index]) + 1e-6
