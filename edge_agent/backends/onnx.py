"""ONNX models on ONNX Runtime: on the CPU, or on the execution provider that is asked for.

A provider takes the nodes that it knows; the CPU runs the rest, in the same session. Left to
itself, ONNX Runtime takes the CPU for everything where a provider is missing, does not start or
fails, and says so in a warning at most: so all of that is asked for here.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from edge_agent.backends.base import check_inputs
from edge_agent.brief import brief
from edge_agent.errors import AcceleratorError, ModelError
from edge_agent.inference.accelerator import AcceleratorOptions
from edge_agent.types import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge_agent.backends.base import Backend, BackendContext
    from edge_agent.errors import Trouble
    from edge_agent.types import Tensors

# ONNX Runtime's names of tensor types, less the "tensor(...)", where they are not numpy's.
_DTYPES = {"float": "float32", "double": "float64"}
_NUMPY_DTYPES = {
    *("bool", "float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
}
_LOG_ERRORS = 3  # ORT_LOGGING_LEVEL_ERROR: warnings say how a graph was optimised
# File, line and function of ONNX Runtime, before what it has to say.
_WHERE = re.compile(r"^/\S+:\d+ .*\) ")
_CPU = "CPUExecutionProvider"
# What is raised for a file that no provider could run.
_MODEL_IS_WRONG = ("InvalidGraph", "InvalidProtobuf", "NoModel")


def create(context: BackendContext) -> Backend:
    """Load the model. Raises ModelError, AcceleratorError."""
    return _Onnx(context)


def candidates() -> tuple[AcceleratorOptions, ...]:
    """Return what may be worth a try here beside the CPU: the providers that are installed."""
    installed = _runtime().get_available_providers()
    return tuple(AcceleratorOptions(provider=name) for name in installed if name != _CPU)


def unfit(accelerator: AcceleratorOptions) -> str:
    """Return why no model of this kind runs on an accelerator, on whatever machine; else ""."""
    if accelerator.is_cpu or accelerator.provider is not None:
        return ""
    return f"ONNX models run on the CPU or an execution provider, not on {accelerator.name}"


class _Onnx:
    def __init__(self, context: BackendContext) -> None:
        runtime = _runtime()
        self._failures = _failures()
        self._on_cpu = context.accelerator.is_cpu
        self.accelerator = context.accelerator.name
        self._session = self._open(runtime, context)
        self.share = None if self._on_cpu else _share(self._session, self.accelerator)
        try:
            self.inputs = tuple(_spec(node) for node in self._session.get_inputs())
            self.outputs = tuple(_spec(node) for node in self._session.get_outputs())
        except UnicodeDecodeError:
            raise ModelError("a name of its inputs or outputs is no text") from None
        self._output_names = [spec.name for spec in self.outputs]

    def run(self, tensors: Tensors) -> Tensors:
        if self._session is None:
            raise ModelError("the model is closed")
        check_inputs(self.inputs, tensors)
        try:
            values = self._session.run(self._output_names, tensors)
        except self._failures as error:
            if self._on_cpu:
                raise ModelError(f"the model failed: {_reason(error)}") from None
            raise AcceleratorError("refused_run", _reason(error)) from None
        return dict(zip(self._output_names, values, strict=True))

    def close(self) -> None:
        self._session = None

    def _open(self, runtime: Any, context: BackendContext) -> Any:  # noqa: ANN401  it ships no types
        providers = _providers(runtime, context.accelerator)
        try:
            session = runtime.InferenceSession(
                context.model,
                _session_options(runtime, context),
                providers=providers,
                enable_fallback=0,  # else another session takes this one's place when a run fails
            )
        except self._failures as error:
            if self._on_cpu or type(error).__name__ in _MODEL_IS_WRONG:
                raise ModelError(f"the model cannot be loaded: {_reason(error)}") from None
            # Plain errors come from where providers are made, before they see a graph.
            made = not isinstance(error, RuntimeError | ValueError)
            reason: Trouble = "refused_graph" if made else "unavailable"
            raise AcceleratorError(reason, _reason(error)) from None
        if providers[0][0] not in session.get_providers():
            text = f"{self.accelerator} is installed and does not start here: is its device there?"
            raise AcceleratorError("unavailable", text)
        return session


def _session_options(runtime: Any, context: BackendContext) -> Any:  # noqa: ANN401
    options = runtime.SessionOptions()
    options.intra_op_num_threads = context.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS
    # Threads that spin between two frames take the cores from the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not context.accelerator.is_cpu:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


def _providers(runtime: Any, accelerator: AcceleratorOptions) -> list[tuple[str, dict[str, str]]]:  # noqa: ANN401
    """Return the provider that is asked for, and the CPU for what it does not take."""
    if accelerator.is_cpu:
        return [(_CPU, {})]
    if accelerator.provider is None:
        raise AcceleratorError("unavailable", unfit(accelerator))
    installed = runtime.get_available_providers()
    if accelerator.provider not in installed:
        text = (
            f"{accelerator.provider} is not installed; this ONNX Runtime {runtime.__version__} has "
            f"{', '.join(installed)}"
        )
        raise AcceleratorError("library_missing", text)
    options = {name: _text(value) for name, value in accelerator.options.items()}
    if accelerator.provider == _CPU:
        return [(_CPU, options)]
    return [(accelerator.provider, options), (_CPU, {})]


def _text(value: str | float | bool) -> str:  # noqa: FBT001  a value, no switch
    return str(value).lower() if isinstance(value, bool) else str(value)


def _share(session: Any, provider: str) -> float | None:  # noqa: ANN401
    """Return how many of the model's nodes the provider runs, 0..1; None: it is not told.

    Of the graph as it is when it is shared out: some optimisations come before. Raises
    AcceleratorError.
    """
    # ONNX Runtime before 1.24 does not tell; builds for some vendors are that old.
    told = getattr(session, "get_provider_graph_assignment_info", None)
    if told is None:
        return None
    return share_of(provider, ((part.ep_name, len(part.get_nodes())) for part in told()))


def share_of(provider: str, parts: Iterable[tuple[str, int]]) -> float:
    """Return the share of nodes that is the provider's; `parts`: providers, how many they run.

    Raises AcceleratorError where it is none.
    """
    counts = list(parts)
    every = sum(nodes for _, nodes in counts)
    taken = sum(nodes for name, nodes in counts if name == provider)
    if every and not taken:
        raise AcceleratorError("refused_graph", f"{provider} takes no node of this model")
    return taken / every if every else 0.0


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
    text = _WHERE.sub("", " ".join(str(error).split()))
    return brief(text.removeprefix("[ONNXRuntimeError] : ")) or type(error).__name__
