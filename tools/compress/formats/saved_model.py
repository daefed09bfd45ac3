"""TensorFlow SavedModels: folders, converted as they are, not trained on."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tools.compress.failures import CompressFailed
from tools.compress.formats.keras import check_tensorflow
from tools.compress.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NAME = "a SavedModel (folder)"


def is_format(path: Path) -> bool:
    """Return whether this reader takes it."""
    return (path / "saved_model.pb").is_file()


def read(path: Path, sample: NDArray[np.float32]) -> Source:  # noqa: ARG001  as every reader
    """Return its float TFLite model."""
    check_tensorflow(path.name)
    from tools.compress.keras_network import converted  # noqa: PLC0415  needs TensorFlow

    tensorflow: Any = importlib.import_module("tensorflow")
    try:
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(path))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        text = str(error).strip() or type(error).__name__
        raise CompressFailed(f"{path.name} cannot be read: {text.splitlines()[0][:200]}") from None
    return Source(converted(converter), note="a SavedModel: taken as it is, not trained on")
