"""TensorFlow Lite models on a GPU or NPU, through LiteRT's CompiledModel.

From verified bytes: from a file, damaged models crash it. Its buffers are made once and reused.

What runs where is read from the runtime's log. Its `is_fully_accelerated()` also says yes where
everything went to the CPU: on the CPU itself, and where the NPU's compiler found no device.
"""

from __future__ import annotations

import importlib
import math
import re
from typing import TYPE_CHECKING, Any

from edge_agent.backends.base import check_inputs
from edge_agent.brief import brief
from edge_agent.errors import AcceleratorError, ModelError
from edge_agent.inference import litert_options
from edge_agent.inference.native_log import native_log
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.backends.base import Backend, BackendContext
    from edge_agent.errors import Trouble
    from edge_agent.types import Tensors, TensorSpec

    Specs = tuple[TensorSpec, ...]
else:
    np = lazy_module("numpy")

_FAILURES = (RuntimeError, ValueError, TypeError, KeyError, OSError, MemoryError)
# Lines of the runtime's log, ai-edge-litert 2.3.
_GPU_TOOK_SOME = re.compile(
    r"(\d+) operations will run on the GPU, and the remaining (\d+) operations will run on the CPU"
)
_GPU_TOOK_ALL = re.compile(r"Initializing \S+ API from graph")
_NPU_TOOK = re.compile(r"Partitioned subgraph<\d+>, selected (\d+) ops, from a total of (\d+) ops")
_NPU_COMPILED = re.compile(r"[1-9]\d* compiler plugins were applied successfully")
_NPU_LOADED = "DispatchDelegate::Initialize"  # compiled for it beforehand, or just now
_SAYS_ERROR = re.compile(r"^(ERROR:|E\d{4} )|[Ee]rror:")
_PLACE = re.compile(r"^(ERROR: )?(E\d{4} [\d:. ]+)?(\[[^\]]*\]|\S+\.cc:\d+\]) ")
_NO_DEVICE = re.compile(r"No adapters found|Failed to initialize \w+ environment")


def create(context: BackendContext, inputs: Specs, outputs: Specs) -> Backend:
    """Load the model on `context.accelerator.hardware`.

    `inputs`, `outputs`: what the model says of them; LiteRT does not tell their quantisation here.
    Raises AcceleratorError.
    """
    try:
        litert = importlib.import_module("ai_edge_litert.compiled_model")
    except ImportError as error:
        raise AcceleratorError("unavailable", f"it needs ai-edge-litert: {error}") from None
    return _Compiled(litert, context, inputs, outputs)


class _Compiled:
    def __init__(
        self,
        litert: Any,  # noqa: ANN401  it ships no types
        context: BackendContext,
        inputs: Specs,
        outputs: Specs,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.accelerator = context.accelerator.name
        self._bytes = context.model  # the model reads its weights from them
        self._model, self.share = _load(litert, context)
        try:
            signature = self._model.get_signature_by_index(0)
            given = self._model.create_input_buffers(0)
            answers = self._model.create_output_buffers(0)
            # In the order of the signature, which need not be that of the model.
            self._given = dict(zip(signature["inputs"], given, strict=True))
            self._answers = dict(zip(signature["outputs"], answers, strict=True))
            self._shapes = {
                spec.name: tuple(self._answers[spec.name].get_tensor_details()["shape"])
                for spec in outputs
            }
            self._input_shapes = [
                tuple(self._given[spec.name].get_tensor_details()["shape"]) for spec in inputs
            ]
        except _FAILURES as error:
            raise AcceleratorError("refused_graph", _sentence(error)) from None

    def run(self, tensors: Tensors) -> Tensors:
        if self._model is None:
            raise ModelError("the model is closed")
        check_inputs(self.inputs, tensors)
        if [tensors[spec.name].shape for spec in self.inputs] != self._input_shapes:
            raise AcceleratorError("refused_run", "it is compiled for inputs of another size")
        try:
            for spec in self.inputs:
                self._given[spec.name].write(tensors[spec.name])
            self._model.run_by_index(0, list(self._given.values()), list(self._answers.values()))
            return {spec.name: self._answer(spec) for spec in self.outputs}
        except _FAILURES as error:
            raise AcceleratorError("refused_run", _sentence(error)) from None

    def close(self) -> None:
        with native_log():  # LiteRT tells of each accelerator that it goes
            self._given, self._answers = {}, {}
            self._model = None
        self._bytes = b""

    def _answer(self, spec: TensorSpec) -> NDArray[np.generic]:
        shape = self._shapes[spec.name]
        answer: NDArray[np.generic] = self._answers[spec.name].read(
            math.prod(shape), np.dtype(spec.dtype)
        )
        return answer.reshape(shape)


def _load(litert: Any, context: BackendContext) -> tuple[Any, float | None]:  # noqa: ANN401
    """Return the compiled model, and which share of its operators does not run on the CPU."""
    with native_log() as log:
        # No failure may leave this block with its frames: they hold what LiteRT made, and when that
        # goes it tells of each accelerator.
        model, failure = _compiled(litert, context)
    if failure:
        reason: Trouble = "unavailable" if _NO_DEVICE.search(log.text) else "refused_graph"
        raise AcceleratorError(reason, _sentence(failure, log.text))
    try:
        if context.accelerator.hardware == "gpu":
            return model, _gpu_share(log.text, all_of_it=model.is_fully_accelerated())
        return model, _npu_share(log.text)
    except AcceleratorError:
        with native_log():
            del model
        raise


def _compiled(litert: Any, context: BackendContext) -> tuple[Any, str]:  # noqa: ANN401
    """Return the compiled model, or why there is none."""
    try:
        environment, options = litert_options.build(litert, context.accelerator, context.threads)
        model = litert.CompiledModel.from_buffer(
            context.model, environment=environment(), options=options
        )
    except _FAILURES as error:
        return None, str(error) or type(error).__name__
    return model, ""


def _gpu_share(log: str, *, all_of_it: bool) -> float:
    """Return the share of operators on the GPU. Raises AcceleratorError where there is none."""
    parts = [(int(gpu), int(cpu)) for gpu, cpu in _GPU_TOOK_SOME.findall(log)]
    on_gpu, on_cpu = sum(gpu for gpu, _ in parts), sum(cpu for _, cpu in parts)
    if on_gpu and _GPU_TOOK_ALL.search(log):
        return on_gpu / (on_gpu + on_cpu)
    if not parts and all_of_it and _GPU_TOOK_ALL.search(log):
        return 1.0
    raise AcceleratorError("refused_graph", "the GPU takes none of the model's operators")


def _npu_share(log: str) -> float | None:
    """Return the share of operators on the NPU; None for a model that was compiled beforehand."""
    parts = [(int(taken), int(of)) for taken, of in _NPU_TOOK.findall(log)]
    taken, of = sum(taken for taken, _ in parts), sum(of for _, of in parts)
    if _NPU_LOADED in log and (not parts or (taken and _NPU_COMPILED.search(log))):
        return taken / of if parts else None
    if parts and not taken:
        raise AcceleratorError("refused_graph", "the NPU takes none of the model's operators")
    raise AcceleratorError("unavailable", _sentence("no NPU compiled the model", log))


def _sentence(error: object, log: str = "") -> str:
    """Return what went wrong: the log's words where it has any, for the error has only places."""
    said = [_PLACE.sub("", line.strip()) for line in log.splitlines() if _SAYS_ERROR.search(line)]
    return brief(said[0] if said else str(error)) or type(error).__name__
