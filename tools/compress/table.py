"""The table of all variants, and which of them is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.compress.measure import Latency
    from tools.compress.scoring import Metric
    from tools.compress.tflite_file import Weights
    from tools.compress.variants import Variant

HEADINGS = (
    *("model", "stored as", "kB", "zipped", "weights", "zeros"),
    *("validation", "lost", "test", "lost", "p50 ms", "p95 ms", ""),
)
CHOSEN = "<- chosen"
# Files that differ by less are as good as equal: what they lose and take then decides.
NEAR = 1.02


@dataclass(frozen=True, slots=True)
class Row:
    """A variant and what was measured of it; `validation` and `test` in the metric's unit."""

    variant: Variant
    zipped: int
    weights: Weights
    validation: float
    test: float
    latency: Latency


def smallest(rows: Sequence[Row], metric: Metric, loss_allowed: float) -> Row:
    """Return the smallest file that loses no more on the validation part than is allowed.

    Of files that are about as small, the one that loses least, and of these the fastest. The first
    row is the model as given, in float, which loses nothing.
    """
    lost = {id(row): metric.lost(rows[0].validation, row.validation) for row in rows}
    allowed = [row for row in rows if lost[id(row)] <= loss_allowed]
    least = min(len(row.variant.model) for row in allowed)
    small = [row for row in allowed if len(row.variant.model) <= NEAR * least]
    return min(small, key=lambda row: (lost[id(row)], row.latency.p50_ms, row.zipped))


def table(
    rows: Sequence[Row], stopped: Sequence[Variant], metric: Metric, chosen: Row
) -> list[str]:
    """Return the lines of a Markdown table, and a line for each variant that was stopped."""
    unit = "points" if metric.name in {"accuracy", "auroc"} else "%"
    headings = [f"lost, {unit}" if name == "lost" else name for name in HEADINGS]
    cells = [headings, *(_cells(row, rows[0], metric, row is chosen) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(headings))]
    lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines + [f"stopped: {v.shape}, {v.precision}: {v.failure}" for v in stopped]


def _cells(row: Row, whole: Row, metric: Metric, chosen: bool) -> list[str]:  # noqa: FBT001
    share = row.weights.zeros / row.weights.count if row.weights.count else 0.0
    return [
        row.variant.shape,
        row.variant.precision,
        f"{len(row.variant.model) / 1e3:.1f}",
        f"{row.zipped / 1e3:.1f}",
        str(row.weights.count),
        f"{share:.0%}",
        metric.text(row.validation),
        f"{metric.lost(whole.validation, row.validation):+.2f}",
        metric.text(row.test),
        f"{metric.lost(whole.test, row.test):+.2f}",
        f"{row.latency.p50_ms:.3f}",
        f"{row.latency.p95_ms:.3f}",
        CHOSEN if chosen else "",
    ]
