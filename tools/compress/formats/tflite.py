"""Float .tflite files, from whatever converter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.inference.quantisation import is_float
from tools.compress.failures import CompressFailed
from tools.compress.quantise import loaded
from tools.compress.source import Source
from tools.compress.tflite_file import tidied

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NAME = "a float TensorFlow Lite model (.tflite)"


def is_format(path: Path) -> bool:
    """Return whether this reader takes it."""
    return path.suffix == ".tflite"


def read(path: Path, sample: NDArray[np.float32]) -> Source:  # noqa: ARG001  as every reader
    """Return the model, mended where its converter was too old for the quantiser."""
    given = path.read_bytes()
    whole = tidied(given)
    # Loading it says, in a sentence, which operator there is none of.
    backend = loaded(whole)
    stored = [spec for spec in backend.inputs if not is_float(spec)]
    backend.close()
    if stored:
        raise CompressFailed(
            f"{path.name} is quantised already: its input {stored[0].name} is {stored[0].dtype}; "
            "give the float model that it was made from"
        )
    note = "" if whole == given else "old converter: mended so that the quantiser can read it"
    return Source(whole, note=note)
