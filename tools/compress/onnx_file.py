"""An ONNX model's constants counted, its kernels changed, and itself quantised.

onnx and ONNX Runtime's quantiser are of the training environment only.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.quantise import QuantisationFailed
from tools.compress.tflite_file import Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tools.compress.tflite_file import Change

    Array = NDArray[np.float32]

KERNEL_OPERATORS = ("Conv", "Gemm", "MatMul")


def weights(model: bytes) -> Weights:
    """Return how many numbers its constants hold; shapes and scalars are no weights."""
    arrays = [array for array in _constants(_parsed(model)).values() if array.dtype != np.int64]
    held = [array for array in arrays if array.size > 1]
    return Weights(sum(a.size for a in held), sum(int((a == 0).sum()) for a in held))


def map_kernels(model: bytes, change: Change) -> bytes:
    """Return `model` with `change` applied to each float32 kernel, output channel first."""
    helper: Any = importlib.import_module("onnx.numpy_helper")
    tree = _parsed(model)
    constants = _constants(tree)
    columns = {  # of a matrix multiplication the last axis is the output's
        node.input[1] for node in tree.graph.node if node.op_type == "MatMul"
    } | {node.input[1] for node in tree.graph.node if node.op_type == "Gemm" and not _turned(node)}
    kernels = {node.input[1] for node in tree.graph.node if node.op_type in KERNEL_OPERATORS}
    for tensor in tree.graph.initializer:
        values = constants[tensor.name]
        if tensor.name not in kernels or values.dtype != np.float32:
            continue
        turn = tensor.name in columns
        changed = change(np.moveaxis(values, -1, 0) if turn else values)
        changed = np.moveaxis(changed, 0, -1) if turn else changed
        tensor.CopyFrom(helper.from_array(np.ascontiguousarray(changed, np.float32), tensor.name))
    return bytes(tree.SerializeToString())


def int8_model(model: bytes, samples: Sequence[Array]) -> bytes:
    """Return `model` with int8 kernels per channel and activations; true minimum and maximum.

    `samples`: real inputs [1, ...]. Inputs and outputs stay float. Raises QuantisationFailed.
    """
    quantization: Any = importlib.import_module("onnxruntime.quantization")
    name = _parsed(model).graph.input[0].name

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(samples)

        def get_next(self) -> dict[str, Array] | None:
            sample = next(self._left, None)
            return None if sample is None else {name: sample}

    def quantised(source: Path, target: Path) -> None:
        quantization.quantize_static(
            str(source),
            str(target),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )

    return _made(model, quantised)


def dynamic_range_model(model: bytes) -> bytes:
    """Return `model` with int8 kernels; activations are quantised as it runs."""
    quantization: Any = importlib.import_module("onnxruntime.quantization")

    def quantised(source: Path, target: Path) -> None:
        quantization.quantize_dynamic(
            str(source), str(target), weight_type=quantization.QuantType.QInt8, per_channel=True
        )

    return _made(model, quantised)


def _made(model: bytes, quantised: Any) -> bytes:  # noqa: ANN401  a function of two paths
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "small.onnx"
        source.write_bytes(model)
        try:
            quantised(source, target)
            return target.read_bytes()
        except Exception as error:  # noqa: BLE001  the quantiser raises whatever it runs into
            text = str(error).strip() or type(error).__name__
            raise QuantisationFailed(
                f"the quantiser of ONNX Runtime refuses it: {text.splitlines()[0][:200]}"
            ) from None


def _parsed(model: bytes) -> Any:  # noqa: ANN401  untyped
    onnx: Any = importlib.import_module("onnx")
    return onnx.load_from_string(model)


def _constants(tree: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401
    helper: Any = importlib.import_module("onnx.numpy_helper")
    return {tensor.name: helper.to_array(tensor) for tensor in tree.graph.initializer}


def _turned(node: Any) -> bool:  # noqa: ANN401
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
