"""[sync]: whether the repository answers, who is believed, and until when its metadata holds.

It is asked as the agent asks, from copies of what the agent's store knows: the store stays as it
is, and the agent may run meanwhile.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.commands.doctor_findings import Finding
from edge_agent.errors import SyncError
from edge_agent.modelstore.desired_source import origin_of
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.synced import place_of, store_of
from edge_agent.modelstore.trust import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.commands.doctor_findings import Gateway
    from edge_agent.modelstore.supplier import Place
    from edge_agent.modelstore.trust import TrustedView

TIMESTAMP = "metadata/timestamp.json"
TIMESTAMP_BYTES = 1 << 20
# Whoever holds the keys of these has to be found first. `timestamp` and `snapshot` are signed anew
# every few days, by a machine.
BY_HAND = {"root", "targets", "models"}
SOON = dt.timedelta(days=14)


def check_sync(gateway: Gateway) -> Iterator[Finding]:
    """Ask the repository of [sync], and see whether its metadata may be believed."""
    config = gateway.config
    if config is None or config.sync is None:
        return
    if importlib.util.find_spec("tuf") is None:
        advice = "pip install 'edge-agent[sync]'"
        yield Finding("fail", "sync", "what reads a signed repository is not installed", advice)
        return
    known = StoreLayout(store_of(gateway.state))
    place = place_of(config, config.sync, gateway.folder, known.root)
    root = _root(place)
    if root is None:
        text = f"no root of trust: {place.root} cannot be read"
        advice = "copy root.json from whoever runs the repository (docs/fleet.md); none is fetched"
        yield Finding("fail", "sync", text, advice)
    with tempfile.TemporaryDirectory() as folder:
        copy = _copied(known, Path(folder))
        try:
            yield _answers(place)
            if root is not None:
                yield from _holds(place, copy, root)
        except SyncError as failure:
            yield Finding("fail", "sync", f"{place.url}: {failure}", _advice(failure))


def _root(place: Place) -> bytes | None:
    try:
        return Path(place.root).read_bytes()
    except OSError:
        return None


def _copied(known: StoreLayout, folder: Path) -> StoreLayout:
    """Return a store with the metadata and floors of `known`, as far as they may be read."""
    copy = StoreLayout(folder)
    with contextlib.suppress(OSError, shutil.Error):
        shutil.copytree(known.metadata, copy.metadata, symlinks=True)
    with contextlib.suppress(OSError):
        shutil.copyfile(known.floor, copy.floor)
    return copy


def _answers(place: Place) -> Finding:
    """Raise SyncError."""
    origin = origin_of(place.url, place.http)
    began_s = time.monotonic()
    try:
        origin.read(TIMESTAMP, TIMESTAMP_BYTES)
    finally:
        origin.close()
    took_ms = (time.monotonic() - began_s) * 1e3
    return Finding("ok", "sync", f"{place.url} answers after {took_ms:.0f} ms")


def _holds(place: Place, store: StoreLayout, root: bytes) -> Iterator[Finding]:
    """Raise SyncError."""
    origin = origin_of(place.url, place.http)
    try:
        view = Repository(store, origin, root, time.time).refresh()
        # Before the dates: its role's metadata comes with it.
        fleet = _fleet(view, place.fleet) if place.hawkbit is None else None
        yield _expires(view)
        if fleet is not None:
            yield fleet
    finally:
        origin.close()


def _fleet(view: TrustedView, fleet: str) -> Finding:
    try:
        epoch = view.desired(fleet).epoch
    except SyncError as failure:
        return Finding("fail", "sync", f"fleet {fleet}: {failure}", _advice(failure))
    return Finding("ok", "sync", f"fleet {fleet}: its document is signed, epoch {epoch}")


def _expires(view: TrustedView) -> Finding:
    expiries = view.expiries()
    dates = ", ".join(f"{role} {at:%Y-%m-%d %H:%M}" for role, at in expiries.items())
    text = f"signed by whom root.json names; holds until (UTC): {dates}"
    soon = dt.datetime.now(dt.UTC) + SOON
    late = [role for role, at in expiries.items() if role in BY_HAND and at < soon]
    if not late:
        return Finding("ok", "sync", text)
    advice = f"have {', '.join(late)} signed anew: then nothing new is believed any more"
    return Finding("warn", "sync", text, advice)


def _advice(failure: SyncError) -> str:
    words = {
        "offline": "is the address right, the server there, and no firewall or proxy before it?",
        "not_found": "is this the address of a repository, and this the name of a fleet?",
        "untrusted": "is root.json of this repository? Else somebody changed what lies there",
        "expired": "have it signed anew (docs/fleet.md), and see that the clock is right",
        "not_signed": "is `fleet` of [sync] one that the repository knows?",
    }
    return words.get(failure.code, "what runs keeps running; docs/model-sync.md explains the code")
