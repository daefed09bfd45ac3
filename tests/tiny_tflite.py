"""Tiny TensorFlow Lite models: total = a + b, in every kind that the backend must tell apart.

`python -m tests.tiny_tflite` writes them to tests/models/. It needs ai-edge-litert, which brings
the schema; the tests read the files, so that they run on tflite-runtime, too.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Kind:
    """What sets one model apart; `scale`: of each tensor in int8, 0 for float32."""

    scale: float = 0.0
    signature: bool = True
    names: tuple[str, str, str] = ("serving_default_a:0", "serving_default_b:0", "PartitionedCall")


KINDS = {
    "add": Kind(),
    "add_without_signature": Kind(signature=False),
    "add_int8": Kind(scale=0.5),
    "add_same_names": Kind(signature=False, names=("x", "x", "total")),
}


def model_bytes(name: str) -> bytes:
    """Return the model of one of KINDS, as it lies in tests/models/."""
    return (FOLDER / f"{name}.tflite").read_bytes()


def build(kind: Kind) -> bytes:
    """Return a model of shape [-1, 3] + [-1, 3] in TensorFlow Lite's schema, version 3."""
    # Neither has types, and only who writes the models has them.
    flatbuffers: Any = importlib.import_module("flatbuffers")
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")

    model = schema.ModelT()
    model.version = 3
    model.description = "edge-agent test model"
    model.buffers = [schema.BufferT()]
    operator_code = schema.OperatorCodeT()
    operator_code.deprecatedBuiltinCode = operator_code.builtinCode = schema.BuiltinOperator.ADD
    operator_code.version = 2 if kind.scale else 1
    model.operatorCodes = [operator_code]
    operator = schema.OperatorT()
    operator.inputs, operator.outputs = [0, 1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.AddOptions
    operator.builtinOptions = schema.AddOptionsT()
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(schema, name, kind.scale) for name in kind.names]
    graph.inputs, graph.outputs, graph.operators = [0, 1], [2], [operator]
    model.subgraphs = [graph]
    if kind.signature:
        model.signatureDefs = [_signature(schema)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(schema: Any, name: str, scale: float) -> object:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.shapeSignature = name, [1, 3], [-1, 3]
    tensor.type = schema.TensorType.INT8 if scale else schema.TensorType.FLOAT32
    if scale:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = [scale]
        tensor.quantization.zeroPoint = [-3]
    return tensor


def _signature(schema: Any) -> object:
    def tensor_map(name: str, index: int) -> object:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, index
        return entry

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [tensor_map("a", 0), tensor_map("b", 1)]
    signature.outputs = [tensor_map("total", 2)]
    return signature


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, kind in KINDS.items():
        (FOLDER / f"{name}.tflite").write_bytes(build(kind))
