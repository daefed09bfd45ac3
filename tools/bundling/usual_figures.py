"""What is usual for a model: the figures of good items as quantiles, for a manifest's `reference`.

They are measured by the agent's own code, in the way it measures what it inspects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent.monitoring.reference import quantiles_of
from edge_agent.monitoring.watch import picture_values
from edge_agent.pictures.figures import measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edge_agent.inference.model import Model
    from edge_agent.types import Frame

DIGITS = 5


def usual_pictures(model: Model, frames: Iterable[Frame]) -> dict[str, Any]:
    """Return the `reference` of a manifest from pictures of good parts."""
    return usual([figures_of(model, frame) for frame in frames])


def figures_of(model: Model, frame: Frame) -> dict[str, float]:
    """Return what drift looks at in one picture, its score among them."""
    outputs = model.backend.run(model.task.prepare(frame))
    score = model.task.interpret(outputs, frame).score
    return picture_values(measure(frame.pixels)) | {"score": score}


def usual(items: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the `reference` of a manifest from the figures of good items."""
    names = sorted({name for item in items for name in item})
    values = {name: [item[name] for item in items if name in item] for name in names}
    figures = {
        name: [float(f"{value:.{DIGITS}g}") for value in quantiles_of(found)]
        for name, found in values.items()
        if len(found) > len(items) // 2
    }
    return {"items": len(items), "figures": figures}
