"""What each third of a ball screw's positions says when it is the one that tests.

Three or four positions are few: one figure of them is partly the luck of the draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.recordings.scores import mean_and_spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.scoring.report import Figure

# How the figures of ballscrew.figures begin, the longest first, and what they are called here.
KINDS = {
    "AUROC, hard, within each position": "AUROC, hard, within each position",
    "AUROC, hard": "AUROC, hard",
    "AUROC, one size": "AUROC, one size",
    "AUROC,": "AUROC, positions never seen",
}


def spread(splits: Sequence[Sequence[Figure]], models: Sequence[str]) -> list[Figure]:
    """Return mean, deviation and each split's value of the figures that end with one of `models`.

    `models`: such as "int8, whole".
    """
    found: dict[str, list[float]] = {}
    for figures in splits:
        for what, value in figures:
            kind = next((name for start, name in KINDS.items() if what.startswith(start)), None)
            model = next((name for name in models if what.endswith(name)), None)
            if kind and model:
                found.setdefault(f"{kind}, {model}", []).append(float(value))
    return [
        (
            f"{what}, {len(splits)} splits by position",
            f"{mean_and_spread(values, 3)} ({_each(values)})",
        )
        for what, values in found.items()
    ]


def _each(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
