"""manifest.json: one file that says everything about a model, the same wherever the model lies."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from edge_agent.errors import AcceleratorError, ConfigError, ModelError
from edge_agent.field_errors import field_errors
from edge_agent.inference.accelerator import CPU
from edge_agent.options import Name, StrictOptions
from edge_agent.registry import options_type

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.inference.accelerator import AcceleratorOptions

# A gateway has 1 to 8 GB: a file beyond this is a mistake or an attack, and is not even read.
MAX_FILE_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 1 << 20

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelFile(StrictOptions):
    """One file of a variant: a plain name in the bundle's folder, and what its bytes must be."""

    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
    role: Literal["model", "labels", "golden_in", "golden_out"]
    sha256: Sha256
    length: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]


class Tensor(StrictOptions):
    """A model input or output as the bundle promises it; -1 for a dimension that may vary."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Io(StrictOptions):
    """All inputs and outputs."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Resources(StrictOptions):
    """What the variant needs, measured when it was built."""

    ram_mb: Annotated[float, Field(ge=0)]
    p95_ms: Annotated[float, Field(ge=0)]


class Variant(StrictOptions):
    """The same model for one runtime and one kind of hardware."""

    id: Name
    runtime: Name
    hw: tuple[Name, ...] = ("cpu",)
    """What it is made for: `cpu`, which every bundle needs; `gpu`, `npu`; a delegate as its library
    is called (`edgetpu` for libedgetpu.so.1); an execution provider (`openvino`). A pipeline takes
    the first that fits its `accelerator`, else the one for the CPU. All have the same inputs and
    outputs."""
    precision: str
    files: Annotated[tuple[ModelFile, ...], Field(min_length=1)]
    io: Io | None = None
    resources: Resources | None = None


class Origin(StrictOptions):
    """Where the model came from."""

    training: str = ""
    git: str = ""
    data_sha256: str = ""
    run: str = ""
    """The run of a registry that made it."""
    evaluation: Annotated[dict[str, float], Field(max_length=100)] = Field(default_factory=dict)
    """What was measured there, by name."""
    tags: Annotated[dict[str, str], Field(max_length=100)] = Field(default_factory=dict)
    """What was noted there."""


class License(StrictOptions):
    """What may be done with the weights, and whom to name."""

    spdx: str
    attribution: str = ""


class DecisionDefaults(StrictOptions):
    """How the model's answer becomes a verdict unless the pipeline's config says otherwise."""

    labels: tuple[str, ...] = ()
    rule: options_type("rules")  # type: ignore[valid-type]


