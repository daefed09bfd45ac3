"""The metadata of a repository: drafts, signatures, publication.

    draft (staged/)  --each key holder signs-->  threshold reached  -->  metadata/N.role.json
    snapshot and timestamp follow what lies in metadata/, wherever their keys are at hand

So holders of offline keys can sign one after the other, each on a machine of their own, with the
folder carried between them; nobody needs all keys. What was published never changes: a gateway sees
the state before or the state after, and the timestamp, written last, decides which.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from edge_agent.durable import write_file
from tools.repo import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

TARGETS_ROLES = ("targets", "models", "rollout")
DELEGATORS = {"models": "targets", "rollout": "targets"}
# A copy of the first root in each folder of keys: who signs trusts it, not the folder he is given.
ANCHOR = "1.root.json"
# How long a signature holds. Offline keys are seldom at hand; the online ones sign each day anew
# (`refresh`), and a week bridges a long weekend.
LIFETIME_DAYS = {
    "root": 730,
    "targets": 365,
    "models": 365,
    "rollout": 90,
    "snapshot": 30,
    "timestamp": 7,
}


class RepositoryError(Exception):
    """What was asked cannot be done; the text says why, and what would help."""


@dataclass(frozen=True, slots=True)
class SigningDesk:
    """A repository folder and the keys that are at hand. `now`: in UTC."""

    folder: Path
    key_folders: Sequence[Path]
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    def latest(self, role: str) -> Metadata[Any] | None:
        """Return the newest published metadata of a role."""
        version = self.version(role)
        if not version:
            return None
        return Metadata.from_file(str(self._published(role, version)))

    def require(self, role: str) -> Metadata[Any]:
        """Return the draft of a role, else its newest metadata; raise RepositoryError if none."""
        draft = self.folder / "staged" / f"{role}.json"
        if draft.exists():
            return Metadata.from_file(str(draft))
        metadata = self.require_published(role)
        self._check_roots()
        for name in filter(None, (DELEGATORS.get(role), role)):
            if not self._counts(name, self.require_published(name)):
                # Whoever may write to the server could have put it there, to have it signed here.
                raise RepositoryError(f"the newest {name} is not signed as it must be")
        return metadata

    def require_published(self, role: str) -> Metadata[Any]:
        """Return the newest published metadata of a role; raise RepositoryError if none."""
        metadata = self.latest(role)
        if metadata is None:
            raise RepositoryError(f"{self.folder} is no repository: `init` makes one")
        return metadata

    def version(self, role: str) -> int:
        """Return the version of a role's newest published metadata, 0 where there is none."""
        folder = self.folder / "metadata"
        if role == "timestamp":
            path = folder / "timestamp.json"
            return Metadata.from_file(str(path)).signed.version if path.exists() else 0
        found = folder.glob(f"[0-9]*.{role}.json")
        return max((int(path.name.partition(".")[0]) for path in found), default=0)

    def draft(self, role: str, signed: Root | Targets) -> None:
        """Put a changed role aside for its signatures, as the version after the published one."""
        signed.version = self.version(role) + 1
        signed.expires = self._expiry(role)
        self._write(self.folder / "staged" / f"{role}.json", Metadata(signed))

    def advance(self, *, renew: bool = False) -> list[str]:
        """Sign and publish all that the keys at hand allow; return a sentence for each step.

        `renew`: snapshot, timestamp and the fleets' documents get a new date though nothing
        changed.
        """
        self._check_roots()
        said = [self._advance_draft(role) for role in ("root", *TARGETS_ROLES)]
        said.append(self._snapshot(renew=renew))
        said.append(self._timestamp(renew=renew))
        return [sentence for sentence in said if sentence]

    def _advance_draft(self, role: str) -> str:
        path = self.folder / "staged" / f"{role}.json"
        if not path.exists():
            return ""
        delegator = DELEGATORS.get(role, "root")
        if role != "root" and (self.folder / "staged" / f"{delegator}.json").exists():
            return f"{role} waits in staged/ for {delegator}"
        metadata = Metadata[Any].from_file(str(path))
        delegators = self._delegators(role, metadata)
        keyids = {k for d in delegators for k in d.get_delegated_role(role).keyids}
        self._sign(metadata, keyids)
        missing = max(
            (
                d.get_verification_result(role, metadata.signed_bytes, metadata.signatures).missing
                for d in delegators
            ),
            default=0,
        )
        if missing:
            self._write(path, metadata)
            return f"{role} waits in staged/ for {missing} more signature{'s' * (missing > 1)}"
        self._write(self._published(role, metadata.signed.version), metadata)
        path.unlink()
        return f"{role} {metadata.signed.version} published"

    def _delegators(self, role: str, metadata: Metadata[Any]) -> list[Root | Targets]:
        """Return who must be content with the signatures: for a root, the one before as well.

        What is published decides: keys that a draft names do not count yet.
        """
        if role == "root":
            before = self.latest("root")
            return [metadata.signed, *([before.signed] if before else [])]
        delegator = DELEGATORS.get(role, "root")
        published = self.latest(delegator)
        return [(published or self.require(delegator)).signed]

    def _snapshot(self, *, renew: bool) -> str:
        versions = {role: self.version(role) for role in TARGETS_ROLES}
        meta = {
            f"{role}.json": self._described(role, version)
            for role, version in versions.items()
            if version
        }
        before = self.latest("snapshot")
        if before and not renew and before.signed.meta == meta and self._counts("snapshot", before):
            return ""
        if len(meta) < len(TARGETS_ROLES):
            return ""
        for role in TARGETS_ROLES:
            # Until then gateways see the state before, in which the old keys count.
            if not self._counts(role, self.require_published(role)):
                return f"snapshot waits until {role} is signed by its new keys"
        version = self.version("snapshot") + 1
        metadata = Metadata(Snapshot(version=version, expires=self._expiry("snapshot"), meta=meta))
        return self._publish_online("snapshot", metadata)

    def _timestamp(self, *, renew: bool) -> str:
        if not self.version("snapshot"):
            return ""
        meta = self._described("snapshot", self.version("snapshot"))
        before = self.latest("timestamp")
        same = before is not None and before.signed.snapshot_meta == meta
        if before and same and not renew and self._counts("timestamp", before):
            return ""
        timestamp = Timestamp(
            version=self.version("timestamp") + 1,
            expires=self._expiry("timestamp"),
            snapshot_meta=meta,
        )
        return self._publish_online("timestamp", Metadata(timestamp))

    def _publish_online(self, role: str, metadata: Metadata[Any]) -> str:
        root = self.latest("root")
        if root is None:
            return ""
        self._sign(metadata, root.signed.get_delegated_role(role).keyids)
        if not self._counts(role, metadata):
            return f"{role} is not signed: its key is not here; run `refresh` where it is"
        self._write(self._published(role, metadata.signed.version), metadata)
        return f"{role} {metadata.signed.version} published"

    def _check_roots(self) -> None:
        """Raise RepositoryError where the roots do not follow from the one that the keys know."""
        folder = self.folder / "metadata"
        for keyring in (path for keys_ in self.key_folders for path in keys_.rglob(ANCHOR)):
            if (folder / ANCHOR).exists() and keyring.read_bytes() != (
                folder / ANCHOR
            ).read_bytes():
                raise RepositoryError(f"{folder / ANCHOR} is not the root of the keys in {keyring}")
        for version in range(2, self.version("root") + 1):
            before = Metadata[Root].from_file(str(folder / f"{version - 1}.root.json"))
            root = Metadata[Root].from_file(str(folder / f"{version}.root.json"))
            try:
                before.signed.verify_delegate("root", root.signed_bytes, root.signatures)
                root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
            except UnsignedMetadataError as error:
                raise RepositoryError(
                    f"root {version} does not follow from the last: {error}"
                ) from None

    def _counts(self, role: str, metadata: Metadata[Any]) -> bool:
        """Return whether those who named the role's keys are content with the signatures."""
        try:
            for delegator in self._delegators(role, metadata):
                delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
        except UnsignedMetadataError:
            return False
        return True

    def _sign(self, metadata: Metadata[Any], keyids: Any) -> None:  # noqa: ANN401  any collection
        for signer in keys.signers(self.key_folders, set(keyids)):
            metadata.sign(signer, append=True)

    def _published(self, role: str, version: int) -> Path:
        name = "timestamp.json" if role == "timestamp" else f"{version}.{role}.json"
        return self.folder / "metadata" / name

    def _described(self, role: str, version: int) -> MetaFile:
        content = self._published(role, version).read_bytes()
        return MetaFile.from_data(version, content, ["sha256"])

    def _expiry(self, role: str) -> dt.datetime:
        return self.now().replace(microsecond=0) + dt.timedelta(days=LIFETIME_DAYS[role])

    def _write(self, path: Path, metadata: Metadata[Any]) -> None:
        write_file(path, metadata.to_bytes(PRETTY))


# Readable for people; compressed on the line it is as small as the compact form.
PRETTY = JSONSerializer(compact=False)
