"""Two ways in which a CPU runs an 8-bit model, both right, and how far apart their answers are.

XNNPACK, which the agent has, scales between layers in floating point; the runtime's own kernels do
it with integers. Where one of them rounds up and the other down, fifty layers make more of it. An
accelerator that rounds in a third way is no further from the truth. So a tolerance that is narrower
than what lies between these two would refuse the CPU itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.types import Tensors
    from tools.accel.subjects import Answers


def by_xnnpack(model: bytes, inputs: Sequence[Tensors]) -> Answers:
    """Return what the agent's CPU answers."""
    backend = tflite.create(BackendContext(model))
    found = [{n: a.copy() for n, a in backend.run(given).items()} for given in inputs]
    backend.close()
    return dict(enumerate(found))


def by_own_kernels(model: bytes, inputs: Sequence[Tensors]) -> Answers:
    """Return what the runtime's own kernels answer."""
    backend = tflite.create(BackendContext(model))
    interpreter = _plain(model)
    places = zip(backend.inputs, interpreter.get_input_details(), strict=True)
    given_at = {spec.name: details["index"] for spec, details in places}
    places = zip(backend.outputs, interpreter.get_output_details(), strict=True)
    answered_at = {spec.name: details["index"] for spec, details in places}
    backend.close()
    found: dict[int, Tensors] = {}
    for number, given in enumerate(inputs):
        for name, index in given_at.items():
            interpreter.set_tensor(index, given[name])
        interpreter.invoke()
        found[number] = {name: interpreter.get_tensor(at) for name, at in answered_at.items()}
    return found


def furthest(some: Answers, others: Answers) -> dict[str, float]:
    """Return the largest difference in each output, as it is stored, over the inputs of `some`."""
    most: dict[str, float] = {}
    for number, answers in some.items():
        for name, array in answers.items():
            off = np.abs(array.astype(np.float64) - others[number][name].astype(np.float64))
            most[name] = max(most.get(name, 0.0), float(off.max()))
    return most


def steps(model: bytes) -> dict[str, float]:
    """Return how much one step of its 8 bits is, for each output that has 8 bits.

    As the output is stored: 1 where that is in 8 bits itself, else the scale of what is turned
    into real numbers last.
    """
    backend = tflite.create(BackendContext(model))
    interpreter = _plain(model)
    tensors = {each["index"]: each for each in interpreter.get_tensor_details()}
    made_by = {
        int(out): each
        for each in interpreter._get_ops_details()  # noqa: SLF001  no other way
        for out in each["outputs"]
    }
    found = {}
    for spec, details in zip(backend.outputs, interpreter.get_output_details(), strict=True):
        maker = made_by.get(details["index"])
        if spec.scale:
            found[spec.name] = 1.0
        elif maker is not None and maker["op_name"] == "DEQUANTIZE":
            found[spec.name] = float(tensors[int(maker["inputs"][0])]["quantization"][0])
    backend.close()
    return found


def _plain(model: bytes) -> Any:  # noqa: ANN401  runtimes ship no types
    module = tflite.runtime_module()
    interpreter = module.Interpreter(
        model_content=model,
        experimental_op_resolver_type=module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter
