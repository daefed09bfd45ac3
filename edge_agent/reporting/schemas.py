"""The JSON Schema of every message; `edge-agent schema FOLDER` writes them all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_agent.production.shift_message import ShiftMessage
from edge_agent.reporting import control_messages, messages, watch_messages
from edge_agent.reporting.gap_message import GapMessage
from edge_agent.reporting.model_messages import ModelStatusMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MESSAGES: Mapping[str, type[msgspec.Struct]] = {
    "verdict": messages.VerdictMessage,
    "last": messages.LastMessage,
    "stats": messages.StatsMessage,
    "status": messages.StatusMessage,
    "info": messages.InfoMessage,
    "health": messages.HealthMessage,
    "alert": messages.AlertMessage,
    "gap": GapMessage,
    "config-reported": control_messages.ConfigReported,
    "config-result": control_messages.ConfigResult,
    "command-result": control_messages.CommandResult,
    "source": watch_messages.SourceMessage,
    "drift": watch_messages.DriftMessage,
    "shift": ShiftMessage,
    "model-status": ModelStatusMessage,
}


def schema(name: str) -> dict[str, Any]:
    """Return the schema of the message `name`, as a tree."""
    tree = msgspec.json.schema(MESSAGES[name])
    return {"$schema": DIALECT, "title": name, **tree}


def write(folder: Path) -> None:
    """Write each schema to its own file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in MESSAGES:
        text = msgspec.json.format(msgspec.json.encode(schema(name)), indent=2)
        (folder / f"{name}.schema.json").write_bytes(text + b"\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
