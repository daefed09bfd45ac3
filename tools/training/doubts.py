"""What a recipe must say instead of "is ready": its model does worse than it was asked to."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from tools.training.data_checks import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

# Chance aside, more than so many times what was asked for is another model than was asked for.
FAR_MORE = 2.0
# A rule that leaves more than this share of items uncertain decides nothing.
UNCERTAIN_MOST = 0.5
# A model whose error is not lower than another answer's by this share is not worth its trouble.
LEAST_GAIN = 0.05
# So much AUROC two draws of the same photos differ; more is what int8 takes away.
AUROC_MOST_LOST = 0.03
# So far int8 may move the median score of good photos.
SHIFT_MOST = 0.05
ON_GATEWAY = "calibrate on the gateway (`edge-agent calibrate PIPELINE`)"
CALIBRATE = f", or {ON_GATEWAY}"


def rejects(
    what: str, reached: NDArray[np.bool_], asked: float, *, can_calibrate: bool = False
) -> Iterator[Finding]:
    """Doubt a limit that far more of `what`, good photos held out, reach than were asked for.

    `can_calibrate`: the gateway can measure the model against good parts of its own.
    """
    advice = (
        "they look unlike those that the limit was found on. Name with --group what belongs "
        f"together, show it more photos{CALIBRATE if can_calibrate else ''}"
    )
    yield from _far_more(what, "fail", reached, asked, advice)


def by_rule(
    passed: NDArray[np.bool_], failed: NDArray[np.bool_], bad: NDArray[np.bool_], asked: float
) -> Iterator[Finding]:
    """Doubt the rule of a classifier of windows, by what it says of test windows of known truth.

    `asked`: the share of good ones that may fail, and of bad ones that may pass.
    """
    advice = (
        "other machines look unlike those that the limits were found on. Record more machines, and "
        "name their column with --unit"
    )
    yield from _far_more("good test windows", "fail", failed[~bad], asked, advice)
    yield from _far_more("bad test windows", "pass", passed[bad], asked, advice)
    unsure = ~(passed | failed)
    if unsure.mean() > UNCERTAIN_MOST:
        yield Finding(
            "warning",
            f"{unsure.sum()} of {len(unsure)} test windows ({unsure.mean():.0%}) are uncertain: by "
            "the limits in its manifest the model decides little. Record more machines, or train "
            "longer with --epochs and --patience",
        )


def false_alarms(alarmed: NDArray[np.bool_], asked: float) -> Iterator[Finding]:
    """Doubt a threshold that far more good test windows exceed than `asked`, a share."""
    advice = (
        "they look unlike those that the threshold was found on. Record more machines, name their "
        f"column with --unit, or {ON_GATEWAY}"
    )
    yield from _far_more("good test windows", "exceed the threshold", alarmed, asked, advice)


def tells_little(measured: float, trivial: float) -> Iterator[Finding]:
    """Doubt a model whose AUROC is below that of one that always answers zero."""
    if measured < trivial:
        yield Finding(
            "warning",
            f"AUROC on test windows is {measured:.3f}, and {trivial:.3f} without any model, by how "
            "far from its mean everything lies: the model adds nothing",
        )


def learned_nothing(rmse: float, trivial: Mapping[str, float]) -> Iterator[Finding]:
    """Doubt a model whose error on test windows is hardly below that of an answer without one.

    `trivial`: such answers in words, and their errors.
    """
    answer = min(trivial, key=trivial.__getitem__)
    if rmse > (1 - LEAST_GAIN) * trivial[answer]:
        yield Finding(
            "warning",
            f"RMSE on test windows is {rmse:.4g}, and {trivial[answer]:.4g} without any model for "
            f"whoever says {answer}: do not use this one. Record more, or other channels",
        )


def guesses(right: int, of: int, commonest: int) -> Iterator[Finding]:
    """Doubt a classifier with as many `right` as always saying the `commonest` class would have.

    Where the test part holds that class alone, which the split has warned of, nothing can be told.
    """
    share = commonest / of
    if commonest < of and right / of <= share + sqrt(share * (1 - share) / of):
        yield Finding(
            "warning",
            f"{right} of {of} test windows are told right, and {commonest} by always saying the "
            "commonest class: these channels do not tell the classes apart. Record other ones, or "
            "take longer windows with --samples",
        )


def lost_by_int8(measure: str, whole: float, int8: float) -> Iterator[Finding]:
    """Doubt an int8 model whose AUROC (`measure` says of what) lies far below the float one's."""
    if whole - int8 > AUROC_MOST_LOST:
        yield Finding(
            "warning",
            f"{measure} is {int8:.3f} in int8 and {whole:.3f} in float: int8 is too coarse for "
            "what tells these photos apart. Train once more with --precision float32",
        )


def moved_by_int8(shift: float) -> Iterator[Finding]:
    """Doubt a bundle whose scores of good photos are not those that the limit was found with.

    `shift`: the median of the one over the other, less 1.
    """
    if abs(shift) > SHIFT_MOST:
        yield Finding(
            "warning",
            f"the bundled model scores good photos {shift:+.0%} beside what the limit was found "
            f"with: int8 moves it. Train once more with --precision float32{CALIBRATE}",
        )


def _far_more(
    what: str, does: str, reached: NDArray[np.bool_], asked: float, advice: str
) -> Iterator[Finding]:
    count, of = int(reached.sum()), len(reached)
    if count > max(most_by_chance(of, asked), FAR_MORE * asked * of):
        yield Finding(
            "warning",
            f"{count} of {of} {what} ({count / of:.0%}) {does}, where {asked:.1%} was asked for: "
            f"{advice}",
        )


def most_by_chance(of: int, share: float) -> float:
    """Return how many `of` items may do what the `share` does: three deviations, and one more."""
    return of * share + 3 * sqrt(of * share * (1 - share)) + 1


def on_card(doubts: Sequence[Finding]) -> str:
    """Return the doubts as a paragraph of a card each."""
    return "".join(f"\n\n**Warning** {doubt.text}." for doubt in doubts)
