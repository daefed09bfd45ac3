"""A model as it was given: its float form, and the network behind it where that can be trained."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from tools.compress import formats
from tools.compress.failures import CompressFailed

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from tools.compress.structures import Structure

    Array = NDArray[np.float32]

Runtime = Literal["tflite", "onnx"]


class Network(Protocol):
    """A network that can be trained on: of PyTorch or Keras."""

    def copy(self) -> Network:
        """Return another one with the same weights."""

    def narrow(self, share: float) -> str:
        """Take the weakest `share` of the channels out, in place; return in words what was done.

        Raises CompressFailed where the network's form does not allow it.
        """

    def tune(self, inputs: Array, tuning: Tuning) -> None:
        """Train in place on inputs [items, ...] until the answers are those of `tuning`."""

    def tflite(self) -> bytes:
        """Return the float model. Raises CompressFailed, QuantisationFailed."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a network is brought back after something was taken from it.

    `answers`: what the float model as given says to each input, so that any kind of model can be
    tuned without knowing its loss. `structure`: held in every kernel all the while. `quantised`:
    kernels and activations are rounded to int8 in the forward pass.
    """

    answers: Array
    epochs: int
    seed: int = 0
    structure: Structure | None = None
    quantised: bool = False
    rate: float = 1e-3
    batch: int = 64


@dataclass(frozen=True, slots=True)
class Source:
    """`whole`: the float model; `note`: what the reader had to do, or could not."""

    whole: bytes
    runtime: Runtime = "tflite"
    network: Network | None = None
    note: str = ""


def read_source(path: Path, sample: Array) -> Source:
    """Read a model file, or a SavedModel folder, with the reader whose format it is.

    `sample`: one input, [1, ...]. Raises CompressFailed, QuantisationFailed, ModelError, NotTflite.
    """
    if not path.exists():
        raise CompressFailed(f"{path}: there is no such file or folder")
    known = []
    for entry in sorted(pkgutil.iter_modules(formats.__path__), key=lambda entry: entry.name):
        reader = importlib.import_module(f"{formats.__name__}.{entry.name}")
        known.append(reader.NAME)
        if reader.is_format(path):
            source: Source = reader.read(path, sample)
            return source
    raise CompressFailed(f"{path.name} is none of {', '.join(known)}")
