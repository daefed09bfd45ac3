"""From a tree that somebody sent to a config that can be put in force without a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from edge_agent.config import Config, PipelineOptions, parse_tree
from edge_agent.control.libraries import brought
from edge_agent.errors import ConfigError, FieldError, no_such
from edge_agent.inference.accelerator import word_for

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a running agent can go over to. The rest says who it is and how it is reached: whoever
# changes that from afar may cut it off, and it is set once, in the file.
LIVE = ("pipelines", "worker_memory_mb", "stop_timeout_s", "stats_every_s")
# And to these from the file alone: who may be told what, how the plant counts, and which libraries
# are loaded, is its owner's.
RELOADED = ("production", "http", "health", "accelerators")
FIXED = "cannot be changed over MQTT; change the config file on the gateway, and reload"

NEEDED = tuple(name for name, field in PipelineOptions.model_fields.items() if field.is_required())


def tree_of(config: Config) -> dict[str, Any]:
    """Return the tree of a config as a person would write it.

    No defaults, no password, and accelerators by their words.
    """
    tree = config.model_dump(mode="json", exclude_unset=True)
    for name, pipeline in tree.get("pipelines", {}).items():
        word = word_for(config.pipelines[name].accelerator, config.accelerators)
        if word and "accelerator" in pipeline:
            pipeline["accelerator"] = word
    if isinstance(tree.get("broker"), dict):
        tree["broker"].pop("password", None)
    return tree


def candidate(tree: dict[str, Any], current: Config) -> Config:
    """Return the config that a tree says. Raises ConfigError.

    It may touch nothing that is fixed, and bring no library. What comes from the environment (the
    broker's user and password) stays as it is.
    """
    try:
        config = parse_tree(tree)
    except ConfigError as error:
        wrong = _with_misspelt(error.fields, tree, current)
        raise ConfigError(wrong + _fixed_of_wrong(tree, current)) from None
    if wrong := _fixed(config, current) + brought(config, current):
        raise ConfigError(wrong)
    return with_fixed(config, current)


def with_fixed(config: Config, current: Config) -> Config:
    """Return a config with all that is fixed taken from `current`."""
    fixed = {name: getattr(current, name) for name in Config.model_fields if name not in LIVE}
    return config.model_copy(update=fixed)


def same_start(before: Config, after: Config) -> bool:
    """Say whether an agent that began with the file `before` can go over to `after`."""
    same = {name: getattr(after, name) for name in (*LIVE, *RELOADED)}
    return before.model_copy(update=same) == after


def _fixed(config: Config, current: Config) -> list[FieldError]:
    """Return what a config would change of what is fixed."""
    return [
        FieldError(path, "fixed", FIXED)
        for field in sorted(Config.model_fields.keys() - set(LIVE))
        for path in _differences(getattr(current, field), getattr(config, field), f"/{field}")
        if path != "/broker/password"
        and not (path == "/broker/username" and "username" not in config.broker.model_fields_set)
    ]


def _fixed_of_wrong(tree: dict[str, Any], current: Config) -> list[FieldError]:
    """Return what a tree would change of what is fixed, as far as only the rest of it is wrong."""
    live = {name: value for name, value in tree_of(current).items() if name in LIVE}
    try:
        return _fixed(parse_tree({**tree, **live}), current)
    except ConfigError:
        return []


def _with_misspelt(
    wrong: list[FieldError], tree: dict[str, Any], current: Config
) -> list[FieldError]:
    """Return what is wrong, and a pipeline that is new and has nothing it needs as no such one."""
    missing = {field.path for field in wrong if field.kind == "missing"}
    pipelines = tree.get("pipelines")
    for name in pipelines if isinstance(pipelines, dict) else ():
        place = f"/pipelines/{name}"
        if name not in current.pipelines and {f"{place}/{each}" for each in NEEDED} <= missing:
            text = f"{no_such('pipeline', name, current.pipelines)}; a new one needs"
            wrong = [field for field in wrong if not field.path.startswith(f"{place}/")]
            wrong.append(FieldError(place, "unknown", f"{text} {', '.join(NEEDED)}"))
    return wrong


def _differences(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, BaseModel) and type(before) is type(after):
        for name in type(before).model_fields:
            yield from _differences(getattr(before, name), getattr(after, name), f"{path}/{name}")
    elif before != after:
        yield path
