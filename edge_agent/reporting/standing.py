"""How a pipeline stands, by the last report of its worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.processes.wire import PipelineReport


@dataclass(frozen=True, slots=True)
class Standing:
    """`config_rev`, `recipe`: what it follows; `restarts`: of its worker, after a death.

    `left`: how often it went from running to another state, also where that was over at once.
    `items`, `errors`: verdicts of all kinds and those of `error`, since it was started.
    """

    state: str
    detail: str
    restarts: int = 0
    config_rev: int = 0
    recipe: str = ""
    items: int = 0
    errors: int = 0
    left: int = 0


def standing(
    state: str, detail: str, restarts: int, left: int, report: PipelineReport | None
) -> Standing:
    """Return how a pipeline stands; without a report it has not been heard of."""
    if report is None:
        return Standing(state, detail, restarts, left=left)
    items = sum(n for name, n in report.totals.items() if name.startswith("verdicts_"))
    errors = report.totals.get("verdicts_error", 0)
    return Standing(state, detail, restarts, report.config_rev, report.recipe, items, errors, left)
