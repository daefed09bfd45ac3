"""From scores of items whose truth is known to the limits of a threshold rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Limits are written with so many digits, and stay so far from the ends of a probability.
DIGITS = 3
MARGIN = 0.01


def limits(
    scores: NDArray[np.floating], bad: NDArray[np.bool_], false_rejects: float = 0.02
) -> tuple[float, float]:
    """Return (pass_at, fail_at) for scores 0..1 of items that training did not see.

    At most the share `false_rejects` of the good ones reach `fail_at`, and of the bad ones at most
    the same share stays below `pass_at`; what lies between is uncertain. Where the classes are
    parted so well that the limits would cross, both lie in the middle of the gap.
    """
    good, wrong = np.sort(scores[~bad]), np.sort(scores[bad])
    fail_at = _above(good, 1 - false_rejects)
    pass_at = float(wrong[int(np.floor(false_rejects * len(wrong)))])
    if pass_at >= fail_at:
        middle = (max(good[-1], fail_at) + min(wrong[0], pass_at)) / 2
        pass_at = fail_at = round(float(np.clip(middle, fail_at, pass_at)), DIGITS)
    # Rounded outwards: neither share may grow.
    fine = 10**DIGITS
    pass_at, fail_at = np.floor(pass_at * fine) / fine, np.ceil(fail_at * fine) / fine
    low, high = MARGIN, 1 - MARGIN
    return float(np.clip(pass_at, low, high)), float(np.clip(fail_at, low, high))


def _above(ordered: NDArray[np.floating], share: float) -> float:
    """Return a limit that `share` of the ordered scores stay below."""
    index = min(len(ordered) - 1, int(np.ceil(share * len(ordered))) - 1)
    return float(ordered[index]) + 1e-6
