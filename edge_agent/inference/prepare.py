"""From an item to the tensor a model reads, as the manifest's `preprocess` says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from edge_agent.errors import BadInput, ModelError
from edge_agent.inference.preprocess import ImagePreprocess
from edge_agent.inference.quantisation import quantise
from edge_agent.lazy import lazy_module
from edge_agent.pictures import geometry, image
from edge_agent.sensing.features import WindowFeatures
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import Preprocess, WindowPreprocess
    from edge_agent.pictures.geometry import Geometry
    from edge_agent.tasks.base import TaskContext
    from edge_agent.types import Item, Tensors, TensorSpec
else:
    np = lazy_module("numpy")


class Preparer(Protocol):
    """Makes the tensor for the one input of a model."""

    spec: TensorSpec

    def prepare(self, item: Item) -> Tensors:
        """Return the tensor under the input's name. Raises BadInput."""


def preparer(preprocess: Preprocess, context: TaskContext) -> Preparer:
    """Return what prepares items as `preprocess` says; raise ModelError where it does not fit."""
    if isinstance(preprocess, ImagePreprocess):
        return PicturePreparer(preprocess, context)
    return WindowPreparer(preprocess, context)


class PicturePreparer:
    """Crop to the region of interest, resize, order colours, then one table look-up per pixel.

    The table holds quantise((v - mean) / std) for each pixel value v, so that normalising and
    quantising are exact and cost one pass. Whether the input is [1, height, width, channels] or
    [1, channels, height, width] shows in its shape.
    """

    def __init__(self, preprocess: ImagePreprocess, context: TaskContext) -> None:
        self.spec = _only_input(context)
        self.channels_first, height, width, channels = _picture_layout(self.spec)
        wanted = 1 if preprocess.color == "gray" else 3
        if channels != wanted:
            raise ModelError(
                f"input {self.spec.name} has {channels} channels and preprocess/color "
                f"{preprocess.color!r} makes {wanted}"
            )
        self._preprocess = preprocess
        self.model = (width, height)
        self._roi = context.roi
        self._fitted: Geometry | None = None
        self._table = _table(preprocess, self.spec)

    def prepare(self, item: Item) -> Tensors:
        """Return the tensor under the input's name. Raises BadInput("roi")."""
        frame = _frame(item)
        options = self._preprocess
        pixels = image.resize(
            frame.pixels, self.geometry(frame), options.interpolation, options.pad
        )
        values: NDArray[np.generic] = image.recolour(pixels, options.color)
        if self._table is not None:
            values = image.look_up(pixels=values, table=self._table)  # type: ignore[arg-type]
        if self.channels_first:
            values = values.transpose(2, 0, 1)
        if len(self.spec.shape) == 3:  # noqa: PLR2004  [1, height, width]
            values = values[:, :, 0]
        return {self.spec.name: np.ascontiguousarray(values[None])}

    def geometry(self, item: Item) -> Geometry:
        """Return where the picture lies in the model's input. Raises BadInput("roi")."""
        height, width = _frame(item).pixels.shape[:2]
        fitted = self._fitted
        if fitted is None or fitted.picture != (width, height):
            how = self._preprocess.resize
            self._fitted = fitted = geometry.fit(how, (width, height), self.model, self._roi)
        return fitted


