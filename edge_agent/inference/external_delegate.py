"""External delegates of TensorFlow Lite: a vendor's shared library that takes operators over.

Which vendor makes no difference here: the options of the config go to the library as they are. What
a library that cannot be used raises depends on the runtime and on the C library (OSError,
AttributeError, ValueError, RuntimeError), so its head is looked at first.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.brief import brief
from edge_agent.errors import AcceleratorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge_agent.inference.accelerator import AcceleratorOptions

# Of the ELF header: word size in byte 4, byte order in byte 5, machine in bytes 18 and 19.
_ELF_MAGIC, _ELF_HEAD = b"\x7fELF", 20
_FAILURES = (OSError, AttributeError, ValueError, RuntimeError, TypeError)


def load(module: Any, accelerator: AcceleratorOptions) -> Any:  # noqa: ANN401  runtimes ship no types
    """Return the delegate for `module.Interpreter`. Raises AcceleratorError."""
    library = accelerator.delegate or ""
    if "/" in library:
        _check_library(Path(library))
    options = {name: _text(value) for name, value in accelerator.options.items()}
    try:
        return module.load_delegate(library, options)
    except _FAILURES as error:
        said = brief(str(error)) or type(error).__name__
        if "cannot open shared object" in said:
            raise AcceleratorError("library_missing", said) from None
        if "wrong ELF class" in said:
            raise AcceleratorError("wrong_architecture", said) from None
        if isinstance(error, AttributeError) or "undefined symbol" in said:
            text = f"{accelerator.name} is no delegate for TensorFlow Lite: {said}"
            raise AcceleratorError("unavailable", text) from None
        raise AcceleratorError("unavailable", said) from None


def share_of(operators: Iterable[Mapping[str, Any]]) -> float:
    """Return how many of the model's operators the delegate has taken over, 0..1.

    `operators`: Interpreter._get_ops_details() before tensors are allocated; the runtime's own
    delegate comes later. The list holds the operators of the model and, behind them, one for each
    group that is delegated; those that such a group computes lie between its inputs and outputs.
    """
    details = list(operators)
    own = [each for each in details if each["op_name"] != "DELEGATE"]
    makers = {int(tensor): n for n, each in enumerate(own) for tensor in each["outputs"]}
    taken: set[int] = set()
    for group in details:
        if group["op_name"] == "DELEGATE":
            taken |= _between(group, own, makers)
    return len(taken) / len(own) if own else 0.0


def _between(
    group: Mapping[str, Any], own: list[Mapping[str, Any]], makers: Mapping[int, int]
) -> set[int]:
    """Return the operators that make the group's outputs from its inputs."""
    given = {int(tensor) for tensor in group["inputs"]}
    wanted = [int(tensor) for tensor in group["outputs"]]
    found: set[int] = set()
    while wanted:
        maker = makers.get(wanted.pop())
        if maker is None or maker in found:
            continue
        found.add(maker)
        wanted += [int(t) for t in own[maker]["inputs"] if int(t) not in given]
    return found


def _text(value: str | float | bool) -> str:  # noqa: FBT001  a value, no switch
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_library(path: Path) -> None:
    """Raise AcceleratorError where the file is absent, or made for another kind of machine."""
    head = _elf_head(path)
    if head[:4] != _ELF_MAGIC or len(head) < _ELF_HEAD:
        raise AcceleratorError("wrong_architecture", f"{path} is no shared library of this system")
    own = _elf_head(Path("/proc/self/exe"))
    if _kind(head) != _kind(own):
        text = f"{path} is made for another kind of machine (ELF {_kind(head)}, here {_kind(own)})"
        raise AcceleratorError("wrong_architecture", text)


def _elf_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_ELF_HEAD)
    except OSError as error:
        raise AcceleratorError("library_missing", f"{path}: {error.strerror}") from None


def _kind(head: bytes) -> tuple[int, int, int]:
    order = "<" if head[5] == 1 else ">"
    return head[4], head[5], struct.unpack_from(f"{order}H", head, 18)[0]
