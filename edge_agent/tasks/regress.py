"""A quantity with a unit, such as remaining useful life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.errors import ModelError
from edge_agent.inference.limits import ANY_SCORE
from edge_agent.inference.outputs import output_named, read_output, values_per_item
from edge_agent.inference.prepare import preparer
from edge_agent.inference.preprocess import Preprocess
from edge_agent.options import StrictOptions
from edge_agent.tasks.base import TaskOptions
from edge_agent.types import Prediction

if TYPE_CHECKING:
    from edge_agent.tasks.base import Task, TaskContext
    from edge_agent.types import Item, Tensors


class Postprocess(StrictOptions):
    """value = output * scale + offset, clipped."""

    output: str = ""
    """Name of the output; "": the first one."""
    index: Annotated[int, Field(ge=0)] = 0
    """Which value of the output."""
    scale: float = 1.0
    offset: float = 0.0
    clip_min: float | None = None
    clip_max: float | None = None
    unit: str = ""

    @model_validator(mode="after")
    def _clip_in_order(self) -> Postprocess:
        low, high = self.clip_min, self.clip_max
        if low is not None and high is not None and low > high:
            raise ValueError("clip_min must be at most clip_max")
        return self


class Options(TaskOptions):
    """A picture or window to one value."""

    kind: Literal["regress"]
    preprocess: Preprocess
    postprocess: Postprocess = Postprocess()

    @property
    def score_range(self) -> tuple[float, float]:
        """Return what clipping leaves."""
        low, high = self.postprocess.clip_min, self.postprocess.clip_max
        return (ANY_SCORE[0] if low is None else low, ANY_SCORE[1] if high is None else high)


def create(options: Options, context: TaskContext) -> Task:
    """Return the task; raise ModelError where manifest and model disagree."""
    return _Regress(options, context)


class _Regress:
    def __init__(self, options: Options, context: TaskContext) -> None:
        self._options = options.postprocess
        self._preparer = preparer(options.preprocess, context)
        self._output = output_named(self._options.output, context.outputs)
        count = values_per_item(self._output)
        if count is not None and self._options.index >= count:
            raise ModelError(
                f"postprocess/index: output {self._output.name} has {count} values, the last one "
                f"has index {count - 1}"
            )

    def prepare(self, item: Item) -> Tensors:
        return self._preparer.prepare(item)

    def interpret(self, outputs: Tensors, item: Item) -> Prediction:  # noqa: ARG002  as every task
        options = self._options
        values = read_output(outputs, self._output).reshape(-1)
        if options.index >= len(values):
            raise ModelError(f"output {self._output.name} gave {len(values)} values")
        value = float(values[options.index]) * options.scale + options.offset
        if options.clip_min is not None:
            value = max(options.clip_min, value)
        if options.clip_max is not None:
            value = min(options.clip_max, value)
        return Prediction(score=value, unit=options.unit)
