"""What may be asked on config/set and cmd/{verb}: read once, strictly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from edge_agent.config import strict_json
from edge_agent.control.trees import DEPTH_MOST, merged, too_deep, unmasked
from edge_agent.errors import ConfigError, EdgeAgentError, FieldError, no_such

if TYPE_CHECKING:
    from collections.abc import Mapping

Id = Annotated[str, Meta(min_length=1, max_length=128)]
T = TypeVar("T", bound=msgspec.Struct)
# What stands in msgspec's sentences, in the words of whoever sends a request.
KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "null": "nothing",
}
BOUNDS = {
    ">=": r", \1 or more",
    "<=": r", \1 or less",
    ">": r", more than \1",
    "<": r", less than \1",
}


class Refused(EdgeAgentError):
    """A request is not obeyed: `code` as in HTTP, `status` and `fields` for the answer."""

    def __init__(self, code: int, status: str, fields: list[FieldError]) -> None:
        super().__init__("; ".join(str(field) for field in fields))
        self.code = code
        self.status = status
        self.fields = fields


class ConfigRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exactly one of `config` (all of it), `patch` (RFC 7396) and `confirm` must be there.

    `base_rev`: the revision that whoever asks has seen. `dry_run`: only say whether it is valid.
    `confirm_within_s`: it is taken back unless a request with `confirm` comes in time.
    """

    v: Literal[1] = 1
    id: Id
    base_rev: Annotated[int, Meta(ge=0)]
    config: dict[str, Any] | None = None
    patch: dict[str, Any] | None = None
    confirm: bool = False
    dry_run: bool = False
    confirm_within_s: Annotated[float, Meta(ge=1, le=86_400)] | None = None


class Command(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every command says."""

    v: Literal[1] = 1
    id: Id


class LogsCommand(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The latest lines of the log."""

    lines: Annotated[int, Meta(ge=1, le=500)] = 100


class PipelineCommand(Command, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked of one pipeline."""

    pipeline: str


class RecalibrateCommand(PipelineCommand, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits by the scores of the last `parts`."""

    parts: Annotated[int, Meta(ge=5, le=1000)] = 50
    any_verdict: bool = False
    false_reject: Annotated[float, Meta(gt=0, lt=0.5)] = 0.001
    dry_run: bool = False


class TimedCommand(PipelineCommand, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a pipeline is to do itself, `within_s`."""

    within_s: Annotated[float, Meta(ge=1, le=600)] = 10.0


class RestartCommand(TimedCommand, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pipeline built anew."""


class SnapshotCommand(TimedCommand, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The next part with its verdict."""


class RecipeCommand(TimedCommand, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another product variant; "": the pipeline's own model."""

    code: str | None = None


COMMANDS: Mapping[str, type[Command]] = {
    "restart": RestartCommand,
    "snapshot": SnapshotCommand,
    "recalibrate": RecalibrateCommand,
    "recipe": RecipeCommand,
    "logs": LogsCommand,
}


def tree_of(payload: bytes) -> object:
    """Return what a payload says. Raises Refused where it is no JSON."""
    try:
        return strict_json(payload)
    except ConfigError as error:
        raise Refused(400, "bad_json", error.fields) from None


def id_of(tree: object) -> str:
    """Return the id of a request, whatever else is wrong with it; "" where it has none."""
    found = tree.get("id") if isinstance(tree, dict) else None
    return found if isinstance(found, str) else ""


def asks_no_change(tree: object) -> bool:
    """Say whether a request asks for no change, whatever else is wrong with it."""
    return isinstance(tree, dict) and True in (tree.get("dry_run"), tree.get("confirm"))


def read(tree: object, kind: type[T]) -> T:
    """Return the request that a tree is. Raises Refused."""
    if too_deep(tree):
        field = FieldError("", "depth", f"deeper than {DEPTH_MOST} levels")
        raise Refused(400, "bad_json", [field])
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise Refused(422, "refused", [_field(str(error), kind)]) from None


def one_change(request: ConfigRequest) -> None:
    """Raise Refused unless the request asks for exactly one thing."""
    asked = (request.config is not None, request.patch is not None, request.confirm)
    if sum(asked) != 1:
        field = FieldError("", "one_of", "must hold exactly one of config, patch and confirm")
        raise Refused(422, "refused", [field])


def tree_after(request: ConfigRequest, current: dict[str, Any]) -> dict[str, Any]:
    """Return the config that a request asks for where `current` is in force."""
    if request.config is not None:
        return dict(unmasked(request.config, current))
    return dict(merged(current, unmasked(request.patch, current)))


def _field(text: str, kind: type[msgspec.Struct]) -> FieldError:
    """Return msgspec's sentence as a path and what is wrong there."""
    message, _, place = text.partition(" - at `$")
    steps = re.findall(r"\.([^.\[`]+)|\[(\d+)\]", place)
    path = "".join(f"/{name or index}" for name, index in steps)
    if found := re.search(r"required field `([^`]+)`|unknown field `([^`]+)`", message):
        path += f"/{found[1] or found[2]}"
        known = kind.__struct_fields__
        message = no_such("field", found[2], known) if found[2] else "is missing"
    return FieldError(path, "request", _in_words(message))


def _in_words(message: str) -> str:
    """Return msgspec's "Expected `int`, got `str`" without the names of types."""
    message = message.replace("Invalid enum value ", "may not be ", 1)
    message = message.replace("Expected ", "must be ", 1).replace(", got ", ", not ", 1)
    message = message.replace(" | null`", "`")  # what may be null may be left out
    for sign, words in BOUNDS.items():
        message = re.sub(f" {sign} ([0-9]+(?:[.][0-9]*[1-9])?)(?:[.]0)?$", words, message)
    message = message.replace("of length,", "of length")
    return re.sub("`([^`]+)`", lambda found: KINDS.get(found[1], found[1]), message)