class WindowPreparer:
    """Features of a window, in the shape of the input, quantised as the input is."""

    def __init__(self, preprocess: WindowPreprocess, context: TaskContext) -> None:
        self.spec = _only_input(context)
        rows, columns = _probe(preprocess)
        self._rows_and_columns = rows, columns
        self._shape, self._transposed = _window_layout(self.spec, rows, columns)
        self._features = WindowFeatures(preprocess)

    def prepare(self, item: Item) -> Tensors:
        """Return the tensor under the input's name. Raises BadInput (`nan`, ...)."""
        if not isinstance(item, Window):
            raise BadInput("not_a_window", "the model wants samples")
        features = self._features.apply(item)
        if not np.isfinite(features).all():
            raise BadInput("nan", "a feature is not a finite number")
        values = quantise(features.T if self._transposed else features, self.spec)
        return {self.spec.name: np.ascontiguousarray(values).reshape(self._shape)}

    def by_column(self, values: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return values in the input's layout as [rows, columns]; None where they are none."""
        rows, columns = self._rows_and_columns
        if values.size != rows * columns:
            return None
        if self._transposed:
            return values.reshape(columns, rows).T
        return values.reshape(rows, columns)


def _only_input(context: TaskContext) -> TensorSpec:
    if len(context.inputs) != 1:
        names = ", ".join(spec.name for spec in context.inputs)
        raise ModelError(f"the model has {len(context.inputs)} inputs ({names}) instead of one")
    spec = context.inputs[0]
    if np.dtype(spec.dtype).kind not in "fiu":
        raise ModelError(f"input {spec.name} is of type {spec.dtype}, not of numbers")
    return spec


def _picture_layout(spec: TensorSpec) -> tuple[bool, int, int, int]:
    """Return whether channels come first, and height, width and channels."""
    match spec.shape:
        case (1 | -1, height, width, 1 | 3 as channels) if min(height, width) > 0:
            return False, height, width, channels
        case (1 | -1, 1 | 3 as channels, height, width) if min(height, width) > 0:
            return True, height, width, channels
        case (1 | -1, height, width) if min(height, width) > 0:
            return False, height, width, 1
    raise ModelError(
        f"input {spec.name} of shape {list(spec.shape)} takes no single picture: wanted "
        "[1, height, width, 1 or 3] or [1, 1 or 3, height, width]"
    )


def _table(preprocess: ImagePreprocess, spec: TensorSpec) -> NDArray[np.generic] | None:
    """Return what each pixel value becomes, [256, channels or 1]; None: what it is."""
    pixels = np.arange(256.0)[:, None]
    table = quantise((pixels - np.array(preprocess.mean)) / np.array(preprocess.std), spec)
    if table.dtype == np.uint8 and (table == pixels).all():
        return None
    return table


def _frame(item: Item) -> Frame:
    if not isinstance(item, Frame):
        raise BadInput("not_a_picture", "the model wants pictures")
    return item


def _probe(preprocess: WindowPreprocess) -> tuple[int, int]:
    """Return how many rows and columns the features have, by making them of silence."""
    samples = np.zeros((preprocess.samples, len(preprocess.channels)), dtype=np.float32)
    silence = Window(samples, preprocess.channels, preprocess.rate_hz, 0, 0, 0)
    rows, columns = WindowFeatures(preprocess).apply(silence).shape
    return rows, columns


def _window_layout(spec: TensorSpec, rows: int, columns: int) -> tuple[tuple[int, ...], bool]:
    """Return the shape of the tensor and whether columns come before rows in it."""
    layouts = (((rows, columns), False), ((columns, rows), True), ((rows * columns,), False))
    for sizes, transposed in layouts:
        shape = _filled(spec.shape, tuple(size for size in sizes if size != 1))
        if shape is not None:
            return shape, transposed
    raise ModelError(
        f"input {spec.name} of shape {list(spec.shape)} does not hold the {rows} rows and "
        f"{columns} columns that preprocess makes"
    )


def _filled(shape: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return `shape` with its unknown dimensions filled in; None if it does not hold `sizes`."""
    batch = shape[:1] if len(shape) > 1 else ()
    if batch not in {(), (1,), (-1,)}:
        return None
    left = list(sizes)
    filled = [1] * len(batch)
    for dimension in shape[len(batch) :]:
        fits = bool(left) and dimension in {left[0], -1}
        filled.append(left.pop(0) if fits else abs(dimension))
    return tuple(filled) if math.prod(filled) == math.prod(sizes) and not left else None
