"""What the answers to labelled items amount to: figures, thresholds for a chosen rate, pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tools.scoring import merit, plots
from tools.scoring.report import confusion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tools.scoring.judged import Judged, Judgement
    from tools.scoring.plots import Pixels
    from tools.scoring.report import Figure

    Mask = NDArray[np.bool_]
    Scores = NDArray[np.float64]

# Beyond this many classes the confusion is left to the picture.
CLASSES_PRINTED = 12
NONE_SO_HIGH = "none: more of the good items have the highest score that there is"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for. `good`: labels of good items; rates: what the thresholds may cost."""

    good: frozenset[str]
    false_reject: float | None = None
    escape: float | None = None
    likely: bool = False
    """Whether the score is a likelihood, 0..1, so that its reliability can be judged."""
    most: float = math.inf
    """The highest score that the model gives: a threshold above it would be none."""


def classes(found: Judgement, labels: Sequence[str]) -> Iterator[Figure]:
    """Yield how often the class is right, beside the share of the commonest class."""
    truths, answers = found.truths(), [each.answer for each in found.answers]
    right = np.array(truths) == np.array(answers)
    yield (f"accuracy, {len(right)} items", f"{right.mean():.2%}")
    yield (
        "accuracy of always saying the commonest class",
        _percent(merit.share_right_at_best(truths)),
    )
    known = list(dict.fromkeys([*labels, *sorted(set(truths))]))
    recalls = []
    for label in known:
        here, said = np.array(truths) == label, np.array(answers) == label
        each = merit.alarms(here, said)
        if here.any():
            recalls.append(each.recall)
        words = f"{_percent(each.recall)} / {_percent(each.precision)} / {each.f1:.3f}"
        yield (f"{label} ({here.sum()}): recall / precision / F1", words)
    yield ("mean recall of the classes", f"{np.mean(recalls):.2%}")
    if len(known) <= CLASSES_PRINTED:
        yield from confusion(truths, answers, known)


def good_and_bad(found: Judgement, wanted: Wanted, fail_at: float) -> Iterator[Figure]:
    """Yield how well scores part bad items from good ones, and what the limits do."""
    scores, bad = found.scores(), _bad(found, wanted)
    if bad.all() or not bad.any():
        yield ("good and bad", f"all {len(bad)} items are {'bad' if bad.all() else 'good'}")
        return
    yield ("items, good / bad", f"{(~bad).sum()} / {bad.sum()}")
    yield ("AUROC, bad against good", f"{merit.auroc(bad, scores):.4f}")
    yield ("average precision", f"{merit.average_precision(bad, scores):.4f}")
    yield from _alarms(f"score of {fail_at:g} or more", merit.alarms(bad, scores >= fail_at))
    failed = np.array([each.outcome == "fail" for each in found.answers])
    if (failed != (scores >= fail_at)).any():
        yield from _alarms("outcome fail of the rule", merit.alarms(bad, failed))
    uncertain = np.mean([each.outcome == "uncertain" for each in found.answers])
    yield ("outcome uncertain", _percent(float(uncertain)))
    yield ("F1 of flagging everything", f"{merit.alarms(bad, np.ones_like(bad)).f1:.3f}")
    yield from _calibration(scores, bad, wanted)


def numbers(found: Judgement) -> Iterator[Figure]:
    """Yield the errors of a regression, beside those of always saying the mean."""
    yield from _errors("all items", found.answers)
    last = [each for each in found.answers if each.last_of_group]
    if len(last) not in {0, len(found.answers)}:
        yield from _errors("last of each machine", last)


def pictures(
    found: Judgement, wanted: Wanted, labels: Sequence[str]
) -> Iterator[tuple[str, Pixels]]:
    """Yield file names and plots of what was asked for."""
    scores = found.scores()
    if isinstance(found.answers[0].truth, float):
        yield "predicted_and_true.png", _scatter(found, scores)
        return
    if any(each.answer for each in found.answers) and labels:
        yield "confusion.png", _confusion(found, labels)
    bad = _bad(found, wanted)
    if wanted.good and bad.any() and not bad.all():
        yield "scores.png", _spread(scores, bad)
        yield from _curves(scores, bad)
        if wanted.likely:
            yield "reliability.png", _reliability(scores, bad)
    for truth, tiles in sorted(found.misses.items()):
        safe = "".join(letter if letter.isalnum() else "_" for letter in truth)
        yield f"misses_{safe}.png", plots.sheet(f"{truth}, not seen as such", tiles)


def _alarms(what: str, found: merit.Alarms) -> Iterator[Figure]:
    yield (
        f"F1 / precision / recall, {what}",
        f"{found.f1:.3f} / {found.precision:.3f} / {found.recall:.3f}",
    )
    yield (f"FAR / MAR, {what}", f"{_percent(found.far)} / {_percent(found.mar)}")


