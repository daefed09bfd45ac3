"""Which bundle a slot runs, by what is on the disk: for whoever gives workers their orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import ModelError
from edge_agent.modelstore.desired import ModelRef
from edge_agent.modelstore.manifest import MAX_MANIFEST_BYTES, parse_manifest
from edge_agent.modelstore.slots import SlotFolder

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.modelstore.layout import StoreLayout


def bundle_name(folder: Path) -> ModelRef | None:
    """Return what the bundle in a folder is called; None where its manifest cannot be read."""
    try:
        with (folder / "manifest.json").open("rb") as file:
            manifest = parse_manifest(file.read(MAX_MANIFEST_BYTES))
    except (OSError, ModelError):
        return None
    return ModelRef(manifest.model_id, manifest.version)


def in_force(layout: StoreLayout, slot: str, factory: Path) -> str:
    """Return the bundle that a slot runs instead of the config's, or "" where it runs that."""
    record = SlotFolder(layout, slot).record.read()
    if record.active is None:
        return ""
    name = bundle_name(factory)
    if name is not None and record.factory not in {"", name.model_id}:
        return ""
    return str(SlotFolder(layout, slot).bundle(record.active))
