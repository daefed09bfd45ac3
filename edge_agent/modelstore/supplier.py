"""What the updater asks of a repository: is there news, and bring it. In this process, or a child.

The libraries behind it take 16 MB and read what strangers wrote: the agent has a child process do
it, which ends afterwards (supply_child.py). A simulated fleet does it in threads.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from edge_agent.errors import SyncError
from edge_agent.modelstore import supply
from edge_agent.modelstore.blobs import BlobStore
from edge_agent.modelstore.desired import Gateway, ModelRef, Rollout
from edge_agent.modelstore.desired_source import (
    OpenAction,
    RepositorySource,
    SlotReport,
    origin_of,
)
from edge_agent.modelstore.fetcher import Fetcher, Limits
from edge_agent.modelstore.hawkbit import HawkbitAddress, HawkbitSource
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.manifest import parse_manifest
from edge_agent.modelstore.trust import Repository, SignedManifest

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping

    from edge_agent.modelstore.desired import Choice
    from edge_agent.modelstore.desired_source import DesiredSource
    from edge_agent.modelstore.fetcher import Progress
    from edge_agent.modelstore.trust import TrustedView


class News(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a slot should run: signed, not too old, and not here yet.

    `digest`: of its model file; `manifest`: as it was signed; `length`: of all its files, bytes.
    """

    slot: str
    model: ModelRef
    digest: str
    seq: int
    blobs: tuple[str, ...]
    length: int
    manifest: bytes
    rollout: Rollout | None = None

    @property
    def rollout_id(self) -> str:
        """The rollout that brings it, or ""."""
        return self.rollout.id if self.rollout else ""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a model that a slot should run must not come, as code and sentence."""

    model: ModelRef
    rollout_id: str
    code: str
    detail: str


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a look found. `satisfied`: slots that run what they should, or that nobody names.

    `refused`: by slot. `action`: what a fleet server waits to hear of.
    """

    news: tuple[News, ...] = ()
    refused: dict[str, Refusal] = {}
    satisfied: tuple[str, ...] = ()
    action: OpenAction | None = None


class Fetched(msgspec.Struct, frozen=True):
    """What it cost on the line."""

    fetched_bytes: int
    requests: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a gateway asks, and as whom; all paths absolute."""

    store: str
    url: str
    root: str
    fleet: str
    device: str
    site: str
    line: str
    hw: tuple[str, ...]
    tags: tuple[str, ...]
    agent_version: str
    quota_bytes: int
    proxy: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    hawkbit: HawkbitAddress | None = None

    @property
    def http(self) -> HttpSettings:
        """How its servers are reached."""
        return HttpSettings(self.proxy, self.ca_file, self.cert_file, self.key_file)


class Supplier(Protocol):
    """All but `stop` may take long. Raise SyncError, OSError."""

    def look(self, running: Mapping[str, ModelRef]) -> Look:
        """Ask for news about these slots, which run these models."""

    def fetch(
        self, news: News, folder: Path, keep: Collection[str], say: Callable[[int], None]
    ) -> Fetched:
        """Make `folder` the bundle. `keep`: hashes of blobs in use; `say` hears bytes so far."""

    def tell(self, action: OpenAction, reports: Collection[SlotReport]) -> OpenAction | None:
        """Report to the fleet server, in order; return what it still waits for."""

    def stop(self) -> None:
        """Have whatever goes on end soon; for any thread."""


@dataclass(frozen=True, slots=True)
class RepositorySupplier:
    """Asks a TUF repository, in this process. One thread uses it."""

    place: Place
    stopping: threading.Event
    clock_s: Callable[[], float] = time.time
    limits: Limits = field(default_factory=Limits)

    def look(self, running: Mapping[str, ModelRef]) -> Look:
        """See Supplier."""
        place, layout = self.place, StoreLayout(Path(self.place.store))
        source = self._source(None)
        origin = origin_of(place.url, place.http)
        with layout.locked():
            pinned = Path(place.root).read_bytes()
            view = Repository(layout, origin, pinned, self.clock_s).refresh()
            choices = source.get(view, dict(running))
            news: list[News] = []
            refused: dict[str, Refusal] = {}
            satisfied: list[str] = []
            for slot, model in running.items():
                choice = choices.get(slot)
                if choice is None or choice.model == model:
                    satisfied.append(slot)
                    continue
                try:
                    news.append(self._news(view, choice))
                except SyncError as error:
                    refused[slot] = Refusal(
                        model=choice.model,
                        rollout_id=choice.rollout.id if choice.rollout else "",
                        code=error.code,
                        detail=error.detail,
                    )
        return Look(
            news=tuple(news), refused=refused, satisfied=tuple(satisfied), action=source.action
        )

    def fetch(
        self, news: News, folder: Path, keep: Collection[str], say: Callable[[int], None]
    ) -> Fetched:
        """See Supplier."""
        layout = StoreLayout(Path(self.place.store))
        manifest = parse_manifest(news.manifest)
        variants = supply.variants_for(manifest, self.place.hw)
        offered = supply.Offer(SignedManifest(manifest, news.manifest), variants)
        so_far: dict[int, int] = {}

        def heard(progress: Progress) -> None:
            so_far[id(progress)] = progress.fetched
            say(sum(so_far.values()))

        fetcher = Fetcher(
            origin_of(self.place.url, self.place.http),
            BlobStore(layout, self.place.quota_bytes),
            self.limits,
            random.Random(),  # noqa: S311  spreads retries, hides nothing
            self.stopping.wait,
            say=heard,
        )
        with layout.locked():
            got = supply.supply(fetcher, offered, folder, keep)
            fetcher.store.collect({*keep, *news.blobs}, self.clock_s())
        return Fetched(got.fetched_bytes, got.requests)

    def tell(self, action: OpenAction, reports: Collection[SlotReport]) -> OpenAction | None:
        """See Supplier."""
        source = self._source(action)
        for report in reports:
            source.report(report)
        return source.action

    def stop(self) -> None:
        """See Supplier."""
        self.stopping.set()

    def _source(self, action: OpenAction | None) -> DesiredSource:
        place = self.place
        gateway = Gateway(
            place.device, place.site, place.line, frozenset(place.hw), frozenset(place.tags)
        )
        if place.hawkbit is None:
            return RepositorySource(place.fleet, gateway)
        settings = replace(place.http, authorization=place.hawkbit.authorization())
        server = HttpOrigin(place.hawkbit.url, settings)
        utc_ns = partial(_utc_ns, self.clock_s)
        return HawkbitSource(server, place.hawkbit, gateway, utc_ns, action)

    def _news(self, view: TrustedView, choice: Choice) -> News:
        version, hw = self.place.agent_version, self.place.hw
        offered = supply.offer(view, choice, hw=hw, agent_version=version)
        return News(
            slot=choice.slot,
            model=choice.model,
            digest=offered.digest,
            seq=offered.signed.manifest.seq,
            blobs=tuple(sorted(offered.blobs)),
            length=sum(file.length for file in offered.files),
            manifest=offered.signed.content,
            rollout=choice.rollout,
        )


def _utc_ns(clock_s: Callable[[], float]) -> int:
    return int(clock_s() * 1e9)
