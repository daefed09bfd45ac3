"""ONNX models on the CPU, on ONNX Runtime."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge_agent.backends.base import check_inputs, require_cpu
from edge_agent.errors import ModelError
from edge_agent.types import TensorSpec

if TYPE_CHECKING:
    from edge_agent.backends.base import Backend, BackendContext
    from edge_agent.types import Tensors

# ONNX Runtime's names of tensor types, less the "tensor(...)", where they are not numpy's.
_DTYPES = {"float": "float32", "double": "float64"}
_NUMPY_DTYPES = {
    *("bool", "float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}
_LOG_ERRORS = 3  # ORT_LOGGING_LEVEL_ERROR: warnings say how a graph was optimised


def create(context: BackendContext) -> Backend:
    """Load the model. Raises ModelError."""
    return _Onnx(context)


class _Onnx:
    accelerator = "cpu"
    share: float | None = None

    def __init__(self, context: BackendContext) -> None:
        require_cpu(context)
        runtime = _runtime()
        self._failures = _failures()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = context.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _LOG_ERRORS
        # Threads that spin between two frames take the cores from the other workers.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(
                context.model, options, providers=["CPUExecutionProvider"]
            )
        except self._failures as error:
            raise ModelError(f"the model cannot be loaded: {_reason(error)}") from None
        self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]

    def run(self, tensors: Tensors) -> Tensors:
        if self._session is None:
            raise ModelError("the model is closed")
        check_inputs(self.inputs, tensors)
        try:
            values = self._session.run(self._output_names, tensors)
        except self._failures as error:
            raise ModelError(f"the model failed: {_reason(error)}") from None
        return dict(zip(self._output_names, values, strict=True))

    def close(self) -> None:
        self._session = None


def runtime_version() -> str:
    """Return the version of ONNX Runtime. Raises ModelError where it is not installed."""
    return str(_runtime().__version__)


def _runtime() -> Any:  # noqa: ANN401  it ships no types
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ModelError(f"ONNX models need edge-agent[onnx] to be installed: {error}") from None


def _failures() -> tuple[type[BaseException], ...]:
    """Return what ONNX Runtime raises: classes of its own that share no base but Exception."""
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = (
        *("EPFail", "EngineError", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf"),
        *("NoModel", "NoSuchFile", "NotImplemented", "RuntimeException"),
    )
    return (*(getattr(state, name) for name in own), ValueError, RuntimeError, MemoryError)


def _spec(node: Any) -> TensorSpec:  # noqa: ANN401  an onnxruntime.NodeArg
    kind = node.type.removeprefix("tensor(").removesuffix(")")
    dtype = _DTYPES.get(kind, kind)
    if dtype not in _NUMPY_DTYPES:
        raise ModelError(f"tensor {node.name} is of type {node.type}, not of numbers")
    # A size that may vary has a name, or none.
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(name=node.name, shape=shape, dtype=dtype)


def _reason(error: BaseException) -> str:
    """Return what went wrong in one sentence."""
    text = " ".join(str(error).split())
    return text.removeprefix("[ONNXRuntimeError] : ")[:300] or type(error).__name__
