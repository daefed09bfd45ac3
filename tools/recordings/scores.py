"""Figures that tools/scoring/merit.py does not have: of classes, and of several runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tools.scoring.merit import alarms

if TYPE_CHECKING:
    from collections.abc import Sequence


def accuracy(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Return the share of right answers."""
    return float(np.mean(np.array(truths) == np.array(answers)))


def macro_f1(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Return the mean over classes of F1: a rare class counts as much as a common one."""
    truth, answer = np.array(truths), np.array(answers)
    return float(
        np.mean([alarms(truth == each, answer == each).f1 for each in sorted(set(truths))])
    )


def mean_and_spread(values: Sequence[float], digits: int = 2) -> str:
    """Return mean and standard deviation (of a sample) of a few runs, as they are printed."""
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} +- {spread:.{digits}f}"
