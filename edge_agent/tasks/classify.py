"""Which class an item belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from edge_agent.errors import ModelError
from edge_agent.inference import outputs as output
from edge_agent.inference.limits import PROBABILITY
from edge_agent.inference.prepare import preparer
from edge_agent.inference.preprocess import Preprocess
from edge_agent.lazy import lazy_module
from edge_agent.options import StrictOptions
from edge_agent.tasks.base import TaskOptions
from edge_agent.types import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.tasks.base import Task, TaskContext
    from edge_agent.types import Item, Tensors, TensorSpec
else:
    np = lazy_module("numpy")


class Postprocess(StrictOptions):
    """How the model's output becomes probabilities, and which classes are good."""

    output: str = ""
    """Name of the output; "": the first one."""
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """What turns the output into probabilities; none: the model has done so."""
    normal: tuple[str, ...] = ()
    """Labels of good items. The score is the sum of the other labels' probabilities; with no
    normal label it is the probability of the best label."""


class Options(TaskOptions):
    """A picture or window to one probability per label.

    A model with a single output value says how likely the second of two labels is.
    """

    kind: Literal["classify"]
    preprocess: Preprocess
    postprocess: Postprocess = Postprocess()

    @property
    def score_range(self) -> tuple[float, float]:
        """Return the ends of a probability."""
        return PROBABILITY


def create(options: Options, context: TaskContext) -> Task:
    """Return the task; raise ModelError where manifest and model disagree."""
    return _Classify(options, context)


class _Classify:
    def __init__(self, options: Options, context: TaskContext) -> None:
        self._options = options.postprocess
        self._preparer = preparer(options.preprocess, context)
        self._output = output.output_named(self._options.output, context.outputs)
        self._labels = _labels(context.labels, self._output)
        output.check_labels_known(self._options.normal, self._labels)
        good = [label in self._options.normal for label in self._labels]
        self._bad = np.flatnonzero(~np.array(good))

    def prepare(self, item: Item) -> Tensors:
        return self._preparer.prepare(item)

    def interpret(self, outputs: Tensors, item: Item) -> Prediction:  # noqa: ARG002  as every task
        values = output.read_output(outputs, self._output).reshape(-1)
        likely = _two_classes(output.probabilities(values, self._options.activation))
        if len(likely) != len(self._labels):
            raise ModelError(f"output {self._output.name} gave {len(likely)} classes")
        best = int(likely.argmax())
        label = self._labels[best]
        if not self._options.normal:
            return Prediction(score=min(1.0, float(likely[best])), label=label, reject_label=label)
        bad = likely[self._bad]
        reject_label = self._labels[self._bad[bad.argmax()]] if len(bad) else ""
        return Prediction(score=min(1.0, float(bad.sum())), label=label, reject_label=reject_label)


def _labels(labels: tuple[str, ...], spec: TensorSpec) -> tuple[str, ...]:
    classes = output.values_per_item(spec) or len(labels)
    return output.class_labels(labels, 2 if classes == 1 else classes, spec)


def _two_classes(likely: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give a single output value, how likely the second class is, the first class beside it."""
    return np.array([1.0 - likely[0], likely[0]]) if len(likely) == 1 else likely
