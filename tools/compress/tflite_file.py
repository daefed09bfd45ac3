"""A .tflite file taken apart: its constants to count or change, and what is amiss to mend.

The schema is TensorFlow Lite's own, as ai-edge-litert brings it.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]

IDENTIFIER = b"TFL3"
# Operators that hold trained weights in their second input: kernels and matrices.
KERNEL_OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
FLOAT32, INT8 = 0, 9  # of TensorType, in the schema
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 7: np.int16, 9: np.int8}


class NotTflite(Exception):
    """The bytes are no TensorFlow Lite model, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Weights:
    """How many trained numbers a model holds, and how many of them are zero."""

    count: int
    zeros: int


def tidied(model: bytes) -> bytes:
    """Return `model` as the quantiser needs it; as it is where nothing is amiss.

    Models of older converters have their operators in a field that the quantiser does not read (it
    takes every one for an ADD), no signature, tensors that share a name, or int8 kernels in what is
    called a float model. Raises NotTflite.
    """
    tree = _tree(model)
    changed = [
        _new_operator_codes(tree),
        _unshare_names(tree),
        _float_kernels(tree),
        _add_signature(tree),
    ]
    return _packed(tree) if any(changed) else model


def map_kernels(model: bytes, change: Change, kind: int = FLOAT32) -> bytes:
    """Return `model` with `change` applied to each kernel of this type, output channel first.

    What a layer shares with another is changed once. Raises NotTflite.
    """
    tree = _tree(model)
    done = set()
    for graph, operator, depthwise in _operators(tree):
        kernel = graph.tensors[int(operator.inputs[1])]
        buffer = tree.buffers[kernel.buffer]
        constant = buffer.data is not None and len(buffer.data) > 0
        if kernel.buffer in done or kernel.type != kind or not constant:
            continue
        done.add(kernel.buffer)
        values = _content(buffer, DTYPES[kind]).reshape(kernel.shape)
        # A depthwise kernel is [1, height, width, channels].
        values = np.moveaxis(values, -1, 0) if depthwise else values
        changed = change(values)
        changed = np.moveaxis(changed, 0, -1) if depthwise else changed
        buffer.data = _bytes(changed, DTYPES[kind])
    return _packed(tree)


def weights(model: bytes) -> Weights:
    """Return how many trained numbers `model` holds: every constant but shapes and indices."""
    tree = _tree(model)
    count = zeros = 0
    done = set()
    for graph in tree.subgraphs:
        for tensor in graph.tensors:
            dtype = DTYPES.get(tensor.type)
            held = tree.buffers[tensor.buffer].data if tensor.buffer else None
            if dtype is None or held is None or not len(held) or tensor.buffer in done:
                continue
            done.add(tensor.buffer)
            # Integers without a scale are shapes and axes, not weights.
            scaled = tensor.quantization is not None and tensor.quantization.scale is not None
            if dtype in {np.float32, np.float16} or scaled:
                values = _content(tree.buffers[tensor.buffer], dtype)
                count += values.size
                zeros += int((values == 0).sum())
    return Weights(count, zeros)


def _new_operator_codes(tree: Any) -> bool:  # noqa: ANN401  untyped schema
    changed = False
    for code in tree.operatorCodes:
        if code.builtinCode < code.deprecatedBuiltinCode:
            code.builtinCode = code.deprecatedBuiltinCode
            changed = True
    return changed


def _unshare_names(tree: Any) -> bool:  # noqa: ANN401
    changed = False
    for graph in tree.subgraphs:
        seen: set[bytes] = set()
        keep = {*graph.inputs, *graph.outputs}
        # Inputs and outputs first: others give way to them.
        for index in sorted(range(len(graph.tensors)), key=lambda index: index not in keep):
            tensor = graph.tensors[index]
            name = tensor.name or b"tensor"
            if name in seen:
                name = name + f"_{index}".encode()
                changed = True
            seen.add(name)
            tensor.name = name
    return changed


def _float_kernels(tree: Any) -> bool:  # noqa: ANN401
    """Turn int8 kernels between float activations (dynamic range) back into float32."""
    changed = False
    for graph, operator, _ in _operators(tree):
        kernel = graph.tensors[int(operator.inputs[1])]
        source = graph.tensors[int(operator.inputs[0])]
        if kernel.type != INT8 or source.type != FLOAT32:
            continue
        buffer = tree.buffers[kernel.buffer]
        if buffer.data is None or not len(buffer.data):
            continue
        stored = _content(buffer, np.int8).reshape(kernel.shape).astype(np.float32)
        form = kernel.quantization
        shape = [1] * stored.ndim
        shape[form.quantizedDimension if len(form.scale) > 1 else 0] = len(form.scale)
        scale = np.asarray(form.scale, np.float32).reshape(shape)
        zero = np.asarray(form.zeroPoint, np.float32).reshape(shape)
        buffer.data = _bytes((stored - zero) * scale)
        kernel.type, kernel.quantization = FLOAT32, None
        changed = True
    return changed


def _add_signature(tree: Any) -> bool:  # noqa: ANN401
    if tree.signatureDefs:
        return False
    schema, graph = _schema(), tree.subgraphs[0]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs = [_mapped(schema, graph, index) for index in graph.inputs]
    signature.outputs = [_mapped(schema, graph, index) for index in graph.outputs]
    tree.signatureDefs = [signature]
    return True


def _operators(tree: Any) -> Iterator[tuple[Any, Any, bool]]:  # noqa: ANN401
    """Yield graph, operator and whether it is depthwise, of each that holds a kernel."""
    schema = _schema()
    codes = {getattr(schema.BuiltinOperator, name): name for name in KERNEL_OPERATORS}
    for graph in tree.subgraphs:
        for operator in graph.operators or []:
            code = tree.operatorCodes[operator.opcodeIndex]
            name = codes.get(max(code.builtinCode, code.deprecatedBuiltinCode))
            if name is not None:
                yield graph, operator, name == "DEPTHWISE_CONV_2D"


def _content(buffer: Any, dtype: Any) -> NDArray[Any]:  # noqa: ANN401
    return np.frombuffer(bytes(bytearray(buffer.data)), dtype)


def _bytes(values: NDArray[Any], dtype: Any = np.float32) -> NDArray[np.uint8]:  # noqa: ANN401
    stored = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return np.frombuffer(stored.tobytes(), np.uint8)


def _mapped(schema: Any, graph: Any, index: int) -> Any:  # noqa: ANN401
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = graph.tensors[index].name, int(index)
    return entry


def _tree(model: bytes) -> Any:  # noqa: ANN401
    if model[4:8] != IDENTIFIER:
        raise NotTflite("it is no TensorFlow Lite model: TFL3 is not at its 5th byte")
    try:
        tree = _schema().ModelT.InitFromPackedBuf(model, 0)
        for buffer in tree.buffers:
            # Large constants may lie behind the tree itself, in the same file.
            if buffer.offset > 1:
                held = model[buffer.offset : buffer.offset + buffer.size]
                buffer.data = np.frombuffer(held, np.uint8)
                buffer.offset = buffer.size = 0
        return tree
    except Exception as error:  # noqa: BLE001  the generated reader raises whatever it runs into
        raise NotTflite(f"it is a damaged TensorFlow Lite model: {error}") from None


def _packed(tree: Any) -> bytes:  # noqa: ANN401
    flatbuffers: Any = importlib.import_module("flatbuffers")
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(tree.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def _schema() -> Any:  # noqa: ANN401
    return importlib.import_module("ai_edge_litert.schema_py_generated")
