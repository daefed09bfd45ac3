"""Config: one strict tree. Whatever is wrong with it is said here, all at once, with its path."""

from __future__ import annotations

import functools
import json
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from edge_agent.errors import ConfigError, FieldError, no_such
from edge_agent.field_errors import field_errors
from edge_agent.inference.accelerator import CPU, Accelerator, Definitions, definitions
from edge_agent.line.options import ProductOptions, TriggerOptions
from edge_agent.modelstore.sync_options import SyncOptions
from edge_agent.monitoring.options import (
    CameraLimits,
    DriftOptions,
    RejectOptions,
    SensorLimits,
)
from edge_agent.mqtt.broker_options import BrokerOptions
from edge_agent.options import Name, StrictOptions
from edge_agent.production.options import LineOptions, ProductionOptions
from edge_agent.registry import options_type
from edge_agent.serving.options import HealthOptions, HttpOptions
from edge_agent.upload.options import UploadOptions

if TYPE_CHECKING:
    from edge_agent.environment import Secrets

# A config of a hundred pipelines has some 50 kB; more than this is a mistake or an attack.
MAX_CONFIG_BYTES = 1 << 20


# A file system takes no more, and no zero byte.
BundlePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]


class Device(StrictOptions):
    """Where the gateway stands (ISA-95 levels): the first six parts of every topic."""

    enterprise: Name
    site: Name
    area: Name
    line: Name
    cell: Name
    name: Name
    """The gateway itself; unique in the plant."""


class OutboxOptions(StrictOptions):
    """Verdicts that the broker has not acknowledged, on disk."""

    max_mb: Annotated[float, Field(ge=0.1, le=100_000)] = 256.0
    """Room for them; when it is full, the oldest passes go first, then the oldest of the rest."""
    max_age_h: Annotated[float, Field(gt=0)] = 168.0


class RemoteOptions(StrictOptions):
    """Config and commands over MQTT. None of this can be changed over MQTT itself."""

    enabled: bool = True
    """False: the agent publishes its config, and takes neither another one nor commands."""
    public_keys: dict[Name, str] = Field(default_factory=dict, max_length=32)
    """Ed25519 keys (base64 of 32 bytes) by who holds them. Where there are any, only requests that
    are signed with one of them are obeyed."""
    signed_within_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    """How old a signed request may be, and by how much its clock may be ahead."""


class EvidenceOptions(StrictOptions):
    """The picture or window behind a verdict, kept on disk."""

    keep: tuple[Literal["pass", "fail", "uncertain", "error"], ...] = ("fail", "uncertain")
    """The outcomes that are kept; of `error`, what came and could not be judged: a picture that
    cannot be decoded leaves nothing."""
    max_mb: Annotated[float, Field(gt=0)] = 256.0
    """Room per pipeline; the oldest go first, both files of a picture."""


class RecipeOptions(StrictOptions):
    """How one product variant is inspected instead; its model is loaded from the start."""

    model: BundlePath
    """The folder of the model bundle, relative to the config file."""
    rule: options_type("rules") | None = None  # type: ignore[valid-type]
    """How scores become outcomes; the bundle's own rule where this is left out."""


