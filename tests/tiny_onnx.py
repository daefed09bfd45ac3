"""Tiny ONNX models, written as protobuf by hand: https://onnx.ai/onnx/repo-docs/IR.html.

So the tests need neither the onnx package nor files. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

import struct

FLOAT, UINT8, INT8 = 1, 2, 3


def add_model(domain: str = "") -> bytes:
    """Return total = a + b, float32, shape [n, 3]; in another `domain` nobody knows Add."""
    node = _node("Add", ["a", "b"], ["total"], domain)
    shape: list[str | int] = ["n", 3]
    inputs = [_value("a", FLOAT, shape), _value("b", FLOAT, shape)]
    return _model(node, inputs, [_value("total", FLOAT, shape)], domain)


def quantised_model(scale: float, zero_point: int) -> bytes:
    """Return y = dequantise(quantise(x)) on float32 [1, 4]: what a QDQ model does at its edges."""
    nodes = _node("QuantizeLinear", ["x", "s", "z"], ["q"])
    nodes += _node("DequantizeLinear", ["q", "s", "z"], ["y"])
    constants = _tensor("s", FLOAT, struct.pack("<f", scale))
    constants += _tensor("z", INT8, struct.pack("<b", zero_point))
    ends = [_value("x", FLOAT, [1, 4])], [_value("y", FLOAT, [1, 4])]
    return _model(nodes, *ends, constants=constants)


def failing_model() -> bytes:
    """Return y = a @ a, which fails when it runs unless `a` is square."""
    node = _node("MatMul", ["a", "a"], ["y"])
    return _model(node, [_value("a", FLOAT, ["n", "m"])], [_value("y", FLOAT, ["n", "m"])])


def identity_model(*shape: int) -> bytes:
    """Return y = x, float32: a model that finds strange what is bright."""
    sizes: list[str | int] = list(shape)
    ends = [_value("x", FLOAT, sizes)], [_value("y", FLOAT, sizes)]
    return _model(_node("Identity", ["x"], ["y"]), *ends)


def string_model() -> bytes:
    """Return the identity on strings, which no task can feed."""
    node = _node("Identity", ["a"], ["y"])
    return _model(node, [_value("a", 8, [1])], [_value("y", 8, [1])])


def _model(
    nodes: bytes,
    inputs: list[bytes],
    outputs: list[bytes],
    domain: str = "",
    constants: bytes = b"",
) -> bytes:
    graph = nodes + _field(2, b"test") + constants
    graph += b"".join(_field(11, value) for value in inputs)
    graph += b"".join(_field(12, value) for value in outputs)
    opsets = _field(8, _field(2, 13))
    if domain:
        opsets += _field(8, _field(1, domain.encode()) + _field(2, 1))
    return _field(1, 8) + _field(7, graph) + opsets


def _node(operator: str, inputs: list[str], outputs: list[str], domain: str = "") -> bytes:
    node = b"".join(_field(1, name.encode()) for name in inputs)
    node += b"".join(_field(2, name.encode()) for name in outputs)
    node += _field(3, f"{operator}_node".encode()) + _field(4, operator.encode())
    return _field(1, node + (_field(7, domain.encode()) if domain else b""))


def _tensor(name: str, dtype: int, content: bytes) -> bytes:
    return _field(5, _field(2, dtype) + _field(8, name.encode()) + _field(9, content))


def _value(name: str, dtype: int, shape: list[str | int]) -> bytes:
    sizes = b"".join(
        _field(1, _field(1, size) if isinstance(size, int) else _field(2, size.encode()))
        for size in shape
    )
    tensor_type = _field(1, dtype) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor_type))


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
