"""First runs of a model that was just loaded: they take longer than all that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np

    from edge_agent.inference.model import Model
else:
    np = lazy_module("numpy")

RUNS = 3


def warm(model: Model) -> None:
    """Run the model on zeros; a size that may vary is 1. Raises ModelError."""
    zeros = {
        spec.name: np.zeros([max(1, size) for size in spec.shape], np.dtype(spec.dtype))
        for spec in model.backend.inputs
    }
    for _ in range(RUNS):
        model.backend.run(zeros)
