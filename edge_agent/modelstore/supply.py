"""From a model's name to a bundle on this gateway's disk that may be tried.

    name -> signed manifest -> is it too old? -> variants for this hardware -> blobs -> folder

The folder is what manifest.load_bundle and the self-test take: a bundle like those in models/. What
becomes of it is the slot's own story.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.errors import ModelError, SyncError
from edge_agent.inference.accelerator import CPU
from edge_agent.modelstore import floors
from edge_agent.modelstore.manifest import variant_for

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from edge_agent.modelstore.desired import Choice
    from edge_agent.modelstore.fetcher import Fetcher, Progress
    from edge_agent.modelstore.manifest import Manifest, ModelFile, Variant
    from edge_agent.modelstore.trust import SignedManifest, TrustedView


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that may be fetched: nothing of it but the manifest is here yet."""

    signed: SignedManifest
    variants: tuple[Variant, ...]

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """All its files; variants share some."""
        named = {file.path: file for variant in self.variants for file in variant.files}
        return tuple(named.values())

    @property
    def digest(self) -> str:
        """The sha256 of the CPU's model file: what is quarantined when it fails."""
        return next(file.sha256 for file in self.variants[0].files if file.role == "model")

    @property
    def blobs(self) -> frozenset[str]:
        """The hashes of all its files: what GC must keep."""
        return frozenset(file.sha256 for file in self.files)


@dataclass(frozen=True, slots=True)
class Supplied:
    """A bundle folder, and what its bytes cost on the line."""

    folder: Path
    fetched_bytes: int
    requests: int


def offer(view: TrustedView, choice: Choice, *, hw: Collection[str], agent_version: str) -> Offer:
    """Return what is behind a choice, if this gateway may take it.

    Raises SyncError: see TrustedView.manifest, floors.admit, `no_variant`.
    """
    signed = view.manifest(choice.model, agent_version)
    manifest = signed.manifest
    floors.admit(
        view.floors(),
        manifest.model_id,
        manifest.seq,
        allow_downgrade=choice.allow_downgrade,
    )
    return Offer(signed, variants_for(manifest, hw))


def variants_for(manifest: Manifest, hw: Collection[str]) -> tuple[Variant, ...]:
    """Return the variant for the CPU, which every gateway needs, and behind it those for `hw`.

    Raises SyncError `no_variant` where there is none for the CPU.
    """
    try:
        plain = variant_for(manifest, CPU)
    except ModelError as error:
        raise SyncError("no_variant", f"{manifest.model_id}: {error}") from None
    others = (v for v in manifest.variants if v is not plain and "cpu" not in v.hw)
    return (plain, *(v for v in others if not set(v.hw).isdisjoint(hw)))


def supply(fetcher: Fetcher, offered: Offer, folder: Path, keep: Collection[str]) -> Supplied:
    """Fetch what is missing and make `folder` the bundle.

    `keep`: hashes of blobs that must not be collected to make room (those of all generations that
    count). Raises SyncError, OSError; calling it again goes on where it ended.
    """
    store = fetcher.store
    files = offered.files
    for file in files:
        store.drop_unsound(file.sha256)
    missing = {
        file.sha256: file.length for file in files if not store.holds(file.sha256, file.length)
    }
    left = sum(length - store.part_length(sha256) for sha256, length in missing.items())
    store.require_room(max(0, left), {*keep, *offered.blobs})
    spent: list[Progress] = [fetcher.fetch(sha256, length) for sha256, length in missing.items()]
    store.link_generation(folder, offered.signed.content, files)
    return Supplied(
        folder,
        fetched_bytes=sum(progress.fetched for progress in spent),
        requests=sum(progress.requests for progress in spent),
    )
