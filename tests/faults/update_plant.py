"""A repository with four versions of a model, and a store that has confirmed three of them.

The update to the fourth meets everything that a store does: blobs that are shared, one that must
go to make room (the quota holds three models), a generation that is dropped at the end.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import ModelError
from edge_agent.modelstore.desired import Match
from edge_agent.modelstore.in_force import in_force
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.modelstore.slots import SlotFolder
from tests.faults.lone_updater import SLOT, LoneUpdater, Order
from tests.modelstore.plant import Owner, write_bundle
from tools.repo import publishing, rollouts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.modelstore.slot_record import SlotRecord

MODEL_BYTES = 5000
QUOTA_BYTES = 17_000
BEFORE, OLD, NEW = "wear@2.0.0", "wear@3.0.0", "wear@4.0.0"


@dataclass(frozen=True, slots=True)
class Plant:
    """`settled`: a store that runs OLD, and has BEFORE to fall back on."""

    folder: Path
    owner: Owner
    updater: LoneUpdater
    factory: Path
    log: Path

    @property
    def settled(self) -> Path:
        return self.folder / "settled"

    def run(self, store: Path, wanted: str = NEW, url: str = "", **more: float) -> int:
        """Start a gateway with this store; return how it ended."""
        root = self.owner.desk.folder / "metadata" / "1.root.json"
        order = Order(
            store=str(store),
            url=url or str(self.owner.desk.folder),
            root=str(root),
            factory=str(self.factory),
            log=str(self.log),
            wanted=wanted,
            quota_bytes=QUOTA_BYTES,
            **more,
        )
        return self.updater.run(order)

    def copy_to(self, store: Path) -> Path:
        """Make a store that stands before the update; the log begins anew."""
        self.log.unlink(missing_ok=True)
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(self.settled, store, symlinks=True)
        return store

    def said(self, what: str) -> list[str]:
        """Return the bundles that it `runs`, that it tried (`load`), or why it `refused` others.

        Since the log began, in their order.
        """
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [which for said, which in map(json.loads, lines) if said == what]

    def want(self, number: int) -> None:
        """Sign another version and have every gateway run it."""
        model = self.owner.add(version=f"{number}.0.0", seq=number, size=MODEL_BYTES)
        publishing.edit_desired(
            self.owner.desk,
            "default",
            lambda document: rollouts.with_default(document, SLOT, Match(), model),
        )


def make(folder: Path, updater: LoneUpdater) -> Plant:
    """Sign the versions and bring a store to the third."""
    owner = Owner(folder / "server", dt.datetime.now(dt.UTC))
    owner.init()
    factory = write_bundle(folder / "factory", version="0.9.0", seq=0)
    plant = Plant(folder, owner, updater, factory, folder / "log")
    for number in (1, 2, 3):
        plant.want(number)
        assert plant.run(plant.settled, wanted=f"wear@{number}.0.0") == 0
    plant.want(4)
    return plant


def record(store: Path) -> SlotRecord:
    """Return where the slot stands."""
    return SlotFolder(StoreLayout(store), SLOT).record.read()


def damage(plant: Plant, store: Path, may_run: Sequence[str] = (OLD, NEW)) -> str:
    """Say what is wrong with what a gateway would run from this store, or "".

    Right is: one of `may_run`, whole; and whole is what it would fall back on, and every blob that
    has a name.
    """
    found = record(store)
    bundle = in_force(StoreLayout(store), SLOT, plant.factory)
    name = str(found.active.model) if found.active and bundle else "the factory's"
    if name not in may_run:
        return f"it would run {name}"
    kept = [SlotFolder(StoreLayout(store), SLOT).bundle(found.fallback)] if found.fallback else []
    for each in (Path(bundle), *kept):
        try:
            load_bundle(each)
        except ModelError as error:
            return f"{each.name}: {error}"
    blobs = (store / "blobs" / "sha256").glob("*/*")
    wrong = [blob.name for blob in blobs if sha256(blob.read_bytes()).hexdigest() != blob.name]
    return f"blobs are not what their names say: {wrong}" if wrong else ""
