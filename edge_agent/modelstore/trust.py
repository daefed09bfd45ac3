"""What the repository's keys vouch for, seen by one gateway: TUF over any origin.

    root (pinned) -> timestamp -> snapshot -> targets -> models    which manifests there are
                                                      -> rollout   which document says who runs them

python-tuf decides which metadata holds; this adds what it leaves to others: the pinned root at each
start, a clock that may be wrong, floors, the disk. A refusal changes nothing on the gateway: what
runs keeps running, also when all metadata has expired.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from edge_agent.durable import make_folder, sync_tree, write_file
from edge_agent.errors import ModelError, SyncError
from edge_agent.lazy import lazy_module
from edge_agent.modelstore import desired, floors
from edge_agent.modelstore.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import tuf.api.exceptions as tuf_errors
    import tuf.api.serialization as tuf_format
    import tuf.ngclient.config as tuf_config
    import tuf.ngclient.updater as tuf_client
    from tuf.api.metadata import DelegatedRole, TargetFile
    from tuf.ngclient.fetcher import FetcherInterface
    from tuf.ngclient.updater import Updater

    from edge_agent.modelstore.desired import Desired, ModelRef
    from edge_agent.modelstore.floors import Floors
    from edge_agent.modelstore.layout import StoreLayout
    from edge_agent.modelstore.origin import Origin
else:
    # 16 MB: whoever must stay small does this in a child process.
    tuf_errors = lazy_module("tuf.api.exceptions")
    tuf_format = lazy_module("tuf.api.serialization")
    tuf_config = lazy_module("tuf.ngclient.config")
    tuf_client = lazy_module("tuf.ngclient.updater")

# Far above what a fleet needs (a model is 300 bytes of it), far below what hurts a gateway.
MAX_TARGETS_BYTES = 4 << 20
HTTP_STATUS = {"not_found": 404}


@dataclass(frozen=True, slots=True)
class SignedManifest:
    """A manifest that the `models` role vouches for: its bytes as published, and what they say."""

    manifest: Manifest
    content: bytes


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository as one gateway trusts it.

    `pinned_root`: the bytes of a root.json that came with the agent or its config, never from the
    repository. `clock_s`: seconds since 1970. The caller holds the store's lock: two at a time
    would spoil python-tuf's folder.
    """

    layout: StoreLayout
    origin: Origin
    pinned_root: bytes
    clock_s: Callable[[], float]

    def refresh(self) -> TrustedView:
        """Ask for news and return what holds now.

        Raises SyncError: `untrusted`, `expired`, or what the origin says; OSError where the disk
        fails. Two requests where there is no news.
        """
        floor_file = floors.FloorFile(self.layout.floor)
        known = floor_file.read()
        make_folder(self.layout.metadata)
        clock_s = self.clock_s()
        try:
            updater = self._updater(floors.believed_time_s(clock_s, known))
            updater.refresh()
            # Its delegations are read now, so that a view is complete or was never there.
            updater.get_targetinfo("models/-/-/manifest.json")
        except (tuf_errors.RepositoryError, tuf_errors.DownloadError, ValueError) as error:
            raise _refusal(error) from error
        sync_tree(self.layout.metadata)
        view = TrustedView(self.origin, updater, floor_file, self.layout)
        view.raise_floors(clock_s)
        return view

    def _updater(self, time_s: float) -> Updater:
        updater = tuf_client.Updater(
            metadata_dir=str(self.layout.metadata),
            metadata_base_url="metadata/",
            fetcher=cast("FetcherInterface", _Metadata(self.origin)),
            config=tuf_config.UpdaterConfig(targets_max_length=MAX_TARGETS_BYTES),
            bootstrap=self.pinned_root,
        )
        # There is no public way to tell it the time; test_trust.py sees if this one closes.
        trusted = updater._trusted_set  # noqa: SLF001
        trusted.reference_time = dt.datetime.fromtimestamp(time_s, dt.UTC)
        return updater


