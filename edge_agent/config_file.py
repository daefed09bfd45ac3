"""The config file of a gateway: TOML, or JSON by its ending; secrets come from the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from edge_agent.config import Config, parse_tree, strict_json, toml_tree

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.environment import Secrets


def read_config(path: Path) -> Config:
    """Return the config in a file. Raises ConfigError, OSError."""
    return parse_tree(read_tree(path), secrets())


def read_tree(path: Path) -> object:
    """Return what a file says, as JSON would. Raises ConfigError, OSError."""
    read = strict_json if path.suffix == ".json" else toml_tree
    return read(path.read_bytes())


def secrets() -> Secrets | None:
    """Return what the environment says of secrets; None where it says nothing."""
    if not any(name.upper().startswith("EDGE_AGENT_") for name in os.environ):
        return None
    # Only where there are secrets: its library costs a gateway 16 MB and a quarter of a second.
    from edge_agent.environment import Secrets  # noqa: PLC0415

    return Secrets()
