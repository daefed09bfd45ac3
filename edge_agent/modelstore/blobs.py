"""Verified files by their content: blobs/sha256/aa/<hex>, read-only, shared by all generations.

A file gets its name here only after its hash was taken from the disk's own copy, so that whoever
finds a name finds the content. Whoever loads a model hashes it once more (manifest.load_bundle):
disks rot.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.durable import make_folder, move_into_place, sync_folder, write_file
from edge_agent.errors import SyncError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from edge_agent.modelstore.layout import StoreLayout
    from edge_agent.modelstore.manifest import ModelFile

READ_ONLY = 0o444
# The outbox of verdicts and the system's logs live on the same disk and must go on writing.
KEEP_FREE_BYTES = 64 << 20
PARTIAL_MAX_AGE_S = 14 * 86_400.0


def free_bytes(folder: Path) -> int:
    """Return what an ordinary user may still write to the file system of `folder`."""
    return shutil.disk_usage(folder).free


@dataclass(frozen=True, slots=True)
class BlobStore:
    """The blobs of one gateway. `quota_bytes` holds for blobs and partial files together."""

    layout: StoreLayout
    quota_bytes: int
    free: Callable[[Path], int] = free_bytes

    def holds(self, sha256: str, length: int) -> bool:
        """Return whether the blob is there, by name and size alone."""
        try:
            return self.layout.blob(sha256).stat().st_size == length
        except OSError:
            return False

    def is_sound(self, sha256: str) -> bool:
        """Return whether the blob still has its content; reads all of it."""
        try:
            return _hash(self.layout.blob(sha256)) == sha256
        except OSError:
            return False

    def drop_unsound(self, sha256: str) -> None:
        """Remove the blob if its content changed on the disk, so that it is fetched anew."""
        blob = self.layout.blob(sha256)
        if blob.exists() and not self.is_sound(sha256):
            blob.unlink()
            sync_folder(blob.parent)

    def part_length(self, sha256: str) -> int:
        """Return how many bytes of the blob were fetched before."""
        try:
            return self.layout.partial(sha256).stat().st_size
        except OSError:
            return 0

    def open_part(self, sha256: str) -> int:
        """Return a descriptor that appends to the partial file. Raises OSError."""
        path = self.layout.partial(sha256)
        make_folder(path.parent)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def drop_part(self, sha256: str) -> None:
        """Forget what was fetched of the blob. Raises OSError."""
        self.layout.partial(sha256).unlink(missing_ok=True)

    def adopt(self, sha256: str, length: int) -> None:
        """Give the partial file its name if its content is right.

        Raises SyncError `bad_blob`, the partial file is gone then; OSError.
        """
        part = self.layout.partial(sha256)
        if part.stat().st_size != length or _hash(part) != sha256:
            part.unlink()
            raise SyncError("bad_blob", f"{sha256[:12]}: the bytes do not match the manifest")
        blob = self.layout.blob(sha256)
        make_folder(blob.parent)
        move_into_place(part, blob, mode=READ_ONLY)
        sync_folder(part.parent)

    def require_room(self, missing_bytes: int, keep: Collection[str]) -> None:
        """See that `missing_bytes` fit, collecting blobs that are not in `keep` if need be.

        Raises SyncError `no_room`: before a fetch rather than in the middle of it.
        """
        make_folder(self.layout.root)
        over_quota = self._used() + missing_bytes - self.quota_bytes
        over_disk = missing_bytes + KEEP_FREE_BYTES - self.free(self.layout.root)
        short = max(over_quota, over_disk)
        if short > 0:
            short -= self._collect(keep, short)
        if short > 0:
            raise SyncError("no_room", f"{missing_bytes} bytes to fetch, {short} bytes too many")

    def collect(self, keep: Collection[str], now_s: float) -> int:
        """Remove partial files of long ago, and blobs beyond the quota; return the bytes freed.

        `keep`: hashes of the active, fallback and staging generations: never removed. Blobs that
        were there longest go first; folders of generations that link to them must be gone, or no
        room is won. `now_s`: seconds since 1970.
        """
        freed = 0
        for part in (self.layout.root / "partial").glob("*.part"):
            if now_s - part.stat().st_mtime > PARTIAL_MAX_AGE_S:
                freed += part.stat().st_size
                part.unlink()
        return freed + self._collect(keep, self._used() - self.quota_bytes)

    def link_generation(self, folder: Path, manifest: bytes, files: Iterable[ModelFile]) -> None:
        """Make `folder` a bundle of links to blobs: it costs no room, and is whole or has no name.

        All blobs must be there. Raises OSError.
        """
        staging = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(staging, ignore_errors=True)
        make_folder(staging)
        for file in files:
            os.link(self.layout.blob(file.sha256), staging / file.path)
        write_file(staging / "manifest.json", manifest, mode=READ_ONLY)
        shutil.rmtree(folder, ignore_errors=True)
        staging.rename(folder)
        sync_folder(folder.parent)

    def _used(self) -> int:
        parts = (self.layout.root / "partial").glob("*.part")
        return sum(path.stat().st_size for path in (*self._blobs(), *parts))

    def _blobs(self) -> Iterator[Path]:
        return (self.layout.root / "blobs" / "sha256").glob("[0-9a-f][0-9a-f]/*")

    def _collect(self, keep: Collection[str], wanted_bytes: int) -> int:
        freed = 0
        for blob in sorted(self._blobs(), key=lambda path: path.stat().st_mtime_ns):
            if freed >= wanted_bytes:
                break
            if blob.name not in keep:
                freed += blob.stat().st_size
                blob.unlink()
                sync_folder(blob.parent)
        return freed


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
