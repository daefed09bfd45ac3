"""From a tree that somebody sent to a config that can be put in force without a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from edge_agent.config import Config, parse_tree
from edge_agent.errors import ConfigError, FieldError
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
    """Return the config that a tree says. Raises ConfigError, also where it touches what is fixed.

    What comes from the environment (the broker's user and password) stays as it is.
    """
    config = parse_tree(tree)
    wrong = [
        FieldError(path, "fixed", FIXED)
        for field in sorted(Config.model_fields.keys() - set(LIVE))
        for path in _differences(getattr(current, field), getattr(config, field), f"/{field}")
        if path != "/broker/password"
        and not (path == "/broker/username" and "username" not in config.broker.model_fields_set)
    ]
    if wrong:
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


def _differences(before: object, after: object, path: str) -> Iterator[str]:
    if isinstance(before, BaseModel) and type(before) is type(after):
        for name in type(before).model_fields:
            yield from _differences(getattr(before, name), getattr(after, name), f"{path}/{name}")
    elif before != after:
        yield path