class PipelineOptions(StrictOptions):
    """One straight line from a source through a model to verdicts."""

    family: Literal["qc", "pdm"]
    """qc: quality of parts; pdm: condition of machines. Part of the topic."""
    model: BundlePath
    """The folder of the model bundle, relative to the config file."""
    source: options_type("sources")  # type: ignore[valid-type]
    rule: options_type("rules") | None = None  # type: ignore[valid-type]
    """How scores become outcomes; the bundle's own rule where this is left out."""
    recipes: dict[Name, RecipeOptions] = Field(default_factory=dict, max_length=64)
    """Product variants by their code; each takes the memory of its model."""
    recipe: str = ""
    """The variant to begin with; "": the pipeline's own model and rule. Another one is chosen with
    the command `recipe`, or by `product`."""
    product: ProductOptions | None = None
    trigger: TriggerOptions | None = None
    roi: tuple[int, int, int, int] | None = None
    """The part of the picture to inspect: left, top, width, height in pixels."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """CPU threads of the model; the sum over pipelines should not exceed the cores."""
    accelerator: Accelerator = CPU
    """What runs the model: "cpu", "gpu", "npu", a word that `accelerators` defines, or a table.
    Anything but the CPU runs in a process of its own, must give the golden answers of the bundle
    before it may inspect, and is tried again and again after it failed."""
    on_failure: Literal["fallback", "fail"] = "fallback"
    """What happens without the accelerator. fallback: the CPU inspects meanwhile; fail: every item
    is answered with `error`, and the pipeline's state is `blocked`."""
    accelerator_load_s: Annotated[float, Field(gt=0, le=600)] = 60.0
    """How long the accelerator may take to load a model, the CPU inspecting meanwhile. How long it
    may take for an item follows from its golden samples: twenty times as long as they took, at
    least a second and at most `run_timeout_s`."""
    accelerator_check_share: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Of the time, how much the CPU may spend on running items that the accelerator has answered,
    to see whether it answers the same: 0.02 is a fiftieth of `threads` cores. A difference is a
    failure of the accelerator, as in its golden samples. 0: none is checked."""
    run_timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    """A model that takes longer for one item is taken for hung, and its worker is restarted."""
    slot: Name | None = None
    """What [sync] knows this pipeline's model by; default: the pipeline's name. Pipelines of one
    slot have the same model and change it together."""
    worker: Name | None = None
    """Pipelines with the same name here share a process. By default each `qc` pipeline has its
    own, and all `pdm` pipelines share one."""
    evidence: EvidenceOptions = EvidenceOptions()
    camera: CameraLimits = CameraLimits()
    """For sources of pictures."""
    sensor: SensorLimits = SensorLimits()
    """For sources of samples."""
    drift: DriftOptions = DriftOptions()
    reject_rate: RejectOptions = RejectOptions()
    line: LineOptions | None = None
    """What is expected of the line, for figures of production (`qc` only)."""

    @model_validator(mode="after")
    def _roi_has_an_area(self) -> PipelineOptions:
        if self.roi is not None and (min(self.roi) < 0 or min(self.roi[2:]) < 1):
            raise ValueError("roi must be left, top, width, height with width and height above 0")
        return self

    @model_validator(mode="after")
    def _recipe_is_there(self) -> PipelineOptions:
        if self.recipe and self.recipe not in self.recipes:
            raise ValueError(no_such("recipe", self.recipe, self.recipes))
        return self

    @field_validator("product")
    @classmethod
    def _codes_have_recipes(cls, product: Any, info: ValidationInfo) -> Any:  # noqa: ANN401  as it is
        codes = product.codes if product else {}
        recipes = info.data.get("recipes", codes.values())  # wrong ones are named themselves
        for code, recipe in codes.items():
            if recipe not in {"", *recipes}:
                raise ValueError(f"of product code {code!r}: {no_such('recipe', recipe, recipes)}")
        return product

    @property
    def models(self) -> set[str]:
        """Return the folders of its own model and of its recipes'."""
        return {self.model, *(recipe.model for recipe in self.recipes.values())}


class Config(StrictOptions):
    """The whole file."""

    device: Device
    broker: BrokerOptions = BrokerOptions()
    outbox: OutboxOptions = OutboxOptions()
    production: ProductionOptions = ProductionOptions()
    http: HttpOptions = HttpOptions()
    health: HealthOptions = HealthOptions()
    remote: RemoteOptions = RemoteOptions()
    sync: SyncOptions | None = None
    upload: UploadOptions | None = None
    accelerators: Definitions = Field(default_factory=dict)
    """What this gateway has, by the word with which its pipelines choose it; each is a table
    AcceleratorOptions. gpu and npu may be defined anew, cpu may not."""
    pipelines: Annotated[dict[Name, PipelineOptions], Field(max_length=256, default_factory=dict)]
    worker_memory_mb: Annotated[float, Field(ge=256, le=1_000_000)] = 1024.0
    """What a worker process may take. One that wants more (a damaged model, say) is ended and
    started again, before it takes the gateway's memory from everybody else."""
    stop_timeout_s: Annotated[float, Field(ge=1, le=60)] = 10.0
    """How long a stop may take to finish what was accepted."""
    stats_every_s: Annotated[float, Field(ge=0.5, le=3600)] = 5.0
    """How often the figures of each pipeline are published."""

    @model_validator(mode="after")
    def _a_slot_has_one_model(self) -> Config:
        models: dict[str, str] = {}
        for name, options in self.pipelines.items():
            model = models.setdefault(options.slot or name, options.model)
            if model != options.model:
                text = f"pipelines of slot {options.slot or name} have models {model} and"
                raise ValueError(f"{text} {options.model}: they must have the same")
        return self

    @property
    def models(self) -> list[str]:
        """Return the folders of all models, of recipes too, sorted."""
        return sorted({model for each in self.pipelines.values() for model in each.models})


