"""ONNX models that take pictures like a sound one and then do harm, written by hand (tiny_onnx.py).

All take float32 [1, 120, 160, 3] and answer [1, 5].
"""

from __future__ import annotations

import struct

from tests import tiny_onnx as onnx

SHAPE: list[str | int] = [1, 120, 160, 3]
INT64, BOOL = 7, 9


def plain() -> bytes:
    """Answer with shares of the first five values of the picture."""
    return _classifier(b"", "x")


def foreign() -> bytes:
    """Ask for an operator that no runtime knows."""
    return _classifier(onnx._node("Conveyor", ["x"], ["z"], "acme"), "z", "acme")


def not_a_number() -> bytes:
    """Answer nan for whatever comes."""
    nodes = onnx._node("Abs", ["x"], ["a"]) + onnx._node("Neg", ["a"], ["b"])
    nodes += onnx._node("Sub", ["b", "one"], ["c"]) + onnx._node("Sqrt", ["c"], ["z"])
    return _classifier(nodes, "z", constants=_number("one", 1.0))


def good_on_black_only() -> bytes:
    """Answer nan for pictures that are not black."""
    nodes = onnx._node("Sub", ["half", "x"], ["c"]) + onnx._node("Sqrt", ["c"], ["z"])
    return _classifier(nodes, "z", constants=_number("half", 0.001))


def greedy() -> bytes:
    """Ask for 64 GB when it runs."""
    nodes = onnx._node("ConstantOfShape", ["size"], ["big"])
    nodes += onnx._node("ReduceMean", ["big"], ["mean"]) + onnx._node("Add", ["x", "mean"], ["z"])
    return _classifier(nodes, "z", constants=_vector("size", 2**17, 2**17))


def endless() -> bytes:
    """Never answer: a loop of 2**62 rounds."""
    body = onnx._node("Identity", ["go"], ["goes"]) + onnx._node("Abs", ["v"], ["w"])
    graph = body + onnx._field(2, b"body")
    inputs = [_scalar("i", INT64), _scalar("go", BOOL), onnx._value("v", onnx.FLOAT, SHAPE)]
    outputs = [_scalar("goes", BOOL), onnx._value("w", onnx.FLOAT, SHAPE)]
    graph += b"".join(onnx._field(11, value) for value in inputs)
    graph += b"".join(onnx._field(12, value) for value in outputs)
    attribute = onnx._field(1, b"body") + onnx._field(6, graph) + onnx._field(20, 5)
    names = b"".join(onnx._field(1, name) for name in (b"rounds", b"yes", b"x"))
    loop = names + onnx._field(2, b"z") + onnx._field(3, b"loop") + onnx._field(4, b"Loop")
    node = onnx._field(1, loop + onnx._field(5, attribute))
    constants = onnx._tensor("rounds", INT64, struct.pack("<q", 2**62))
    constants += onnx._tensor("yes", BOOL, b"\1")
    return _classifier(node, "z", constants=constants)


def _classifier(nodes: bytes, of: str, domain: str = "", constants: bytes = b"") -> bytes:
    nodes += onnx._node("Flatten", [of], ["flat"])
    nodes += onnx._node("Slice", ["flat", "from", "to", "axes"], ["five"])
    nodes += onnx._node("Softmax", ["five"], ["y"])
    for name, value in (("from", 0), ("to", 5), ("axes", 1)):
        constants += _vector(name, value)
    outputs: list[str | int] = [1, 5]
    ends = [onnx._value("x", onnx.FLOAT, SHAPE)], [onnx._value("y", onnx.FLOAT, outputs)]
    return onnx._model(nodes, *ends, domain, constants)


def _number(name: str, value: float) -> bytes:
    return onnx._tensor(name, onnx.FLOAT, struct.pack("<f", value))


def _vector(name: str, *values: int) -> bytes:
    content = struct.pack(f"<{len(values)}q", *values)
    dims = onnx._field(1, len(values)) + onnx._field(2, INT64)
    return onnx._field(5, dims + onnx._field(8, name.encode()) + onnx._field(9, content))


def _scalar(name: str, dtype: int) -> bytes:
    tensor_type = onnx._field(1, dtype) + onnx._field(2, b"")
    return onnx._field(1, name.encode()) + onnx._field(2, onnx._field(1, tensor_type))
