"""TensorFlow Lite models: on ai-edge-litert, or on tflite-runtime where that is absent.

Both offer the same `Interpreter`. tflite-runtime 2.14 is the predecessor: the only one with wheels
for 32-bit Arm, it needs NumPy 1, and its 8-bit kernels must be switched on (xnnpack.py).
On the CPU, with an external delegate (external_delegate.py), or on GPU and NPU (compiled_model.py).
"""

from __future__ import annotations

import importlib
import logging
import re
from typing import TYPE_CHECKING, Any

from edge_agent.backends.base import BackendContext, check_inputs
from edge_agent.brief import brief
from edge_agent.errors import AcceleratorError, ModelError
from edge_agent.inference import compiled_model, external_delegate
from edge_agent.inference.accelerator import AcceleratorOptions
from edge_agent.inference.xnnpack import XnnpackDelegate
from edge_agent.lazy import lazy_module
from edge_agent.types import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from edge_agent.backends.base import Backend
    from edge_agent.types import Tensors
else:
    np = lazy_module("numpy")

logger = logging.getLogger(__name__)

_RUNTIMES = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
# How the runtimes' own messages begin, which they put behind those of others without a space.
_NEXT_MESSAGE = re.compile(r"(?<=\S)(?=Restored original execution plan|Node number \d+ \()")
# What the runtimes raise for a model they cannot load or run: there is no class of their own.
_FAILURES = (ValueError, RuntimeError, TypeError, MemoryError)


def create(context: BackendContext) -> Backend:
    """Load the model. Raises ModelError, AcceleratorError."""
    accelerator = context.accelerator
    if reason := unfit(accelerator):
        raise AcceleratorError("unavailable", reason)
    if accelerator.delegate is not None or accelerator.is_cpu:
        return _TfLite(context)
    on_cpu = _TfLite(BackendContext(context.model, context.threads))
    on_cpu.close()  # it told what the model's tensors are
    return compiled_model.create(context, on_cpu.inputs, on_cpu.outputs)


def unfit(accelerator: AcceleratorOptions) -> str:
    """Return why no model of this kind runs on an accelerator, on whatever machine; else ""."""
    if accelerator.provider is None:
        return ""
    return f"{accelerator.name} runs ONNX models, and this is one of TensorFlow Lite"


def runtime_module() -> Any:  # noqa: ANN401  neither runtime ships types
    """Return the module with `Interpreter`: the first runtime that is installed."""
    for name in _RUNTIMES:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            reason = error
    raise ModelError(f"no runtime for TensorFlow Lite models is installed: {reason}")


def candidates() -> tuple[AcceleratorOptions, ...]:
    """Return what may be worth a try beside the CPU; delegates have to be named."""
    return AcceleratorOptions(hardware="gpu"), AcceleratorOptions(hardware="npu")