def parse_toml(text: bytes, secrets: Secrets | None = None) -> Config:
    """Return the config in a TOML file's bytes. Raises ConfigError."""
    return parse_tree(toml_tree(text), secrets)


def toml_tree(text: bytes) -> object:
    """Return what a TOML file's bytes say, as JSON would. Raises ConfigError."""
    try:
        tree = tomllib.loads(_checked_size(text).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        message = f"not UTF-8, by its byte {error.start}: save it as UTF-8"
        raise ConfigError([FieldError("", "toml", message)]) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError([FieldError("", "toml", f"not TOML: {error}")]) from None
    try:
        # TOML dates and infinities have no JSON; no field takes either.
        found: object = json.loads(json.dumps(tree, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigError([FieldError("", "toml", str(error))]) from None
    return found


def parse_json(text: bytes, secrets: Secrets | None = None) -> Config:
    """Return the config in JSON bytes. Raises ConfigError, for repeated keys and NaN as well."""
    return parse_tree(strict_json(text), secrets)


def strict_json(text: bytes) -> object:
    """Return what JSON bytes say. Raises ConfigError; repeated keys, NaN, half characters, too."""
    try:
        tree: object = json.loads(
            _checked_size(text), object_pairs_hook=_unique_keys, parse_constant=_no_constant
        )
        json.dumps(tree, ensure_ascii=False).encode()  # raises for "\ud83d" alone
    except (ValueError, RecursionError) as error:
        raise ConfigError([FieldError("", "json", f"not JSON: {error}")]) from None
    return tree


def parse_tree(tree: Any, secrets: Secrets | None = None) -> Config:  # noqa: ANN401  any JSON
    """Return the config that a tree of JSON says. Raises ConfigError."""
    broker = tree.get("broker") if isinstance(tree, dict) else None
    if isinstance(broker, dict) and "password" in broker:
        message = "must not stand in a config: use password_file, or EDGE_AGENT_BROKER_PASSWORD"
        raise ConfigError([FieldError("/broker/password", "secret", message)])
    merged = _with_secrets(tree, secrets) if isinstance(tree, dict) else tree
    try:
        return Config.model_validate_json(json.dumps(merged), context=definitions(merged))
    except ValidationError as error:
        raise ConfigError(field_errors(error, merged, json.loads(schema_json()))) from None


@functools.cache
def schema_json() -> bytes:
    """Return the config's JSON Schema: once, it takes thousands of objects that hold each other."""
    return json.dumps(Config.model_json_schema()).encode()


def _with_secrets(tree: dict[str, Any], secrets: Secrets | None) -> dict[str, Any]:
    if secrets is None:
        return tree
    fields: dict[str, Any] = {}
    if secrets.broker_username is not None:
        fields["username"] = secrets.broker_username
    if secrets.broker_password is not None:
        fields["password"] = secrets.broker_password.get_secret_value()
    broker = tree.get("broker", {})
    return tree | {"broker": broker | fields} if fields and isinstance(broker, dict) else tree


def _checked_size(text: bytes) -> bytes:
    if len(text) > MAX_CONFIG_BYTES:
        message = f"{len(text)} bytes; at most {MAX_CONFIG_BYTES} are read"
        raise ConfigError([FieldError("", "too_large", message)])
    return text


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} stands twice")
    return tree


def _no_constant(constant: str) -> Any:  # noqa: ANN401  never returns
    raise ValueError(f"{constant} is not a number")
