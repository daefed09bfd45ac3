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
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: wanted is a number above 0")
    return value
