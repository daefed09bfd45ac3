"""What runs a model instead of the CPU: as the config chooses it, and as a backend is told it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from edge_agent.options import StrictOptions

Hardware = Literal["cpu", "gpu", "npu"]


class AcceleratorOptions(StrictOptions):
    """What runs a model: exactly one of `hardware`, `delegate` and `provider`."""

    hardware: Hardware | None = None
    """gpu, npu: through LiteRT's CompiledModel, for TensorFlow Lite models. The word alone, in the
    place of this table, says the same."""
    delegate: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")] | None = (
        None
    )
    """Path of an external delegate, a shared library, for TensorFlow Lite models."""
    provider: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,64}$")] | None = None
    """Name of an execution provider of ONNX Runtime, for ONNX models."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict, max_length=64)
    """Options that the delegate, provider or vendor knows."""

    @model_validator(mode="after")
    def _one_is_chosen(self) -> AcceleratorOptions:
        chosen = [self.hardware, self.delegate, self.provider]
        if sum(each is not None for each in chosen) != 1:
            raise ValueError("must have exactly one of hardware, delegate and provider")
        if self.hardware == "cpu" and self.options:
            raise ValueError("cpu has no options")
        return self

    @property
    def name(self) -> str:
        """Return it in a word: cpu, gpu, npu, the delegate's file name or the provider's name."""
        return self.hardware or self.provider or PurePath(self.delegate or "").name

    @property
    def hw(self) -> str:
        """Return what a manifest calls it in `hw`.

        cpu, gpu, npu; of a delegate what its file is called: `edgetpu` for libedgetpu.so.1; of a
        provider its first word, in small letters: `openvino`.
        """
        library = self.name.partition(".so")[0].removeprefix("lib")
        return library.removesuffix("ExecutionProvider").lower()

    @property
    def is_cpu(self) -> bool:
        """Whether nothing but the CPU is asked for."""
        return self.hardware == "cpu"


CPU = AcceleratorOptions(hardware="cpu")


def _spelled_out(given: object) -> object:
    """Return the table that a word stands for."""
    if not isinstance(given, str):
        return given
    if given not in get_args(Hardware):
        raise ValueError(f"must be {', '.join(get_args(Hardware))}, or a table")
    return {"hardware": given}


Accelerator = Annotated[
    AcceleratorOptions,
    BeforeValidator(_spelled_out, json_schema_input_type=Hardware | AcceleratorOptions),
]
"""In a config: a word, or a table."""
