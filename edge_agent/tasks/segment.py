"""Which pixels of a picture are defective, gathered into regions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge_agent.errors import ModelError
from edge_agent.inference import outputs as output
from edge_agent.inference.limits import PROBABILITY
from edge_agent.inference.prepare import PicturePreparer
from edge_agent.inference.preprocess import ImagePreprocess
from edge_agent.lazy import lazy_module
from edge_agent.options import StrictOptions
from edge_agent.pictures.defects import defects_in, worst
from edge_agent.pictures.image import over_picture
from edge_agent.tasks.base import TaskOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.tasks.base import Task, TaskContext
    from edge_agent.types import Defect, Item, Prediction, Tensors, TensorSpec
else:
    np = lazy_module("numpy")


class Postprocess(StrictOptions):
    """How the model's mask becomes regions."""

    output: str = ""
    """Name of the output; "": the first one."""
    form: Literal["scores", "label_map"] = "scores"
    """scores: a plane per class, or one plane for defect or not; label_map: a class per pixel.
    The output has its channels where the input has them: last or first."""
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    """scores only: what turns the output into probabilities; none: the model has done so."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """scores only: pixels of at least this probability belong to a region."""
    normal: tuple[str, ...] = ()
    """Labels that are no defects, such as a background."""
    min_area: Annotated[float, Field(ge=0)] = 0.0
    """Regions of fewer pixels of the original picture are not reported."""
    max_regions: Annotated[int, Field(ge=1, le=1000)] = 100


class Options(TaskOptions):
    """A picture to regions; the score is that of the best region, 0 where there is none."""

    kind: Literal["segment"]
    preprocess: ImagePreprocess
    postprocess: Postprocess = Postprocess()

    @property
    def score_range(self) -> tuple[float, float]:
        """Return the ends of a probability."""
        return PROBABILITY


def create(options: Options, context: TaskContext) -> Task:
    """Return the task; raise ModelError where manifest and model disagree."""
    return _Segment(options, context)


class _Segment:
    def __init__(self, options: Options, context: TaskContext) -> None:
        self._options = options.postprocess
        self._preparer = PicturePreparer(options.preprocess, context)
        self._output = output.output_named(self._options.output, context.outputs)
        self._labels = context.labels
        self._classes = self._plane_count()
        if self._options.form == "scores":
            self._labels = _plane_labels(context.labels, self._classes, self._output)
        if self._labels:
            output.check_labels_known(self._options.normal, self._labels)

    def prepare(self, item: Item) -> Tensors:
        return self._preparer.prepare(item)

    def interpret(self, outputs: Tensors, item: Item) -> Prediction:
        options, geometry = self._options, self._preparer.geometry(item)
        planes = self._channels_first(output.read_output(outputs, self._output))
        heat = np.zeros_like(geometry.cut(planes[0]))
        found: list[Defect] = []
        for label, plane in self._labelled(planes):
            if label in options.normal:
                continue
            part = geometry.cut(plane)
            np.maximum(heat, part, out=heat)
            found += defects_in(part, options.threshold, geometry, label, options.min_area)
        heatmap = over_picture(np.minimum(heat, 1.0), geometry)
        return worst(found, options.max_regions, heatmap)

    def _plane_count(self) -> int:
        sizes = self._output.shape
        if len(sizes) not in {3, 4}:
            raise ModelError(f"output {self._output.name} of shape {list(sizes)} is no mask")
        if len(sizes) == 3:  # noqa: PLR2004  [1, height, width]
            return 1
        return sizes[1] if self._preparer.channels_first else sizes[3]

    def _channels_first(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return planes [classes, h, w]; an output has its channels where the input has them."""
        if values.ndim == 3:  # noqa: PLR2004  [1, height, width]
            return values
        return values[0] if self._preparer.channels_first else np.moveaxis(values[0], -1, 0)

    def _labelled(self, planes: NDArray[np.float32]) -> list[tuple[str, NDArray[np.float32]]]:
        """Return a plane of probabilities for each class."""
        if self._options.form == "scores":
            likely = output.probabilities(planes, self._options.activation, axis=0)
            return list(zip(self._labels, likely, strict=True))
        present = np.unique(planes[0]).astype(int)
        return [
            (output.label_at(index, self._labels), (planes[0] == index).astype(np.float32))
            for index in present
        ]


def _plane_labels(labels: tuple[str, ...], planes: int, spec: TensorSpec) -> tuple[str, ...]:
    """Return a label for each plane; a single one is that of the last label, the defect."""
    if planes == 1:
        return labels[-1:] or ("defect",)
    return output.class_labels(labels, planes, spec)
