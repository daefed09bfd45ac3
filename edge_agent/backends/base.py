"""What a backend is: named tensors in, named tensors out. It knows nothing of pictures or tasks.

Beside `create` its module has `candidates`, the accelerators that may be worth a try here, and
`unfit`, the reason why an accelerator cannot run its kind of model anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge_agent.errors import ModelError, no_such
from edge_agent.inference.accelerator import CPU

if TYPE_CHECKING:
    from edge_agent.inference.accelerator import AcceleratorOptions
    from edge_agent.types import Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class BackendContext:
    """The verified bytes of the model, how many CPU threads it may use, and what is to run it.

    A backend that cannot have the accelerator raises AcceleratorError; it never takes the CPU in
    its place. Another accelerator than the CPU is native code of a stranger, which may hang or
    crash: only the accelerator's own process (processes/accelerator_child.py) asks for one.
    """

    model: bytes
    threads: int = 1
    accelerator: AcceleratorOptions = CPU


class Backend(Protocol):
    """A loaded model. One thread uses it.

    `accelerator`: what ran it last, or will run it first (AcceleratorOptions.name). `share`: of
    the model's operators, how many it runs, 0..1; None where the runtime does not tell.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    accelerator: str
    share: float | None

    def run(self, tensors: Tensors) -> Tensors:
        """Run the model once.

        Tensors have the dtype of their TensorSpec and a shape that fits it (quantised values stay
        quantised). The arrays returned may be overwritten by the next run. Raises ModelError,
        AcceleratorError where the accelerator is to blame.
        """

    def close(self) -> None:
        """Free the model."""


def check_inputs(specs: tuple[TensorSpec, ...], tensors: Tensors) -> None:
    """Raise ModelError that names the first tensor that is missing, unknown or of another kind."""
    for spec in specs:
        array = tensors.get(spec.name)
        if array is None:
            raise ModelError(f"input {spec.name} is missing")
        if array.dtype != spec.dtype:
            raise ModelError(f"input {spec.name} wants {spec.dtype}, not {array.dtype}")
        if array.shape != spec.shape and not _fits(array.shape, spec.shape):
            raise ModelError(
                f"input {spec.name} wants shape {list(spec.shape)}, not {list(array.shape)}"
            )
    if len(tensors) != len(specs):
        unknown = sorted(set(tensors) - {spec.name for spec in specs})
        raise ModelError(no_such("input", unknown[0], (spec.name for spec in specs)))


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Return whether `shape` is `wanted` but for the sizes that may vary."""
    return len(shape) == len(wanted) and all(
        size in {given, -1} for given, size in zip(shape, wanted, strict=True)
    )
