"""A slot's folder: its record, its generations, and what a person at the gateway asks of it.

slots/<slot>/state.a, state.b   the record (slot_record.py)
slots/<slot>/gens/<n>/          bundles
slots/<slot>/pin                there: no other model is taken
slots/<slot>/recall             the digest of a model: go back to the one before it
slots/<slot>/release/<digest>   there: let this file out of quarantine

The last three are written by `edge-agent models` and read by the agent.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.durable import sync_folder, write_file
from edge_agent.modelstore.slot_record import RecordFile

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.modelstore.layout import StoreLayout
    from edge_agent.modelstore.slot_record import Generation, SlotRecord

SHA256_LENGTH = 64


@dataclass(frozen=True, slots=True)
class SlotFolder:
    """The folder of one slot."""

    layout: StoreLayout
    slot: str

    @property
    def folder(self) -> Path:
        """Return the folder itself."""
        return self.layout.root / "slots" / self.slot

    @property
    def record(self) -> RecordFile:
        """Return the record's two copies."""
        return RecordFile(self.folder)

    def bundle(self, generation: Generation) -> Path:
        """Return where a generation's bundle lies."""
        return self.layout.generation(self.slot, generation.number)

    def drop_others(self, record: SlotRecord) -> None:
        """Remove the bundles that the record does not name. Raises OSError."""
        keep = {str(each.number) for each in record.generations}
        folder = self.folder / "gens"
        for bundle in folder.iterdir() if folder.is_dir() else ():
            if bundle.name not in keep:
                shutil.rmtree(bundle)

    @property
    def pinned(self) -> bool:
        """Whether no other model is to be taken."""
        return (self.folder / "pin").exists()

    def pin(self, *, on: bool) -> None:
        """Take no other model, or take them again. Raises OSError."""
        self._mark("pin", on=on)

    @property
    def recalled(self) -> str:
        """The digest of the model that is not to run here any more, or ""."""
        try:
            return (self.folder / "recall").read_text(errors="replace")
        except OSError:
            return ""

    def recall(self, digest: str) -> None:
        """Ask for the model before this one; "": note that it was done. Raises OSError."""
        self._mark("recall", on=bool(digest), content=digest.encode())

    @property
    def releases(self) -> tuple[str, ...]:
        """Digests that are to leave the quarantine."""
        folder = self.folder / "release"
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return tuple(name for name in names if len(name) == SHA256_LENGTH)  # not one being written

    def release(self, digest: str, *, on: bool) -> None:
        """Ask for it, or note that it was done. Raises OSError."""
        self._mark(f"release/{digest}", on=on)

    def _mark(self, name: str, *, on: bool, content: bytes = b"") -> None:
        path = self.folder / name
        if on:
            write_file(path, content)
        elif path.exists():
            path.unlink()
            sync_folder(path.parent)
