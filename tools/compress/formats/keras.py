"""Keras models, .keras or .h5, of Keras 3 or 2."""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

from tools.compress.failures import CompressFailed, MissingFramework
from tools.compress.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NAME = "a Keras model (.keras, .h5)"
LIBRARIES = ("keras", "tf_keras")


def is_format(path: Path) -> bool:
    """Return whether this reader takes it."""
    return path.is_file() and path.suffix in {".keras", ".h5", ".hdf5"}


def read(path: Path, sample: NDArray[np.float32]) -> Source:
    """Return the network and its float TFLite model."""
    check_tensorflow(path.name)
    from tools.compress.keras_network import KerasNetwork  # noqa: PLC0415  needs TensorFlow

    model, library = _loaded(path)
    network = KerasNetwork(model, library, sample)
    return Source(network.tflite(), network=network)


def check_tensorflow(what: str) -> None:
    """Raise MissingFramework where TensorFlow is not installed."""
    # Its messages of what it could do on other machines are no news here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        importlib.import_module("tensorflow")
    except ImportError:
        raise MissingFramework(what, "TensorFlow", ".venv-keras") from None


def _loaded(path: Path) -> tuple[Any, Any]:
    """Return the model and the library that could read it."""
    reasons = []
    for name in LIBRARIES:
        library = importlib.import_module(name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # Never a layer of free code (Lambda): reading it would run it.
                model = library.models.load_model(path, compile=False, **_scope(name))
        except Exception as error:  # noqa: BLE001  they raise whatever the file makes them run into
            reasons.append(f"{name}: {(str(error).strip() or type(error).__name__)[:200]}")
            continue
        return _stripped(model, name), library
    first = " ".join(reasons[0].split())
    raise CompressFailed(f"{path.name} cannot be read as a Keras model: {first}")


def _scope(name: str) -> dict[str, Any]:
    """Return what knows the wrappers that tensorflow-model-optimization puts around layers."""
    if name != "tf_keras":
        return {"safe_mode": True}
    pruning: Any = importlib.import_module(
        "tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper"
    )
    return {"custom_objects": {"PruneLowMagnitude": pruning.PruneLowMagnitude}}


def _stripped(model: Any, name: str) -> Any:  # noqa: ANN401  untyped
    """Return the model without those wrappers: its zeros stay."""
    if name != "tf_keras":
        return model
    optimization: Any = importlib.import_module("tensorflow_model_optimization")
    return optimization.sparsity.keras.strip_pruning(model)
