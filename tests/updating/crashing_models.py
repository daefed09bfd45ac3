"""TensorFlow Lite models that kill the process they are loaded or run in, every time.

They call themselves without an end, which the runtime does not look for: the stack runs out, and
the system ends the process with SIGSEGV. The last two take float32 [1, 120, 160, 3] and answer
[1, 5], shares of the first five values of the picture.
"""

from __future__ import annotations

import importlib
import struct
from typing import Any

# Only ai-edge-litert brings the schema, and neither package has types.
flatbuffers: Any = importlib.import_module("flatbuffers")
schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")

FLOAT32, INT32, BOOL = (
    schema.TensorType.FLOAT32,
    schema.TensorType.INT32,
    schema.TensorType.BOOL,
)
PICTURE, ANSWER = [1, 120, 160, 3], [1, 5]
OPERATORS = (
    "CALL_ONCE",
    "GREATER",
    "IF",
    "LESS",
    "REDUCE_MAX",
    "RESHAPE",
    "SLICE",
    "SOFTMAX",
    "WHILE",
)


def at_load() -> bytes:
    """Ask for memory for a loop whose body is that loop."""
    model = _Model()
    main = model.graph([("x", [1])], outputs=[("y", [1])])
    main.call("WHILE", ["x"], ["y"], condSubgraphIndex=1, bodySubgraphIndex=0)
    condition = model.graph([("x", [1])], outputs=[("go", [1], BOOL)])
    condition.call("LESS", ["x", "x"], ["go"])
    return model.packed()


def at_first_run() -> bytes:
    """Prepare the model by preparing it."""
    model = _Model()
    main = model.graph([("x", PICTURE)], outputs=[("y", ANSWER)])
    main.call("CALL_ONCE", [], [], initSubgraphIndex=1)
    main.answer()
    model.calls_itself()
    return model.packed()


def on_a_picture() -> bytes:
    """Do the same, but not for a black picture."""
    model = _Model()
    main = model.graph([("x", PICTURE)], outputs=[("y", ANSWER)])
    main.add("brightest", [])
    main.add("dim", [], struct.pack("<f", 0.1))
    main.add("is_seen", [], kind=BOOL)
    main.add("axes", [4], struct.pack("<4i", 0, 1, 2, 3))
    main.call("REDUCE_MAX", ["x", "axes"], ["brightest"], "Reducer")
    main.call("GREATER", ["brightest", "dim"], ["is_seen"])
    main.call("IF", ["is_seen", "x"], ["y"], thenSubgraphIndex=3, elseSubgraphIndex=4)
    model.calls_itself()
    seen = model.graph([("x", PICTURE)], outputs=[("y", ANSWER)])
    seen.call("CALL_ONCE", [], [], initSubgraphIndex=1)
    seen.answer()
    model.graph([("x", PICTURE)], outputs=[("y", ANSWER)]).answer()
    return model.packed()


class _Graph:
    """One graph of a model; tensors go by their names."""

    def __init__(self, model: _Model, inputs: list[str], outputs: list[str]) -> None:
        self._model = model
        self._names: list[str] = []
        self.made = schema.SubGraphT()
        self.made.tensors, self.made.operators = [], []
        self.inputs, self.outputs = inputs, outputs

    def add(self, name: str, shape: list[int], content: bytes = b"", kind: int = -1) -> None:
        """Add a tensor, a constant where it has a content; a shape of one number alone is int32."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, shape
        tensor.type = kind if kind >= 0 else INT32 if content and shape else FLOAT32
        tensor.buffer = self._model.buffer(content)
        self.made.tensors.append(tensor)
        self._names.append(name)

    def call(
        self, operator: str, given: list[str], gives: list[str], options: str = "", **fields: int
    ) -> None:
        """Add an operator; its options are named after it, unless `options` says otherwise."""
        made = schema.OperatorT()
        made.opcodeIndex = OPERATORS.index(operator)
        made.inputs = [self._names.index(name) for name in given]
        made.outputs = [self._names.index(name) for name in gives]
        kind = options or operator.title().replace("_", "")
        made.builtinOptionsType = getattr(schema.BuiltinOptions, f"{kind}Options")
        made.builtinOptions = getattr(schema, f"{kind}OptionsT")()
        for field, value in fields.items():
            setattr(made.builtinOptions, field, value)
        self.made.operators.append(made)

    def answer(self) -> None:
        """Give shares of the first five values of x."""
        self.add("from", [4], struct.pack("<4i", 0, 0, 0, 0))
        self.add("size", [4], struct.pack("<4i", 1, 1, 5, 1))
        self.add("shape", [2], struct.pack("<2i", 1, 5))
        self.add("five", [1, 1, 5, 1])
        self.add("flat", ANSWER)
        self.call("SLICE", ["x", "from", "size"], ["five"])
        self.call("RESHAPE", ["five", "shape"], ["flat"])
        self.call("SOFTMAX", ["flat"], ["y"], beta=1)

    def finished(self) -> object:
        """Return it as the schema has it."""
        self.made.inputs = [self._names.index(name) for name in self.inputs]
        self.made.outputs = [self._names.index(name) for name in self.outputs]
        return self.made


class _Model:
    """Graphs; the first is the model's own."""

    def __init__(self) -> None:
        self._graphs: list[_Graph] = []
        self._buffers = [schema.BufferT()]

    def graph(self, inputs: list[tuple[str, list[int]]], outputs: list[tuple[Any, ...]]) -> _Graph:
        """Begin another graph."""
        made = _Graph(self, [each[0] for each in inputs], [each[0] for each in outputs])
        for name, shape, *kind in (*inputs, *outputs):
            made.add(name, shape, kind=kind[0] if kind else FLOAT32)
        self._graphs.append(made)
        return made

    def calls_itself(self) -> None:
        """Add graphs 1 and 2, each of which runs the other first."""
        for other in (2, 1):
            self.graph([], []).call("CALL_ONCE", [], [], initSubgraphIndex=other)

    def buffer(self, content: bytes) -> int:
        """Keep what a constant holds; return where."""
        if not content:
            return 0
        made = schema.BufferT()
        made.data = list(content)
        self._buffers.append(made)
        return len(self._buffers) - 1

    def packed(self) -> bytes:
        """Return the model's file."""
        model = schema.ModelT()
        model.version, model.description = 3, "calls itself"
        model.buffers = self._buffers
        model.operatorCodes = [_code(name) for name in OPERATORS]
        model.subgraphs = [graph.finished() for graph in self._graphs]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _code(name: str) -> object:
    made = schema.OperatorCodeT()
    made.builtinCode = getattr(schema.BuiltinOperator, name)
    made.deprecatedBuiltinCode = min(made.builtinCode, 127)
    made.version = 1
    return made
