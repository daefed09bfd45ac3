"""Numbers that options of the recipes take: what cannot be is refused before anything is read."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    """Return a whole number of rows, windows or epochs: 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: wanted is a whole number, 1 or more")
    return value


def above_zero(text: str) -> float:
    """Return a finite number above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: wanted is a number above 0")
    return value


def share(text: str) -> float:
    """Return a share: from 0 to less than 1."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: wanted is a share below 1, as 0.02")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
