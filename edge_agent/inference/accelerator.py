"""What runs a model instead of the CPU: as the config chooses it, and as a backend is told it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from edge_agent.errors import no_such
from edge_agent.options import Name, StrictOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationInfo

Hardware = Literal["cpu", "gpu", "npu"]


class AcceleratorOptions(StrictOptions):
    """What runs a model: exactly one of `hardware`, `delegate` and `provider`."""

    hardware: Hardware | None = None
    """gpu, npu: through LiteRT's CompiledModel, for TensorFlow Lite models. In a pipeline the word
    alone says the same, unless `accelerators` defines it."""
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
# What a word means that nobody has defined.
BARE = {word: AcceleratorOptions(hardware=word) for word in get_args(Hardware)}


def _not_cpu(word: str) -> str:
    if word == "cpu":
        raise ValueError("cpu is the CPU: it cannot be another one")
    return word


Definitions = Annotated[
    dict[Annotated[Name, AfterValidator(_not_cpu)], AcceleratorOptions], Field(max_length=64)
]
"""In a config: what its words mean."""


def definitions(tree: object) -> dict[str, AcceleratorOptions]:
    """Return what the words mean that a config's tree defines in `accelerators`.

    One that is wrong means the CPU: it is refused where it stands, and not at each use as well.
    """
    tables = tree.get("accelerators") if isinstance(tree, dict) else None
    if not isinstance(tables, dict):
        return {}
    return {word: _defined(table) for word, table in tables.items()}


def _defined(table: object) -> AcceleratorOptions:
    try:
        return AcceleratorOptions.model_validate(table)
    except ValidationError:
        return CPU


def word_for(chosen: AcceleratorOptions, defined: Mapping[str, AcceleratorOptions]) -> str:
    """Return the word that means this where `defined` holds; "" where a table has to say it."""
    words = BARE | dict(defined)
    return next((word for word, options in words.items() if options == chosen), "")


def _spelled_out(given: object, info: ValidationInfo) -> object:
    """Return what a word means; the context of the validation: what the config's words mean."""
    if not isinstance(given, str):
        return given
    words = BARE | (info.context or {})
    if given not in words:
        raise ValueError(f"{no_such('accelerator', given, words)}, or a table")
    return words[given]


Accelerator = Annotated[
    AcceleratorOptions,
    BeforeValidator(_spelled_out, json_schema_input_type=Hardware | Name | AcceleratorOptions),
]
"""In a pipeline: a word, or a table. See `definitions` for the context that words need."""
