"""ONNX models: by way of PyTorch to TFLite where that goes, else they stay ONNX."""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.backends import onnx as onnx_backend
from edge_agent.backends.base import BackendContext
from tools.compress.failures import CompressFailed, MissingFramework
from tools.compress.fitting import check_input
from tools.compress.quantise import QuantisationFailed, run_model
from tools.compress.source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NAME = "an ONNX model (.onnx)"
# Two converters and two runtimes lie between the two: sums are taken in other orders.
SAME_WITHIN = 1e-3


def is_format(path: Path) -> bool:
    """Return whether this reader takes it."""
    return path.suffix == ".onnx"


def read(path: Path, sample: NDArray[np.float32]) -> Source:
    """Return the model as TFLite and trainable; as ONNX, with the reason, where it is not."""
    model = path.read_bytes()
    answer = _answer(model, sample)
    try:
        importlib.import_module("onnx")
    except ImportError:
        raise MissingFramework(path.name, "onnx", ".venv-train") from None
    try:
        return _converted(path, sample, answer)
    except (QuantisationFailed, CompressFailed) as reason:
        return Source(model, "onnx", note=f"stays ONNX: {reason}")


def _answer(model: bytes, sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run it once: raises ModelError in a sentence where it cannot run at all."""
    backend = onnx_backend.create(BackendContext(model))
    if len(backend.inputs) != 1:
        raise CompressFailed(f"the model has {len(backend.inputs)} inputs instead of one")
    (source,), target = backend.inputs, backend.outputs[0]
    check_input(sample.shape, source.shape, source.name)
    answer = backend.run({source.name: sample})[target.name].astype(np.float32)
    backend.close()
    return answer


def _converted(path: Path, sample: NDArray[np.float32], answer: NDArray[np.float32]) -> Source:
    network = _torch_network(path)
    from tools.compress.torch_network import TorchNetwork  # noqa: PLC0415  needs torch

    trainable = TorchNetwork(network, sample, as_given=True)
    whole = trainable.tflite()
    difference = float(np.abs(run_model(whole, [sample]) - answer).max())
    if difference > SAME_WITHIN * max(1.0, float(np.abs(answer).max())):
        raise QuantisationFailed(f"as TFLite it answers otherwise, by {difference:.3g}")
    return Source(whole, network=trainable, note="converted from ONNX by way of PyTorch")


def _torch_network(path: Path) -> Any:  # noqa: ANN401  untyped
    _stand_in_for_torchvision()
    try:
        converter = importlib.import_module("onnx2torch")
    except ImportError as error:
        raise QuantisationFailed(f"onnx2torch is not installed ({error})") from None
    try:
        return converter.convert(str(path))
    except Exception as error:  # noqa: BLE001  it raises whatever its node converters raise
        text = str(error).strip() or type(error).__name__
        raise QuantisationFailed(f"it does not convert: {text.splitlines()[0][:200]}") from None


def _stand_in_for_torchvision() -> None:
    """Let onnx2torch import without torchvision, which it uses for box suppression alone.

    There is no build of it for every build of torch; models with such a node then stay ONNX.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        whole, operators = types.ModuleType("torchvision"), types.ModuleType("torchvision.ops")
        operators.roi_align = None  # type: ignore[attr-defined]
        whole.ops = operators  # type: ignore[attr-defined]
        sys.modules.update({"torchvision": whole, "torchvision.ops": operators})