@dataclass(frozen=True, slots=True)
class TrustedView:
    """What held at one refresh. Its documents are read from the origin when they are asked for."""

    origin: Origin
    updater: Updater
    floor_file: floors.FloorFile
    layout: StoreLayout

    def desired(self, fleet: str) -> Desired:
        """Return the fleet's document, from this gateway's disk where it has not changed.

        Raises SyncError: `not_signed`, `bad_document`, `rolled_back`, or what the origin says.
        """
        path = f"rollout/{fleet}/desired.json"
        kept = self.layout.desired(fleet)
        content = self._target(path, desired.MAX_DESIRED_BYTES, kept)
        document = desired.parse(content)
        counted = f"{fleet} {self._signers('rollout')}"
        self._write_floors(lambda known: floors.with_epoch(known, counted, document.epoch))
        return document

    def manifest(self, model: ModelRef, agent_version: str) -> SignedManifest:
        """Return the manifest of a model by its name.

        Raises SyncError: `not_signed`, `bad_document`, `too_new`, or what the origin says. Whether
        it is too old for this gateway, floors.admit tells.
        """
        path = f"models/{model.model_id}/{model.version}/manifest.json"
        content = self._target(path, MAX_MANIFEST_BYTES)
        try:
            manifest = parse_manifest(content)
        except ModelError as error:
            raise SyncError("bad_document", f"{path}: {error}") from None
        if (manifest.model_id, manifest.version) != (model.model_id, model.version):
            raise SyncError("bad_document", f"{path}: is of {manifest.model_id} itself")
        if _numbers(manifest.min_agent) > _numbers(agent_version):
            raise SyncError("too_new", f"{path}: asks for agent {manifest.min_agent} or later")
        self._write_floors(
            lambda known: floors.with_min_seq(known, manifest.model_id, manifest.min_seq)
        )
        return SignedManifest(manifest, content)

    def expiries(self) -> dict[str, dt.datetime]:
        """Return until when each role's metadata holds, the first to expire first."""
        trusted = self.updater._trusted_set  # noqa: SLF001  as in raise_floors
        roles = ["root", "timestamp", "snapshot", "targets", *self._delegated()]
        found = {role: trusted[role].expires for role in roles if role in trusted}
        return dict(sorted(found.items(), key=lambda each: each[1]))

    def floors(self) -> Floors:
        """Return the floors as they are now; see floors.admit."""
        return self.floor_file.read()

    def raise_floors(self, clock_s: float) -> None:
        """Enter what this view proves: a time, and what the `models` role calls too old.

        `min_seq` stands in the metadata itself too: a thief of online keys who never offers the
        newer manifest cannot hide it.
        """
        trusted = self.updater._trusted_set  # noqa: SLF001  no public way to see delegated roles
        known = floors.after_refresh(
            self.floor_file.read(), clock_s, trusted.timestamp.expires.timestamp()
        )
        models = trusted.get("models")
        for target in cast("Any", models).targets.values() if models else ():
            known = _with_custom(known, target)
        self.floor_file.write(known)

    def _target(self, path: str, limit: int, kept: Path | None = None) -> bytes:
        """Return a target; `kept`: a copy on the disk, which is as good while its hash is right."""
        try:
            target = self.updater.get_targetinfo(path)
        except (tuf_errors.RepositoryError, tuf_errors.DownloadError, ValueError) as error:
            raise _refusal(error) from error
        if target is None:
            raise SyncError("not_signed", f"{path}: no role vouches for it")
        if kept is not None and (content := _unchanged(kept, target)) is not None:
            return content
        content = self.origin.read(f"targets/{self._name(target)}", min(target.length, limit))
        try:
            target.verify_length_and_hashes(content)
        except tuf_errors.LengthOrHashMismatchError as error:
            raise SyncError("untrusted", f"{path}: {error}") from None
        if kept is not None:
            with contextlib.suppress(OSError):  # a disk that is full costs one more request
                write_file(kept, content)
        return content

    def _signers(self, role: str) -> str:
        """Return a short name for the keys of a delegated role.

        Epochs count per set of keys: whoever stole one may have used the highest epoch there is,
        and the keys that replace it must be heard all the same.
        """
        roles = self._delegated()
        keyids = "".join(sorted(roles[role].keyids)) if role in roles else ""
        return hashlib.sha256(keyids.encode()).hexdigest()[:16]

    def _delegated(self) -> Mapping[str, DelegatedRole]:
        delegations = self.updater._trusted_set.targets.delegations  # noqa: SLF001  as below
        return (delegations.roles if delegations else None) or {}

    def _name(self, target: TargetFile) -> str:
        trusted = self.updater._trusted_set  # noqa: SLF001  as in raise_floors
        if trusted.root.consistent_snapshot and self.updater.config.prefix_targets_with_hash:
            return target.get_prefixed_paths()[0]
        return target.path

    def _write_floors(self, change: Callable[[Floors], Floors]) -> None:
        self.floor_file.write(change(self.floor_file.read()))


@dataclass(frozen=True, slots=True)
class _Metadata:
    """What python-tuf asks of a fetcher, for metadata: targets are read by TrustedView."""

    origin: Origin

    def download_bytes(self, url: str, max_length: int) -> bytes:
        try:
            return self.origin.read(url, max_length)
        except SyncError as failure:
            if failure.code in HTTP_STATUS:
                status = HTTP_STATUS[failure.code]
                raise tuf_errors.DownloadHTTPError(failure.detail, status) from failure
            if failure.code == "too_large":
                raise tuf_errors.DownloadLengthMismatchError(failure.detail) from failure
            raise tuf_errors.DownloadError(failure.detail) from failure


def _unchanged(kept: Path, target: TargetFile) -> bytes | None:
    """Return the copy if it is what the target is now."""
    try:
        content = kept.read_bytes()
        target.verify_length_and_hashes(content)
    except (OSError, tuf_errors.LengthOrHashMismatchError):
        return None
    return content


def _refusal(error: Exception) -> SyncError:
    """Return the code and sentence for what python-tuf raised."""
    if isinstance(error.__cause__, SyncError):
        return error.__cause__
    if isinstance(error, tuf_errors.ExpiredMetadataError):
        return SyncError("expired", str(error))
    if isinstance(error, tuf_format.DeserializationError):
        return SyncError("bad_answer", f"no metadata, but something else: {error}")
    return SyncError("untrusted", f"{type(error).__name__}: {error}")


def _with_custom(known: Floors, target: TargetFile) -> Floors:
    custom = target.custom if isinstance(target.custom, dict) else {}
    model_id, min_seq = target.path.split("/")[1:2], custom.get("min_seq")
    if model_id and isinstance(min_seq, int):
        return floors.with_min_seq(known, model_id[0], min_seq)
    return known


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: "1.2.0+dev" is (1, 2, 0)."""
    parts = version.replace("-", "+").partition("+")[0].split(".")
    return tuple(int(part) for part in parts if part.isdecimal())
