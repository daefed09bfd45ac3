"""Channels taken out of a Keras network that is a chain of layers, whole."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.failures import CompressFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Indices = NDArray[np.int64]

# Kernels work on channels in groups of 8: other widths cost as much as the next multiple.
CHANNEL_STEP = 8
# Layers that make channels, with the setting that says how many.
MAKERS = {"Dense": "units", "Conv1D": "filters", "Conv2D": "filters"}
# Layers that leave each channel in its place.
PASSING = (
    *("Activation", "ReLU", "LeakyReLU", "ELU", "Softmax", "Dropout", "SpatialDropout2D"),
    *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "ZeroPadding2D"),
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "GaussianNoise"),
)


def chain(model: Any) -> list[Any] | None:  # noqa: ANN401  untyped
    """Return the layers in order where each takes what the one before answers; else None."""
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    if type(model).__name__ == "Sequential":
        return layers
    try:
        linked = all(later.input is before.output for before, later in pairwise(layers))
    except (AttributeError, ValueError):  # a layer that is used twice has no one input
        return None
    return layers if linked else None


def narrowed(model: Any, library: Any, share: float) -> Any:  # noqa: ANN401
    """Return a new model without the weakest `share` of each layer's channels but the last's.

    Weak is what has a small kernel (L2). Raises CompressFailed where the network is no chain, or
    holds a layer through which channels cannot be followed.
    """
    layers = chain(model)
    if layers is None:
        raise CompressFailed("channels are taken out of plain chains of layers only")
    makers = [layer for layer in layers if type(layer).__name__ in MAKERS]
    if len(makers) < 2:
        raise CompressFailed("there is no layer but the last one to take channels from")
    shape = tuple(model.input_shape[1:])
    made, contents = [library.layers.Input(shape)], []
    kept: Indices = np.arange(shape[-1])
    for layer in layers:
        whole = layer is makers[-1] or type(layer).__name__ not in MAKERS
        config, values, kept = _thinned(layer, kept, 0.0 if whole else share)
        made.append(type(layer).from_config(config))
        contents.append(values)
    small = library.Sequential(made)
    small.set_weights([value for values in contents for value in values])
    return small


def _thinned(
    layer: Any,  # noqa: ANN401
    kept: Indices,
    share: float,
) -> tuple[dict[str, Any], list[Array], Indices]:
    """Return the layer's settings and weights for the channels `kept` of its input, and those left.

    `kept`: indices among the channels that the layer had before.
    """
    kind, config, values = type(layer).__name__, layer.get_config(), layer.get_weights()
    if kind in MAKERS:
        kernel = np.take(values[0], kept, axis=-2)
        left = _strongest(kernel, share)
        config[MAKERS[kind]] = len(left)
        return config, [np.take(value, left, axis=-1) for value in (kernel, *values[1:])], left
    if kind == "DepthwiseConv2D" and layer.depth_multiplier == 1:
        return config, [np.take(values[0], kept, axis=2), *(v[kept] for v in values[1:])], kept
    if kind == "BatchNormalization":
        return config, [value[kept] for value in values], kept
    if kind == "Flatten":
        channels = int(layer.input.shape[-1])
        places = int(np.prod(layer.input.shape[1:])) // channels
        return config, values, np.concatenate([place * channels + kept for place in range(places)])
    if kind in PASSING:
        return config, values, kept
    raise CompressFailed(f"channels cannot be followed through a layer of kind {kind}")


def _strongest(kernel: Array, share: float) -> Indices:
    """Return the channels (last axis) that stay, in their order."""
    count = kernel.shape[-1]
    wanted = max(1, round(count * (1 - share)))
    if wanted > CHANNEL_STEP:
        wanted = min(count, -(-wanted // CHANNEL_STEP) * CHANNEL_STEP)
    norms = np.sqrt(np.square(kernel.reshape(-1, count)).sum(axis=0))
    return np.sort(np.argsort(-norms, kind="stable")[:wanted]).astype(np.int64)
