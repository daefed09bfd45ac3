"""How far an item is from what was normal in training."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edge_agent.errors import BadInput, ModelError
from edge_agent.inference import outputs as output
from edge_agent.inference.calibration import Reduce, reduced
from edge_agent.inference.prepare import PicturePreparer, WindowPreparer, preparer
from edge_agent.inference.preprocess import Preprocess
from edge_agent.inference.quantisation import dequantise
from edge_agent.lazy import lazy_module
from edge_agent.options import StrictOptions
from edge_agent.pictures.defects import defects_in, worst
from edge_agent.pictures.image import over_picture
from edge_agent.tasks.base import TaskOptions
from edge_agent.types import Prediction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.inference.calibration_file import Calibration
    from edge_agent.tasks.base import Task, TaskContext
    from edge_agent.types import Item, Tensors, TensorSpec
else:
    np = lazy_module("numpy")


class Postprocess(StrictOptions):
    """How the model's outputs become a score and, for pictures, a map."""

    form: Literal["score", "map", "score_and_map", "reconstruction"]
    """reconstruction: the output has the input's shape; the score is the difference."""
    score_output: str = ""
    """Name of the score's output; "": the first one that is no map."""
    map_output: str = ""
    """Name of the map's or the reconstruction's output; "": the first one that can be it."""
    error: Literal["squared", "absolute"] = "squared"
    """reconstruction only: the difference that is averaged."""
    reduce: Reduce = "mean"
    """How the map becomes one score: in the forms reconstruction and map, and once calibrated.
    power_mean: (mean of cell^4)^(1/4), which small defects move and single cells hardly do."""
    normal_score: Annotated[float, Field(gt=0)] = 1.0
    """The calibrated threshold: the score is divided by it, so that 1 is at the threshold."""
    map_threshold: Annotated[float, Field(gt=0)] | None = None
    """Value of the map from which a pixel is anomalous: 0.5 in the heatmap. Left out: the heatmap
    is the map clipped to 0..1, and there are no regions."""
    min_area: Annotated[float, Field(ge=0)] = 0.0
    """Regions of fewer pixels of the original picture are not reported."""
    max_regions: Annotated[int, Field(ge=1, le=1000)] = 20
    label: str = "anomaly"
    """Label of the regions."""


class Options(TaskOptions):
    """A picture or window to a score, the higher the stranger."""

    kind: Literal["anomaly"]
    preprocess: Preprocess
    postprocess: Postprocess


def create(options: Options, context: TaskContext) -> Task:
    """Return the task; raise ModelError where manifest and model disagree."""
    return _Anomaly(options, context)


class _Anomaly:
    def __init__(self, options: Options, context: TaskContext) -> None:
        self._options = options.postprocess
        self.reduce = options.postprocess.reduce
        self._preparer = preparer(options.preprocess, context)
        self._calibration = context.calibration
        self._prepared: Tensors = {}
        form = self._options.form
        self._score = self._map = None
        if form in {"score", "score_and_map"}:
            name = self._options.score_output
            self._score = _chosen(name, context.outputs, one_value=True)
        if form != "score":
            self._map = _chosen(self._options.map_output, context.outputs, one_value=False)

    def prepare(self, item: Item) -> Tensors:
        self._prepared = self._preparer.prepare(item)
        return self._prepared

    def interpret(self, outputs: Tensors, item: Item) -> Prediction:
        """Return the prediction for `item`, which must be the one that was prepared last."""
        if self._calibration is not None:
            return self._calibrated(self.cells(outputs, item), self._calibration, item)
        raw = 0.0
        cells: NDArray[np.float32] | None = None
        if self._map is not None:
            cells = self._map_of(outputs, self._map, item)
            raw = reduced(cells, self._options.reduce)
        if self._score is not None:
            raw = self._score_of(outputs, self._score)
        score = raw / self._options.normal_score
        if cells is None or not isinstance(self._preparer, PicturePreparer):
            return Prediction(score=score)
        limit = self._options.map_threshold
        # 0.5 in the heatmap is the threshold, whatever the unit of the map.
        heat = cells / (2 * limit) if limit else cells
        return self._with_regions(score, heat, self._preparer, item)

    def cells(self, outputs: Tensors, item: Item) -> NDArray[np.float32]:
        """Return what is measured on good parts: a picture's map, or a value for each channel.

        Of a model without a map, its score: [1].
        """
        if self._map is None:
            assert self._score is not None  # noqa: S101  one of the two there always is
            return np.array([self._score_of(outputs, self._score)], np.float32)
        cells = self._map_of(outputs, self._map, item)
        if isinstance(self._preparer, WindowPreparer):
            rows = self._preparer.by_column(cells)
            # When in a window something happened says nothing about whether it is normal.
            return cells.reshape(-1) if rows is None else rows.mean(axis=0)
        return cells

    def _calibrated(
        self, cells: NDArray[np.float32], calibration: Calibration, item: Item
    ) -> Prediction:
        normal = calibration.normal
        if cells.shape != normal.mean.shape:
            text = f"a map of {cells.shape}; calibrated for {normal.mean.shape}"
            raise BadInput("calibration", text)
        score, strange = normal.judge(cells, self._options.reduce)
        score *= calibration.fail_at
        if self._map is None or not isinstance(self._preparer, PicturePreparer):
            return Prediction(score=score)
        return self._with_regions(score, 0.5 * strange, self._preparer, item)

    def _score_of(self, outputs: Tensors, spec: TensorSpec) -> float:
        return float(output.read_output(outputs, spec).reshape(-1)[0])

    def _map_of(self, outputs: Tensors, spec: TensorSpec, item: Item) -> NDArray[np.float32]:
        """Return how strange each cell is; for a picture [h, w] over its inspected part."""
        values = output.read_output(outputs, spec)
        if self._options.form == "reconstruction":
            values = self._difference(values, spec)
        if not isinstance(self._preparer, PicturePreparer):
            return values
        channel_axis = 1 if self._preparer.channels_first else 3
        if values.ndim == 4:  # noqa: PLR2004  with channels
            values = values.mean(axis=channel_axis)
        return self._preparer.geometry(item).cut(values[0])

    def _difference(self, values: NDArray[np.float32], spec: TensorSpec) -> NDArray[np.float32]:
        given = dequantise(self._prepared[self._preparer.spec.name], self._preparer.spec)
        if given.size != values.size:
            raise ModelError(f"output {spec.name} is no reconstruction: {values.shape}")
        difference: NDArray[np.float32] = given - values.reshape(given.shape)
        return np.square(difference) if self._options.error == "squared" else np.abs(difference)

    def _with_regions(
        self, score: float, heat: NDArray[np.float32], prepared: PicturePreparer, item: Item
    ) -> Prediction:
        options, geometry = self._options, prepared.geometry(item)
        heat = np.clip(heat, 0.0, 1.0)
        found = (
            defects_in(heat, 0.5, geometry, options.label, options.min_area)
            if options.map_threshold
            else []
        )
        regions = worst(found, options.max_regions, over_picture(heat, geometry))
        return replace(regions, score=score)


def _chosen(name: str, specs: tuple[TensorSpec, ...], *, one_value: bool) -> TensorSpec:
    """Return the output `name`, or for "" the first one that has one value, or more than one."""
    if name:
        return output.output_named(name, specs)
    for spec in specs:
        if (output.values_per_item(spec) == 1) == one_value:
            return spec
    wanted = "a score" if one_value else "a map"
    raise ModelError(f"no output of the model is {wanted}: {', '.join(s.name for s in specs)}")
