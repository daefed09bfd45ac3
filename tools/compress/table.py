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
    *("validation", "test", "lost", "p50 ms", "p95 ms", ""),
)
CHOSEN = "<- chosen"


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

    The first row is the model as given, in float, which loses nothing.
    """
    whole = rows[0].validation
    allowed = [row for row in rows if metric.lost(whole, row.validation) <= loss_allowed]
    return min(allowed, key=lambda row: (len(row.variant.model), row.zipped))


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
        metric.text(row.test),
        f"{metric.lost(whole.test, row.test):+.2f}",
        f"{row.latency.p50_ms:.3f}",
        f"{row.latency.p95_ms:.3f}",
        CHOSEN if chosen else "",
    ]
