"""What a task is: `prepare` an item for the model, `interpret` what the model says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edge_agent.inference.limits import ANY_SCORE
from edge_agent.options import StrictOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.inference.calibration import Reduce
    from edge_agent.inference.calibration_file import Calibration
    from edge_agent.types import Item, Prediction, Tensors, TensorSpec


class TaskOptions(StrictOptions):
    """What the Options of every task are."""

    @property
    def score_range(self) -> tuple[float, float]:
        """Return the least and the greatest score that the task can give."""
        return ANY_SCORE


@dataclass(frozen=True, slots=True)
class TaskContext:
    """The model's tensors, and its labels by class index (empty where it has none).

    `roi`: left, top, width, height in pixels of the picture: the part of it that is inspected.
    Coordinates in a Prediction are always those of the whole picture. `calibration`: what is normal
    here, for tasks that can use it (Calibratable).
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    roi: tuple[int, int, int, int] | None = None
    calibration: Calibration | None = None


class Task(Protocol):
    """Driven by the manifest alone; works on every backend."""

    def prepare(self, item: Item) -> Tensors:
        """Return an array per model input, in its dtype and shape. Raises BadInput (`nan`, ...)."""

    def interpret(self, outputs: Tensors, item: Item) -> Prediction:
        """Return what the model says of `item`. Raises BadInput("nan_output")."""


@runtime_checkable
class Calibratable(Protocol):
    """A task whose scores can be measured against good parts of one place."""

    reduce: Reduce

    def cells(self, outputs: Tensors, item: Item) -> NDArray[np.float32]:
        """Return what the model says of each place of `item`, in one shape for all items."""
