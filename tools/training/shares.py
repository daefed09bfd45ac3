"""Options that are a share: refused as they are read, not after a training."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def add_false_reject(
    parser: argparse.ArgumentParser,
    default: float,
    whose: str = "good parts",
    *,
    kind: Callable[[str], float] | None = None,
) -> None:
    """Add --false-reject; `kind`: what reads it, if not every share from 0 to 1 will do."""
    parser.add_argument(
        "--false-reject",
        type=kind or share,
        default=default,
        metavar="SHARE",
        help=f"share of {whose} that may fail",
    )


def share(text: str) -> float:
    """Return a share from 0 to 1; all of them is none to find a limit by."""
    return _within(text, lambda value: 0 <= value < 1, "a share from 0 to 1")


def small_share(text: str) -> float:
    """Return a share for a limit that is foretold: neither none nor half of them."""
    return _within(text, lambda value: 0 < value < 0.5, "a share above 0 and below 0.5")


def _within(text: str, fits: Callable[[float], bool], wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not fits(value):
        raise argparse.ArgumentTypeError(f"{text}: wanted is {wanted}, as in 0.02")
    return value