def _calibration(scores: Scores, bad: Mask, wanted: Wanted) -> Iterator[Figure]:
    if wanted.false_reject is not None:
        at = merit.threshold_for_false_reject(scores[~bad], wanted.false_reject)
        words = _costs(scores, bad, at) if at <= wanted.most else NONE_SO_HIGH
        # Of n good items none need be rejected; that says little of a rate below 1 in n.
        few = " (too few good items to tell)" if wanted.false_reject * (~bad).sum() < 1 else ""
        yield (f"fail_at for {wanted.false_reject:.3%} false rejects{few}", words)
    if wanted.escape is not None:
        at = merit.threshold_for_escape(scores[bad], wanted.escape)
        few = " (too few bad items to tell)" if wanted.escape * bad.sum() < 1 else ""
        yield (f"fail_at for {wanted.escape:.3%} escapes{few}", _costs(scores, bad, at))
    if wanted.likely:
        bins = merit.reliability(scores, bad)
        error = merit.expected_calibration_error(bins)
        yield ("calibration error of the score as likelihood", f"{error:.4f}")


def _costs(scores: Scores, bad: Mask, at: float) -> str:
    found = merit.alarms(bad, scores >= at)
    return f"{at:.6g}: FAR {_percent(found.far)}, MAR {_percent(found.mar)}"


def _errors(what: str, answers: Sequence[Judged]) -> Iterator[Figure]:
    truths = np.array([each.truth for each in answers], np.float64)
    errors = np.array([each.score for each in answers]) - truths
    yield (f"RMSE, {what} ({len(errors)})", f"{merit.rmse(errors):.4g}")
    yield (f"RMSE of always saying their mean, {what}", f"{truths.std():.4g}")
    yield (
        f"mean absolute error / bias, {what}",
        f"{np.abs(errors).mean():.4g} / {errors.mean():+.4g}",
    )
    yield (f"NASA score, {what}", f"{merit.nasa_score(errors):.0f}")


def _scatter(found: Judgement, scores: Scores) -> Pixels:
    truths = np.array([each.truth for each in found.answers], np.float64)
    low, high = float(min(truths.min(), scores.min())), float(max(truths.max(), scores.max()))
    ends = np.array([low, high if high > low else low + 1])
    axes = plots.Axes("predicted against true", "true", "predicted", (low, ends[1]), (low, ends[1]))
    dots = plots.Curve(truths, scores, colour=plots.BLUE, dots=True)
    return plots.curves(axes, [dots, plots.Curve(ends, ends, colour=plots.GREY)])


def _confusion(found: Judgement, labels: Sequence[str]) -> Pixels:
    truths, answers = found.truths(), [each.answer for each in found.answers]
    known = list(dict.fromkeys([*labels, *sorted(set(truths))]))
    counts = np.zeros((len(known), len(known)), np.int64)
    for truth, answer in zip(truths, answers, strict=True):
        if answer in known:
            counts[known.index(truth), known.index(answer)] += 1
    return plots.matrix("confusion", known, counts)


def _spread(scores: Scores, bad: Mask) -> Pixels:
    low, high = float(scores.min()), float(scores.max())
    axes = plots.Axes("scores", "score", "share", (low, high if high > low else low + 1))
    return plots.histogram(axes, [("good", scores[~bad]), ("bad", scores[bad])])


def _curves(scores: Scores, bad: Mask) -> Iterator[tuple[str, Pixels]]:
    far, hits = merit.roc(bad, scores)
    axes = plots.Axes(f"ROC, area {merit.auroc(bad, scores):.4f}", "false alarm rate", "found")
    diagonal = plots.Curve(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "chance", plots.GREY)
    yield "roc.png", plots.curves(axes, [plots.Curve(far, hits, "model"), diagonal])
    recall, precision = merit.precision_recall(bad, scores)
    share = np.full(2, bad.mean())
    axes = plots.Axes(
        f"precision and recall, average {merit.average_precision(bad, scores):.4f}",
        "recall",
        "precision",
    )
    flat = plots.Curve(np.array([0.0, 1.0]), share, "flag everything", plots.GREY)
    yield (
        "precision_recall.png",
        plots.curves(axes, [plots.Curve(recall, precision, "model"), flat]),
    )


def _reliability(scores: Scores, bad: Mask) -> Pixels:
    bins = merit.reliability(scores, bad)
    said, was = np.array([each.said for each in bins]), np.array([each.was for each in bins])
    axes = plots.Axes("reliability", "score", "share that is bad")
    diagonal = plots.Curve(
        np.array([0.0, 1.0]), np.array([0.0, 1.0]), "as it should be", plots.GREY
    )
    return plots.curves(
        axes, [plots.Curve(said, was, "model"), plots.Curve(said, was, dots=True), diagonal]
    )


def _bad(found: Judgement, wanted: Wanted) -> Mask:
    return np.array([truth not in wanted.good for truth in found.truths()])


def _percent(share: float) -> str:
    return f"{share:.2%}"
