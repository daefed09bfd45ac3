"""What whoever stole keys, or holds the server, can do to a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tuf.api.metadata import Metadata, MetaFile

from tools.repo import keys
from tools.repo.signing import PRETTY

if TYPE_CHECKING:
    from tests.modelstore.plant import Owner


def sign(owner: Owner, role: str, signed: Any, signing_role: str) -> None:
    """Publish metadata as a thief of one key would: signed by `signing_role`'s key alone."""
    ring = [e for e in keys.read_keyring(owner.root / "keys" / "online") if e.role == signing_role]
    metadata = Metadata(signed)
    metadata.sign(ring[-1].signer())
    name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
    path = owner.desk.folder / "metadata" / name
    path.unlink(missing_ok=True)
    path.write_bytes(metadata.to_bytes(PRETTY))


def point_at(owner: Owner, role: str) -> None:
    """Sign snapshot and timestamp over whatever lies in metadata/, as a thief of both could."""
    if role != "snapshot":
        snapshot = owner.desk.require("snapshot").signed
        snapshot.version += 1
        content = (
            owner.desk.folder / "metadata" / f"{owner.desk.version(role)}.{role}.json"
        ).read_bytes()
        snapshot.meta[f"{role}.json"] = MetaFile.from_data(
            owner.desk.version(role), content, ["sha256"]
        )
        sign(owner, "snapshot", snapshot, "snapshot")
    timestamp = owner.desk.require("timestamp").signed
    timestamp.version += 1
    newest = owner.desk.version("snapshot")
    path = owner.desk.folder / "metadata" / f"{newest}.snapshot.json"
    timestamp.snapshot_meta = MetaFile.from_data(newest, path.read_bytes(), ["sha256"])
    sign(owner, "timestamp", timestamp, "timestamp")
