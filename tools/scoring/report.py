"""Figures of merit, from scores and truths; and how they are printed and kept in a model's card."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# A line of a report: what was measured on what, and the value with its unit.
Figure = tuple[str, str]


def auroc(bad: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Return the chance that a bad item scores above a good one; equal scores count half."""
    _, rank, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    n_bad, n_good = int(bad.sum()), int((~bad).sum())
    return float((mid_rank[rank][bad].sum() - n_bad * (n_bad + 1) / 2) / (n_bad * n_good))


def confusion(truths: Sequence[str], answers: Sequence[str], labels: Sequence[str]) -> list[Figure]:
    """Return per label how many of its items got which answer."""
    pairs = list(zip(truths, answers, strict=True))
    return [
        (
            f"{truth}, answered as {' / '.join(labels)}",
            " / ".join(str(pairs.count((truth, answer))) for answer in labels),
        )
        for truth in labels
    ]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    rows = "".join(f"| {what} | {value} |\n" for what, value in figures)
    return f"| what | value |\n|---|---|\n{rows}"


def write_card(folder: Path, text: str, figures: Sequence[Figure], command: str) -> None:
    """Write card.md: `text`, then what `command` prints."""
    card = f"{text.strip()}\n\n## Measured\n\nBy `{command}`:\n\n{table(figures)}"
    (folder / "card.md").write_text(card, encoding="utf-8")
