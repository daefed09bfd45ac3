"""Figures of merit from truths, scores and answers: pure functions on arrays, sources named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tools.scoring.report import auroc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]
    Scores = NDArray[np.floating]

__all__ = [
    "Alarms",
    "Bin",
    "alarms",
    "auroc",
    "average_precision",
    "expected_calibration_error",
    "nasa_score",
    "precision_recall",
    "reliability",
    "rmse",
    "roc",
    "share_right_at_best",
    "threshold_for_escape",
    "threshold_for_false_reject",
]


@dataclass(frozen=True, slots=True)
class Alarms:
    """What flagging does. FAR and MAR as SKAB counts them: shares of the good and of the bad."""

    f1: float
    precision: float
    recall: float
    far: float
    """False alarms: good items that are flagged, of the good. On a line: false rejects."""
    mar: float
    """Missed alarms: bad items that are not flagged, of the bad. On a line: escapes."""


def alarms(bad: Mask, flagged: Mask) -> Alarms:
    """Return what came of flagging; a share of nothing is NaN, F1 without any hit is 0."""
    hits = int((bad & flagged).sum())
    n_bad, n_flagged, n_good = int(bad.sum()), int(flagged.sum()), int((~bad).sum())
    return Alarms(
        f1=2 * hits / (n_bad + n_flagged) if n_bad + n_flagged else 0.0,
        precision=_share(hits, n_flagged),
        recall=_share(hits, n_bad),
        far=_share(n_flagged - hits, n_good),
        mar=_share(n_bad - hits, n_bad),
    )


def roc(bad: Mask, scores: Scores) -> tuple[Scores, Scores]:
    """Return false and true positive rates, both from 0 to 1, one point per distinct score."""
    hits, alarm_count = _cumulated(bad, scores)
    far = np.concatenate([[0.0], (alarm_count - hits) / max(1, int((~bad).sum()))])
    return far, np.concatenate([[0.0], hits / max(1, int(bad.sum()))])


def precision_recall(bad: Mask, scores: Scores) -> tuple[Scores, Scores]:
    """Return recall and precision, one point per distinct score, from the highest score on."""
    hits, alarm_count = _cumulated(bad, scores)
    return hits / max(1, int(bad.sum())), hits / alarm_count


def average_precision(bad: Mask, scores: Scores) -> float:
    """Return the sum of precisions weighted by the steps of recall; no interpolation."""
    recall, precision = precision_recall(bad, scores)
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def threshold_for_false_reject(good_scores: Scores, rate: float) -> float:
    """Return the lowest threshold that at most `rate` of the good reach.

    Halfway to the next lower score, so that a score that is the same but for noise stays good.
    """
    ordered = np.sort(np.asarray(good_scores, np.float64))[::-1]
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    if allowed >= len(ordered):
        return float(ordered[-1])
    # The first score that must stay good, and the lowest that may be rejected above it.
    stays = ordered[allowed]
    above = ordered[ordered > stays]
    return float((stays + above[-1]) / 2) if len(above) else float(np.nextafter(stays, np.inf))


def threshold_for_escape(bad_scores: Scores, rate: float) -> float:
    """Return the highest threshold that at most `rate` of the bad stay short of."""
    ordered = np.sort(np.asarray(bad_scores, np.float64))
    allowed = int(np.floor(rate * len(ordered) + 1e-9))
    return float(ordered[min(allowed, len(ordered) - 1)])


@dataclass(frozen=True, slots=True)
class Bin:
    """Items whose likelihood lies in one interval: what was said, and how often it was so."""

    said: float
    was: float
    count: int


def reliability(likely: Scores, true: Mask, bins: int = 10) -> list[Bin]:
    """Return the bins of equal width over 0..1 that hold items."""
    index = np.minimum((likely * bins).astype(int), bins - 1)
    return [
        Bin(float(likely[here].mean()), float(true[here].mean()), int(here.sum()))
        for number in range(bins)
        if (here := index == number).any()
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Return the mean distance of said and was, weighted by items (Guo et al., ICML 2017)."""
    total = sum(each.count for each in bins)
    return sum(abs(each.said - each.was) * each.count for each in bins) / total


def rmse(errors: Scores) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(errors))))


def nasa_score(errors: Scores) -> float:
    """Return the score of the PHM 2008 challenge, predicted less true: late is worse than early."""
    return float(np.where(errors < 0, np.expm1(-errors / 13), np.expm1(errors / 10)).sum())


def share_right_at_best(truths: Sequence[str]) -> float:
    """Return how often who always says the commonest class is right."""
    _, counts = np.unique(np.array(truths), return_counts=True)
    return float(counts.max() / counts.sum())


def _cumulated(bad: Mask, scores: Scores) -> tuple[Scores, Scores]:
    """Return hits and alarms for a threshold at each distinct score, the highest first."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    hits = np.cumsum(bad[order])[last]
    return hits.astype(np.float64), (np.flatnonzero(last) + 1).astype(np.float64)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
