"""Where in a picture something is: boxes with a label and a score."""

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
from edge_agent.pictures import boxes
from edge_agent.pictures.defects import defect, worst
from edge_agent.tasks.base import TaskOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.pictures.boxes import Boxes
    from edge_agent.tasks.base import Task, TaskContext
    from edge_agent.types import Item, Prediction, Tensors, TensorSpec

    Found = tuple[Boxes, NDArray[np.floating], NDArray[np.integer]]
else:
    np = lazy_module("numpy")


class Postprocess(StrictOptions):
    """How the model's outputs become boxes."""

    decoder: Literal["ssd_postprocess", "yolo_v5", "yolo_v8"]
    """ssd_postprocess: the four outputs of TFLite_Detection_PostProcess, suppressed already.
    yolo_v5: [1, boxes, 5 + classes], an objectness per box. yolo_v8: [1, 4 + classes, boxes]."""
    outputs: tuple[str, ...] = ()
    """Names of the outputs, in the decoder's order (ssd_postprocess: boxes, classes, scores,
    count); left out: in the model's order."""
    box_unit: Literal["pixel", "relative"] = "pixel"
    """yolo only: whether boxes come in pixels of the model's input or as 0..1 of it."""
    activation: Literal["none", "sigmoid"] = "none"
    """yolo only: sigmoid where the head's scores are logits."""
    confidence: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Boxes below are not reported."""
    iou: Annotated[float, Field(gt=0, le=1)] = 0.45
    """yolo only: of two boxes of one class that overlap more than this, the better one stays."""
    max_detections: Annotated[int, Field(ge=1, le=1000)] = 100
    label_offset: Annotated[int, Field(ge=-1, le=1)] = 0
    """Added to a class index to find its label: 1 where only the labels count a background."""
    normal: tuple[str, ...] = ()
    """Labels that are no defects: not reported."""


class Options(TaskOptions):
    """A picture to boxes; the score is that of the best box, 0 where there is none."""

    kind: Literal["detect"]
    preprocess: ImagePreprocess
    postprocess: Postprocess

    @property
    def score_range(self) -> tuple[float, float]:
        """Return the ends of a probability."""
        return PROBABILITY


def create(options: Options, context: TaskContext) -> Task:
    """Return the task; raise ModelError where manifest and model disagree."""
    return _Detect(options, context)


class _Detect:
    def __init__(self, options: Options, context: TaskContext) -> None:
        self._options = options.postprocess
        self._preparer = PicturePreparer(options.preprocess, context)
        self._labels = context.labels
        if context.labels:
            output.check_labels_known(self._options.normal, context.labels)
        self._outputs = _chosen_outputs(self._options, context)
        self._decode: Callable[[list[NDArray[np.float32]], Postprocess], Found] = {
            "ssd_postprocess": _decode_ssd,
            "yolo_v5": _decode_yolo_v5,
            "yolo_v8": _decode_yolo_v8,
        }[self._options.decoder]

    def prepare(self, item: Item) -> Tensors:
        return self._preparer.prepare(item)

    def interpret(self, outputs: Tensors, item: Item) -> Prediction:
        found, scores, classes = self._decode(self._read(outputs), self._options)
        if self._options.decoder == "ssd_postprocess" or self._options.box_unit == "relative":
            found = found * np.array(self._preparer.model * 2)
        places = self._preparer.geometry(item).boxes_to_picture(found)
        offset = self._options.label_offset
        labels = [output.label_at(int(index) + offset, self._labels) for index in classes]
        defects = [
            defect(label, min(1.0, score), box)
            for label, score, box in zip(labels, scores, places, strict=True)
            # A box that lies in the padding alone has no area in the picture.
            if label not in self._options.normal and (box[2:] > box[:2]).all()
        ]
        return worst(defects, self._options.max_detections)

    def _read(self, outputs: Tensors) -> list[NDArray[np.float32]]:
        if self._options.decoder == "ssd_postprocess":
            outputs = _counted(outputs, self._outputs)
        return [output.read_output(outputs, spec) for spec in self._outputs]


def _chosen_outputs(options: Postprocess, context: TaskContext) -> tuple[TensorSpec, ...]:
    wanted = _OUTPUTS[options.decoder]
    if options.outputs and len(options.outputs) != len(wanted):
        raise ModelError(f"/task/postprocess/outputs: {options.decoder} has {', '.join(wanted)}")
    if len(context.outputs) < len(wanted):
        raise ModelError(
            f"{options.decoder} needs {', '.join(wanted)}; the model has "
            f"{', '.join(spec.name for spec in context.outputs)}"
        )
    names = options.outputs or tuple(spec.name for spec in context.outputs[: len(wanted)])
    chosen = tuple(output.output_named(name, context.outputs) for name in names)
    ranks = tuple(len(spec.shape) for spec in chosen)
    if ranks != tuple(wanted.values()):
        shapes = ", ".join(f"{spec.name} {list(spec.shape)}" for spec in chosen)
        raise ModelError(f"/task/postprocess/outputs: {', '.join(wanted)} cannot be {shapes}")
    return chosen


# The outputs of each decoder in order, and how many dimensions each has.
_OUTPUTS = {
    "ssd_postprocess": {"boxes": 3, "classes": 2, "scores": 2, "count": 1},
    "yolo_v5": {"predictions": 3},
    "yolo_v8": {"predictions": 3},
}


def _counted(outputs: Tensors, specs: tuple[TensorSpec, ...]) -> Tensors:
    """Return the outputs of an SSD without the rows beyond `count`, which may hold anything."""
    *rows, count = specs
    number = int(output.read_output(outputs, count)[0])
    return {count.name: outputs[count.name]} | {
        spec.name: outputs[spec.name][:, :number] for spec in rows
    }


def _decode_ssd(tensors: list[NDArray[np.float32]], options: Postprocess) -> Found:
    """Boxes are [1, n, 4]: top, left, bottom, right as 0..1 of the input."""
    found, classes, scores, _ = tensors
    kept = np.flatnonzero(scores[0] >= options.confidence)
    return found[0][kept][:, [1, 0, 3, 2]], scores[0][kept], classes[0][kept].astype(int)


def _decode_yolo_v5(tensors: list[NDArray[np.float32]], options: Postprocess) -> Found:
    """[1, n, 5 + classes]: centre, size, objectness, class scores; score = product of the two."""
    rows = tensors[0][0]
    objectness = output.probabilities(rows[:, 4], options.activation)
    rows, objectness = _rows_over(options.confidence, objectness, rows)
    scores = output.probabilities(rows[:, 5:].max(axis=1), options.activation) * objectness
    return _best(rows[:, :4], scores, rows[:, 5:].argmax(axis=1), options)


def _decode_yolo_v8(tensors: list[NDArray[np.float32]], options: Postprocess) -> Found:
    """[1, 4 + classes, n]: centre, size, class scores. Also the layout of YOLO 9, 11 and 12."""
    columns = tensors[0][0]
    scores = output.probabilities(columns[4:].max(axis=0), options.activation)
    rows, scores = _rows_over(options.confidence, scores, columns.T)
    return _best(rows[:, :4], scores, rows[:, 4:].argmax(axis=1), options)


def _rows_over(
    confidence: float, scores: NDArray[np.float32], rows: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    kept = scores >= confidence
    return rows[kept], scores[kept]


def _best(
    centred: Boxes, scores: NDArray[np.floating], classes: NDArray[np.integer], options: Postprocess
) -> Found:
    over = scores >= options.confidence
    found, scores, classes = boxes.from_centres(centred[over]), scores[over], classes[over]
    kept = boxes.suppress(found, scores, classes, options.iou, options.max_detections)
    return found[kept], scores[kept], classes[kept]
