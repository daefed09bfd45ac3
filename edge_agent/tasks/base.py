"""What a task is: `prepare` an item for the model, `interpret` what the model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edge_agent.types import Item, Prediction, Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The model's tensors, and its labels by class index (empty where it has none).

    `roi`: left, top, width, height in pixels of the picture: the part of it that is inspected.
    Coordinates in a Prediction are always those of the whole picture.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    roi: tuple[int, int, int, int] | None = None


class Task(Protocol):
    """Driven by the manifest alone; works on every backend."""

    def prepare(self, item: Item) -> Tensors:
        """Return an array per model input, in its dtype and shape. Raises BadInput (`nan`, ...)."""

    def interpret(self, outputs: Tensors, item: Item) -> Prediction:
        """Return what the model says of `item`. Raises BadInput("nan_output")."""
