"""Reading what a model says: which output, as real numbers, as probabilities, under which label."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from edge_agent.errors import BadInput, ModelError, no_such
from edge_agent.inference.quantisation import dequantise
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.types import Tensors, TensorSpec
else:
    np = lazy_module("numpy")

Activation = Literal["none", "softmax", "sigmoid"]


def output_named(name: str, specs: tuple[TensorSpec, ...]) -> TensorSpec:
    """Return the output `name`, or the first one for ""; raise ModelError for one there is not."""
    for spec in specs:
        if name in {"", spec.name}:
            return spec
    raise ModelError(no_such("output", name, (spec.name for spec in specs)))


def values_per_item(spec: TensorSpec) -> int | None:
    """Return how many values of the output belong to one item; None if that may vary."""
    sizes = spec.shape[1:]
    return None if -1 in sizes else math.prod(sizes)


def read_output(outputs: Tensors, spec: TensorSpec) -> NDArray[np.float32]:
    """Return an output as real numbers, float32; raise BadInput("nan_output")."""
    stored = outputs[spec.name]
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        raise BadInput("nan_output", f"output {spec.name} holds a value that is not finite")
    return dequantise(stored, spec)


def probabilities(
    values: NDArray[np.float32], activation: Activation, axis: int = -1
) -> NDArray[np.float32]:
    """Return `values` after the activation; softmax sums to 1 along `axis`."""
    if activation == "softmax":
        powers = np.exp(values - values.max(axis=axis, keepdims=True))
        shares: NDArray[np.float32] = powers / powers.sum(axis=axis, keepdims=True)
        return shares
    return sigmoid(values) if activation == "sigmoid" else values


def sigmoid(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)), written so that nothing overflows."""
    likely: NDArray[np.float32] = 0.5 * (np.tanh(0.5 * values) + 1.0)
    return likely


def class_labels(labels: tuple[str, ...], classes: int, spec: TensorSpec) -> tuple[str, ...]:
    """Return a label for each class: those given, or the indices where none are.

    Raises ModelError where there are more or fewer labels than classes.
    """
    if not labels:
        return tuple(str(index) for index in range(classes))
    if len(labels) != classes:
        raise ModelError(f"output {spec.name} has {classes} classes, the labels are {len(labels)}")
    return labels


def label_at(index: int, labels: tuple[str, ...]) -> str:
    """Return the label of a class, or the index itself where there is none."""
    return labels[index] if 0 <= index < len(labels) else str(index)


def check_labels_known(wanted: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Raise ModelError where one of `wanted` is no label of the model."""
    unknown = [label for label in wanted if label not in labels]
    if unknown:
        raise ModelError(f"/task/postprocess/normal: {no_such('label', unknown[0], labels)}")
