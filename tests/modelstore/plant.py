"""A repository with its keys and a gateway's store, both in folders of a test."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edge_agent.modelstore.blobs import BlobStore
from edge_agent.modelstore.desired import Choice, ModelRef
from edge_agent.modelstore.fetcher import Fetcher, Limits
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.manifest import canonical_json
from edge_agent.modelstore.origin import FolderOrigin, Origin
from edge_agent.modelstore.supply import Supplied, offer, supply
from edge_agent.modelstore.trust import Repository, TrustedView
from tools.repo import publishing
from tools.repo.__main__ import main
from tools.repo.serving import make_server
from tools.repo.signing import SigningDesk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from http.server import ThreadingHTTPServer
    from pathlib import Path

DAY_S = 86_400.0
# Well after the first time that a gateway believes.
NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


def write_bundle(  # noqa: PLR0913  a manifest has so many parts that matter here
    folder: Path,
    *,
    model_id: str = "wear",
    version: str = "1.0.0",
    seq: int = 1,
    min_seq: int = 0,
    size: int = 5000,
    hw: str = "cpu",
    others: Collection[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Write a bundle whose model is `size` bytes of noise: signed and fetched, never run.

    `others`: further hardware, with a variant each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = random.Random(f"{model_id} {version}").randbytes(size)
    (folder / "model.tflite").write_bytes(model)
    (folder / "labels.txt").write_bytes(b"fine\nworn\n")
    labels = _entry(folder, "labels.txt", "labels")
    variants = [VARIANT | {"hw": [hw], "files": [_entry(folder, "model.tflite", "model"), labels]}]
    for other in others:
        (folder / f"model-{other}.tflite").write_bytes(other.encode() + model)
        files = [_entry(folder, f"model-{other}.tflite", "model"), labels]
        variants.append(VARIANT | {"id": other, "hw": [other], "files": files})
    manifest = {
        "schema": 1,
        "model_id": model_id,
        "version": version,
        "seq": seq,
        "min_seq": min_seq,
        "license": {"spdx": "Apache-2.0"},
        "variants": variants,
        "task": TASK,
        "decision": {"rule": {"kind": "threshold", "fail_at": 0.5}},
    }
    (folder / "manifest.json").write_bytes(canonical_json(manifest | dict(extra or {})))
    return folder


def add_model(repo: Path, bundle: Path, *more: str) -> int:
    """Publish a bundle by the command, although its model is noise; return its exit status."""
    return main(["add-model", str(repo), str(bundle), "--unverified", *more])


def _entry(folder: Path, path: str, role: str) -> dict[str, Any]:
    content = (folder / path).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"path": path, "role": role, "sha256": digest, "length": len(content)}


TASK = {
    "kind": "classify",
    "preprocess": {"kind": "image", "resize": "stretch", "color": "rgb"},
    "postprocess": {},
}
VARIANT = {"id": "a", "runtime": "tflite", "precision": "int8"}


@dataclass
class Owner:
    """Who runs a repository: all keys at hand, a clock of its own."""

    root: Path
    now: dt.datetime = NOW
    desk: SigningDesk = field(init=False)

    def __post_init__(self) -> None:
        self.desk = SigningDesk(self.root / "repo", [self.root / "keys"], lambda: self.now)

    def init(self, **quorums: publishing.Quorum) -> None:
        publishing.init(self.desk, self.root / "keys", quorums)

    def add(self, *, min_seq: int | None = None, **fields: Any) -> ModelRef:
        folder = self.root / "bundles" / str(fields.get("version", "1.0.0"))
        bundle = write_bundle(folder / str(fields.get("model_id", "wear")), **fields)
        publishing.add_models(self.desk, [bundle], min_seq=min_seq)
        return ModelRef(str(fields.get("model_id", "wear")), str(fields.get("version", "1.0.0")))

    @property
    def pinned_root(self) -> bytes:
        return (self.desk.folder / "metadata" / "1.root.json").read_bytes()


@dataclass
class Site:
    """A gateway: its store, its clock, the origin it reads from."""

    layout: StoreLayout
    origin: Origin
    pinned_root: bytes
    clock_s: float = NOW.timestamp()
    limits: Limits = field(default_factory=lambda: Limits(wait_s=0.001, max_wait_s=0.01))
    quota_bytes: int = 100 << 20

    def refresh(self) -> TrustedView:
        repository = Repository(self.layout, self.origin, self.pinned_root, lambda: self.clock_s)
        return repository.refresh()

    def store(self) -> BlobStore:
        return BlobStore(self.layout, self.quota_bytes)

    def fetcher(self, origin: Origin | None = None) -> Fetcher:
        stop = threading.Event()
        return Fetcher(
            origin or self.origin, self.store(), self.limits, random.Random(1), stop.wait
        )

    def take(self, model: ModelRef, number: int = 1, hw: Collection[str] = ("cpu",)) -> Supplied:
        """Refresh, then bring the model into a generation's folder."""
        offered = offer(self.refresh(), Choice("spindle", model), hw=hw, agent_version="1.0.0")
        folder = self.layout.generation("spindle", number)
        return supply(self.fetcher(), offered, folder, frozenset())


def site(root: Path, owner: Owner, origin: Origin | None = None) -> Site:
    """Return a gateway that pins the owner's first root and reads its folder."""
    return Site(
        StoreLayout(root / "store"), origin or FolderOrigin(owner.desk.folder), owner.pinned_root
    )


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    """Run a server in a thread; yield its address."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a repository as `python -m tools.repo serve` does."""
    with serving(make_server(folder)) as url:
        yield url
