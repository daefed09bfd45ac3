"""What a slot runs and where it stands: two alternating copies on the disk, the only truth.

A write goes to the older copy, so that one whole copy is there at every moment. A copy carries its
checksum; of two that hold, the one written last counts.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_agent.durable import write_file
from edge_agent.modelstore.desired import ModelRef, Rollout
from edge_agent.modelstore.states import State

if TYPE_CHECKING:
    from pathlib import Path

COPIES = ("state.a", "state.b")
QUARANTINED_MOST = 100


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the store: folder gens/<number>. `digest`: sha256 of its model file.

    `blobs`: the hashes of all its files.
    """

    number: int
    model: ModelRef
    digest: str
    seq: int
    blobs: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """The model on its way. `due_s`: not before, seconds since 1970; `attempt`: how often begun."""

    generation: Generation
    rollout: Rollout | None = None
    due_s: float = 0.0
    attempt: int = 0

    @property
    def rollout_id(self) -> str:
        """The rollout that brings it, or ""."""
        return self.rollout.id if self.rollout else ""


class Failure(msgspec.Struct, frozen=True):
    """Why something did not become: a code of codes.py, and a sentence."""

    code: str
    detail: str


class SlotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One copy. No `active` generation: what runs is the factory's, the bundle of the config.

    `fallback`: the one confirmed before, None for the factory's. `starts`: how often `active` was
    begun without having run well. `factory`: the model_id of the factory's. `quarantine`: why a
    digest may not run here again; `quarantined_as`: the name it came by, where that is known.
    `last_number`: of generations.
    """

    serial: int = 0
    state: State = "idle"
    factory: str = ""
    active: Generation | None = None
    fallback: Generation | None = None
    candidate: Candidate | None = None
    error: Failure | None = None
    starts: int = 0
    last_number: int = 0
    quarantine: dict[str, str] = {}
    quarantined_as: dict[str, str] = {}

    @property
    def generations(self) -> tuple[Generation, ...]:
        """Those whose files must stay."""
        candidate = self.candidate.generation if self.candidate else None
        return tuple(each for each in (self.active, self.fallback, candidate) if each)

    def quarantining(self, generation: Generation, why: str) -> dict[str, dict[str, str]]:
        """Return the fields with one more digest; the oldest goes where there are too many."""
        digest = generation.digest
        kept = list(self.releasing(digest)["quarantine"].items())[-(QUARANTINED_MOST - 1) :]
        names = {known: self.quarantined_as.get(known, "") for known, _ in kept}
        return {
            "quarantine": {**dict(kept), digest: why},
            "quarantined_as": {**names, digest: str(generation.model)},
        }

    def releasing(self, digest: str) -> dict[str, dict[str, str]]:
        """Return the fields without a digest."""
        return {
            "quarantine": {k: why for k, why in self.quarantine.items() if k != digest},
            "quarantined_as": {k: name for k, name in self.quarantined_as.items() if k != digest},
        }

    def quarantined_name(self, digest: str) -> str:
        """Return what people know a digest in quarantine by."""
        name = self.quarantined_as.get(digest, "")
        return f"{name} ({digest[:12]})" if name else digest[:12]


@dataclass(frozen=True, slots=True)
class RecordFile:
    """The two copies in the folder of a slot. One thread writes them."""

    folder: Path

    def read(self) -> SlotRecord:
        """Return the newest copy that holds; an empty record where none does."""
        found = [record for name in COPIES if (record := _read(self.folder / name))]
        return max(found, key=lambda record: record.serial, default=SlotRecord())

    def write(self, record: SlotRecord) -> SlotRecord:
        """Put a record on the disk over the older copy; return it as written. Raises OSError."""
        copies = {name: _read(self.folder / name) for name in COPIES}
        serials = {name: copy.serial if copy else -1 for name, copy in copies.items()}
        record = msgspec.structs.replace(record, serial=max(*serials.values(), 0) + 1)
        body = msgspec.json.encode(record)
        content = hashlib.sha256(body).hexdigest().encode() + b"\n" + body
        write_file(self.folder / min(COPIES, key=lambda name: serials[name]), content)
        return record


def _read(path: Path) -> SlotRecord | None:
    try:
        checksum, _, body = path.read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != checksum:
            return None
        return msgspec.json.decode(body, type=SlotRecord)
    except (OSError, msgspec.DecodeError):
        return None
