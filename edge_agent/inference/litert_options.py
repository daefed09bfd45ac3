"""From the config's options to those of LiteRT: by field name, whichever vendor's they are."""

from __future__ import annotations

import dataclasses
import enum
import typing
from typing import TYPE_CHECKING, Any

from edge_agent.errors import AcceleratorError, no_such

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.inference.accelerator import AcceleratorOptions

# Tables of options by what they are for, and where the model's Options take them.
_TABLES = {
    "gpu": {"gpu_options": "GpuOptions"},
    "npu": {
        "intel_openvino_options": "IntelOpenVinoOptions",
        "qualcomm_options": "QualcommOptions",
    },
}


def build(
    litert: Any,  # noqa: ANN401  it ships no types
    accelerator: AcceleratorOptions,
    threads: int,
) -> tuple[Callable[[], Any], Any]:
    """Return how to make the environment, and the options of the model.

    `threads`: for operators that stay on the CPU. Raises AcceleratorError that names an option
    which none of the tables knows.
    """
    environment = _fields(litert.EnvironmentOptions)
    places = {n: str(v) for n, v in accelerator.options.items() if n in environment}
    options = {n: v for n, v in accelerator.options.items() if n not in environment}
    hardware = accelerator.hardware or "cpu"
    tables = {argument: getattr(litert, name) for argument, name in _TABLES[hardware].items()}
    chosen = _chosen(tables, options) if options else {}
    kinds = litert.HardwareAccelerator
    kind = kinds.GPU if hardware == "gpu" else kinds.NPU
    built = litert.Options(
        hardware_accelerators=kind | kinds.CPU,
        cpu_options=litert.CpuOptions(num_threads=threads),
        **chosen,
    )
    where = litert.EnvironmentOptions(**places)
    return lambda: litert.Environment.create(options=where), built


def _chosen(tables: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Return the one table that knows every option, filled in."""
    for argument, table in tables.items():
        fields = _fields(table)
        if options.keys() <= fields.keys():
            values = {name: _value(name, fields[name], value) for name, value in options.items()}
            return {argument: table(**values)}
    known = sorted({name for table in tables.values() for name in _fields(table)})
    wrong = next((name for name in options if name not in known), next(iter(options)))
    raise AcceleratorError("unavailable", no_such("option", wrong, known))


def _fields(table: Any) -> dict[str, Any]:  # noqa: ANN401  a dataclass
    hints = typing.get_type_hints(table)
    return {field.name: hints[field.name] for field in dataclasses.fields(table)}


def _value(name: str, hint: Any, value: object) -> object:  # noqa: ANN401  a type
    """Return the value that the field takes: of an enumeration, that of this name."""
    for kind in (hint, *typing.get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            names = [each.name for each in kind]
            if str(value).upper() not in names:
                text = no_such(f"value of {name}", str(value), names)
                raise AcceleratorError("unavailable", text)
            return kind[str(value).upper()]
    return value