class _TfLite:
    share: float | None = None

    def __init__(self, context: BackendContext) -> None:
        self.accelerator = context.accelerator.name
        self._on_cpu = context.accelerator.is_cpu
        # The interpreter reads weights from these bytes for as long as it lives.
        self._model = context.model
        module = runtime_module()
        self._delegate: Any = None
        if self._on_cpu:
            self._delegate = _eight_bit_delegate(module, context.threads)
            self._interpreter = _load(module, context, self._delegate)
        else:
            self._delegate = external_delegate.load(module, context.accelerator)
            self._interpreter, self.share = _load_delegated(module, context, self._delegate)
        try:
            names = _signature_names(self._interpreter)
            inputs = self._interpreter.get_input_details()
            outputs = self._interpreter.get_output_details()
            self.inputs = _specs(inputs, names[0])
            self.outputs = _specs(outputs, names[1])
        except _FAILURES as error:  # among them names that are no text
            raise ModelError(f"the model's inputs and outputs: {_reason(error)}") from None
        self._shapes = [tuple(int(size) for size in details["shape"]) for details in inputs]
        self._input_indices = [int(details["index"]) for details in inputs]
        self._output_indices = {
            spec.name: int(details["index"])
            for spec, details in zip(self.outputs, outputs, strict=True)
        }

    def run(self, tensors: Tensors) -> Tensors:
        interpreter = self._interpreter
        if interpreter is None:
            raise ModelError("the model is closed")
        check_inputs(self.inputs, tensors)
        try:
            self._fit_shapes(tensors)
            for spec, index in zip(self.inputs, self._input_indices, strict=True):
                interpreter.set_tensor(index, tensors[spec.name])
            interpreter.invoke()
            # get_tensor copies. A view by tensor() would save nothing that can be measured, and
            # while anyone holds one, the interpreter refuses to run again.
            return {
                name: interpreter.get_tensor(index) for name, index in self._output_indices.items()
            }
        except _FAILURES as error:
            if not self._on_cpu:
                raise AcceleratorError("refused_run", _reason(error)) from None
            raise ModelError(f"the model failed: {_reason(error)}") from None

    def close(self) -> None:
        self._interpreter = None  # before the delegate and the bytes, which it uses
        if isinstance(self._delegate, XnnpackDelegate):
            self._delegate.close()
        self._delegate = None
        self._model = b""

    def _fit_shapes(self, tensors: Tensors) -> None:
        shapes = [tensors[spec.name].shape for spec in self.inputs]
        if shapes == self._shapes:
            return
        for index, shape in zip(self._input_indices, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._shapes = shapes


def _load(module: Any, context: BackendContext, delegate: XnnpackDelegate | None) -> Any:  # noqa: ANN401
    """Return an interpreter that is ready to run."""
    try:
        interpreter = module.Interpreter(
            model_content=context.model,
            num_threads=context.threads,
            experimental_delegates=[delegate] if delegate else None,
        )
        interpreter.allocate_tensors()
    except _FAILURES as error:
        if delegate is not None:  # a graph that it cannot take may run without it
            return _load(module, context, None)
        raise ModelError(f"the model cannot be loaded: {_reason(error)}") from None
    return interpreter


def _load_delegated(module: Any, context: BackendContext, delegate: Any) -> tuple[Any, float]:  # noqa: ANN401
    """Return an interpreter with an external delegate, and the share of operators it has taken.

    On tflite-runtime the others run on its older 8-bit kernels: XNNPACK could not be told apart.
    """
    try:
        interpreter = module.Interpreter(
            model_content=context.model,
            num_threads=context.threads,
            experimental_delegates=[delegate],
        )
        share = external_delegate.share_of(interpreter._get_ops_details())  # noqa: SLF001  no other way
        if share:
            interpreter.allocate_tensors()
    except _FAILURES as error:
        raise AcceleratorError("refused_graph", _reason(error)) from None
    if not share:
        text = f"{context.accelerator.name} takes none of the model's operators"
        raise AcceleratorError("refused_graph", text)
    return interpreter, share


def _eight_bit_delegate(module: Any, threads: int) -> XnnpackDelegate | None:  # noqa: ANN401
    """Return what runs 8-bit models fast on tflite-runtime; ai-edge-litert does so by itself."""
    package = module.__name__.partition(".")[0]
    if package != "tflite_runtime":
        return None
    library = importlib.import_module(f"{package}._pywrap_tensorflow_interpreter_wrapper")
    try:
        return XnnpackDelegate(str(library.__file__), threads)
    except (AttributeError, OSError) as error:
        logger.warning("tflite: 8-bit models run on slow kernels: %s", error)
        return None


def _specs(details: Iterable[dict[str, Any]], names: dict[int, str]) -> tuple[TensorSpec, ...]:
    specs = tuple(_spec(tensor, names.get(int(tensor["index"]))) for tensor in details)
    if len({spec.name for spec in specs}) != len(specs):
        raise ModelError(f"two tensors have one name: {', '.join(spec.name for spec in specs)}")
    return specs


def _spec(details: dict[str, Any], name: str | None) -> TensorSpec:
    name = name or str(details["name"])
    dtype = np.dtype(details["dtype"])
    # The signature has -1 where a size may vary; converters leave it out where none may.
    signature = details.get("shape_signature")
    shape = details["shape"] if signature is None or not len(signature) else signature
    scales = details["quantization_parameters"]["scales"]
    zero_points = details["quantization_parameters"]["zero_points"]
    if len(scales) > 1:
        raise ModelError(f"tensor {name} is quantised per channel, which no input or output may be")
    quantised = dtype.kind in "iu" and len(scales) == 1
    return TensorSpec(
        name=name,
        shape=tuple(int(size) for size in shape),
        dtype=dtype.name,
        scale=float(scales[0]) if quantised else 0.0,
        zero_point=int(zero_points[0]) if quantised else 0,
    )


def _signature_names(interpreter: Any) -> tuple[dict[int, str], dict[int, str]]:  # noqa: ANN401
    """Return the names that the model's signature gives its inputs and outputs, by tensor index.

    They are what the model's author called them; a tensor's own name is whatever a converter made.
    """
    signatures = interpreter._get_full_signature_list()  # noqa: SLF001  only here with the indices
    if not signatures:
        return {}, {}
    signature = signatures.get("serving_default") or next(iter(signatures.values()))
    inputs, outputs = signature["inputs"], signature["outputs"]
    return (
        {int(index): name for name, index in inputs.items()},
        {int(index): name for name, index in outputs.items()},
    )


def _reason(error: BaseException) -> str:
    """Return what went wrong in one sentence; the runtimes' own texts run to pages."""
    text = " ".join(str(error).split())
    if "edgetpu-custom-op" in text:
        return "it is compiled for an Edge TPU (edgetpu-custom-op), and there is none"
    if "unresolved custom op" in text:
        op = text.split("unresolved custom op:")[1].split(".")[0].strip()
        return f"its operator {op!r} is none that this runtime knows"
    return brief(_NEXT_MESSAGE.sub("; ", text)) or type(error).__name__