class SelfTestCase(StrictOptions):
    """Golden sample: for the tensors in file `in` the model must answer those in file `out`."""

    golden_in: str = Field(alias="in")
    golden_out: str = Field(alias="out")
    atol: Annotated[float, Field(ge=0)]
    atol_of: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Another `atol` for the outputs that it names: a score and a map have not the same unit."""
    rtol: Annotated[float, Field(ge=0)] = 0.0


class SelfTest(StrictOptions):
    """What must hold before the model may run."""

    cases: tuple[SelfTestCase, ...] = ()
    p95_ms_max: Annotated[float, Field(gt=0)] | None = None
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 30.0


class UsualFigures(StrictOptions):
    """What good items look like, and what the model says of them: drift is held against it."""

    items: Annotated[int, Field(ge=2)]
    """How many there were."""
    figures: dict[str, Annotated[tuple[float, ...], Field(min_length=21, max_length=21)]]
    """The quantiles 0, 5, ... 100 % of each figure: `score`, of pictures `brightness`, `contrast`,
    `sharpness`, `balance_x` and `balance_y`, of samples `mean X` and `deviation X` of each channel
    X. What is left out is not watched."""
    reject_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of fails to expect on a line."""

    @field_validator("figures")
    @classmethod
    def _rising(cls, figures: dict[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
        for name, values in figures.items():
            if list(values) != sorted(values):
                raise ValueError(f"{name}: quantiles must rise")
        return figures


class Shadow(StrictOptions):
    """How long a new model runs beside the old one, and how far it may disagree."""

    min_items: Annotated[int, Field(ge=0)] = 0
    max_s: Annotated[float, Field(ge=0)] = 60.0
    max_disagree: Annotated[float, Field(ge=0, le=1)] = 1.0


class Trial(StrictOptions):
    """How long a new model must do well before it is confirmed."""

    min_items: Annotated[int, Field(ge=0)] = 0
    soak_s: Annotated[float, Field(ge=0)] = 60.0
    max_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.05


class Manifest(StrictOptions):
    """The whole file."""

    schema_version: Literal[1] = Field(alias="schema")
    model_id: Name
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+-]{1,64}$")]
    seq: Annotated[int, Field(ge=0)]
    min_seq: Annotated[int, Field(ge=0)] = 0
    min_agent: str = "0.0.0"
    source: Origin = Origin()
    license: License
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]
    task: options_type("tasks")  # type: ignore[valid-type]
    decision: DecisionDefaults
    selftest: SelfTest = SelfTest()
    reference: UsualFigures | None = None
    shadow: Shadow = Shadow()
    trial: Trial = Trial()
    doubts: Annotated[
        tuple[Annotated[str, Field(max_length=2000, pattern=r"^[^\r\n]+$")], ...],
        Field(max_length=20),
    ] = ()
    """Why who made the model holds it unfit for use, a sentence each: whoever runs it is told."""

    @field_validator("variants")
    @classmethod
    def _one_model_file_each(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        for variant in variants:
            if sum(file.role == "model" for file in variant.files) != 1:
                raise ValueError(f"variant {variant.id} must have exactly one file of role model")
        return variants


@dataclass(frozen=True, slots=True)
class Bundle:
    """A manifest and the verified bytes of the variant that was chosen."""

    manifest: Manifest
    variant: Variant
    model: bytes
    model_sha256: str
    labels: tuple[str, ...]


def parse_manifest(text: bytes) -> Manifest:
    """Return the manifest in `text`; raise ModelError that points at every wrong field."""
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        fields = field_errors(error, _tree(text), Manifest.model_json_schema())
        raise ModelError(f"manifest.json: {ConfigError(fields)}") from None


def _tree(text: bytes) -> object:
    """Return what JSON says, or None where it is none: then no field is to be named."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def load_bundle(folder: Path, accelerator: AcceleratorOptions = CPU) -> Bundle:
    """Read a bundle, check each file of the variant for `accelerator` against the manifest.

    Raises ModelError that names the file; AcceleratorError where the accelerator has a variant that
    did not come with the bundle.
    """
    if not folder.is_dir():
        raise ModelError(f"no such folder: {folder}")
    manifest = parse_manifest(_read(folder / "manifest.json", MAX_MANIFEST_BYTES))
    try:
        variant = variant_for(manifest, accelerator)
    except ModelError as error:
        raise ModelError(f"{folder.name}: {error}") from None
    if "cpu" not in variant.hw:
        _check_it_came(folder, variant)
    contents = {file.role: _verified(folder, file) for file in variant.files}
    model = next(file for file in variant.files if file.role == "model")
    labels = contents.get("labels", b"").decode("utf-8", "replace").splitlines()
    return Bundle(
        manifest=manifest,
        variant=variant,
        model=contents["model"],
        model_sha256=model.sha256,
        labels=tuple(labels) or manifest.decision.labels,
    )


def variant_for(manifest: Manifest, accelerator: AcceleratorOptions) -> Variant:
    """Return the first variant made for `accelerator`, else the first for the CPU: the plain one.

    Raises ModelError where there is none for the CPU, whatever the accelerator: without it nothing
    inspects while the accelerator is gone.
    """
    plain = next((variant for variant in manifest.variants if "cpu" in variant.hw), None)
    if plain is None:
        there = sorted({hw for variant in manifest.variants for hw in variant.hw})
        raise ModelError(f"no variant for hardware cpu, only for {', '.join(there)}")
    fitting = (variant for variant in manifest.variants if accelerator.hw in variant.hw)
    return plain if accelerator.is_cpu else next(fitting, plain)


def _check_it_came(folder: Path, variant: Variant) -> None:
    for file in variant.files:
        if not (folder / file.path).exists():
            text = (
                f"{folder.name}/{file.path}, of the variant for {', '.join(variant.hw)}, is not "
                "here: from a repository it comes where [sync] names that in hw"
            )
            raise AcceleratorError("unavailable", text)


def _verified(folder: Path, file: ModelFile) -> bytes:
    content = _read(folder / file.path, MAX_FILE_BYTES)
    if len(content) != file.length or hashlib.sha256(content).hexdigest() != file.sha256:
        raise ModelError(f"{folder.name}/{file.path}: differs from what manifest.json says of it")
    return content


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise ModelError(f"{path.name}: larger than {limit} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None


def canonical_json(tree: Any) -> bytes:  # noqa: ANN401  any JSON tree
    """Return the one way this project writes a JSON file, so that equal content is equal bytes."""
    return (json.dumps(tree, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
