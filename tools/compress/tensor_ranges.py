"""What each tensor of a model holds on real samples, beside what its quantised twin can store."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.backends import tflite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Range = tuple[float, float]

# A tensor whose range covers less than this share of what it holds cuts off more than rare peaks.
COVERED_MIN = 0.8
# What quantisers put behind the name of a tensor they store in integers.
SUFFIX = "_quantized"


@dataclass(frozen=True, slots=True)
class Narrow:
    """A tensor that holds more than its quantised twin can store."""

    name: str
    held: Range
    stored: Range

    @property
    def covered(self) -> float:
        """Share of the range it holds that can be stored."""
        low, high = max(self.held[0], self.stored[0]), min(self.held[1], self.stored[1])
        return max(0.0, high - low) / (self.held[1] - self.held[0])

    def sentence(self) -> str:
        """Say it in words."""
        return (
            f"Tensor {self.name} holds {self.held[0]:.3g} to {self.held[1]:.3g} on real samples "
            f"and can store {self.stored[0]:.3g} to {self.stored[1]:.3g} only, "
            f"{self.covered:.0%} of it"
        )


def narrowest(
    whole: bytes, model: bytes, samples: Iterable[NDArray[np.float32]], least: float = COVERED_MIN
) -> Narrow | None:
    """Return the tensor of the quantised `model` that cuts off most, None if none does.

    `whole`: the float model that it was made from; `samples`: real inputs of that one.
    """
    held = held_ranges(whole, samples)
    narrow = [
        Narrow(name, held[name], stored)
        for name, stored in stored_ranges(model).items()
        if name in held and held[name][1] > held[name][0]
    ]
    worst = min(narrow, key=lambda tensor: tensor.covered, default=None)
    return worst if worst is not None and worst.covered < least else None


def held_ranges(model: bytes, samples: Iterable[NDArray[np.float32]]) -> dict[str, Range]:
    """Return the smallest and largest value of each float tensor over all samples, by name."""
    interpreter = _interpreter(model)
    source = int(interpreter.get_input_details()[0]["index"])
    ranges: dict[str, Range] = {}
    for sample in samples:
        interpreter.set_tensor(source, sample)
        interpreter.invoke()
        for details in interpreter.get_tensor_details():
            values = _values(interpreter, details)
            if values is None:
                continue
            low, high = ranges.get(details["name"], (np.inf, -np.inf))
            ranges[details["name"]] = (
                min(low, float(values.min())),
                max(high, float(values.max())),
            )
    return ranges


def stored_ranges(model: bytes) -> dict[str, Range]:
    """Return what each quantised activation of a model can store, by its name in the float model.

    Weights are left out: they are quantised from their own true range.
    """
    interpreter = _interpreter(model)
    ranges = {}
    for details in interpreter.get_tensor_details():
        parameters = details["quantization_parameters"]
        dtype = np.dtype(details["dtype"])
        if len(parameters["scales"]) == 1 and dtype in {np.dtype(np.int8), np.dtype(np.int16)}:
            limits, scale = np.iinfo(dtype), float(parameters["scales"][0])
            zero = int(parameters["zero_points"][0])
            name = str(details["name"]).removesuffix(SUFFIX)
            ranges[name] = (scale * (limits.min - zero), scale * (limits.max - zero))
    return ranges


def _interpreter(model: bytes) -> Any:  # noqa: ANN401  it ships no types
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping every tensor takes memory
        interpreter = tflite.runtime_module().Interpreter(
            model_content=model, num_threads=1, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter


def _values(interpreter: Any, details: dict[str, Any]) -> NDArray[np.float32] | None:  # noqa: ANN401
    """Return a float tensor's values; None for another kind, or one that was never computed."""
    if details["dtype"] is not np.float32:
        return None
    try:
        values: NDArray[np.float32] = interpreter.get_tensor(details["index"])
    except ValueError:  # a delegate computed it within another
        return None
    return values if values.size and np.isfinite(values).all() else None
