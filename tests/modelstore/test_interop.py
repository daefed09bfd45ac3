"""Our client and python-tuf's, our repository and one made with python-tuf's own API, agree."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient import Updater

from edge_agent.errors import SyncError
from edge_agent.modelstore.desired import ModelRef
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.origin import FolderOrigin
from tests.modelstore.plant import NOW, Owner, Site, served, write_bundle
from tools.repo import publishing

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "models/wear/1.0.0/manifest.json"


@pytest.fixture
def signed_today(tmp_path: Path) -> Owner:
    """Return an owner by the real clock: python-tuf's own client knows no other."""
    owner = Owner(tmp_path / "today", dt.datetime.now(dt.UTC))
    owner.init()
    return owner


def stock_client(folder: Path, url: str, root: bytes) -> Updater:
    for name in ("metadata", "targets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Updater(
        metadata_dir=str(folder / "metadata"),
        metadata_base_url=f"{url}metadata/",
        target_dir=str(folder / "targets"),
        target_base_url=f"{url}targets/",
        bootstrap=root,
    )


def test_python_tufs_client_takes_our_targets_also_after_every_key_was_rotated(
    signed_today: Owner, tmp_path: Path
) -> None:
    owner = signed_today
    owner.add()
    with served(owner.desk.folder) as url:
        for round_ in range(2):
            client = stock_client(tmp_path / "client", url, owner.pinned_root)
            target = client.get_targetinfo(MANIFEST)
            assert target is not None
            manifest = client.download_target(target)
            published = owner.desk.folder / "targets" / MANIFEST
            assert published.read_bytes() == (tmp_path / manifest).read_bytes()
            if not round_:
                for role in publishing.OFFLINE + publishing.ONLINE:
                    publishing.rotate(owner.desk, owner.root / "keys", role, set())


def test_python_tufs_client_refuses_what_ours_refuses(signed_today: Owner, tmp_path: Path) -> None:
    owner = signed_today
    owner.add()
    timestamp = owner.desk.latest("timestamp")
    assert timestamp is not None
    timestamp.signed.version += 1
    timestamp.sign(CryptoSigner.generate_ed25519())
    timestamp.to_file(str(owner.desk.folder / "metadata" / "timestamp.json"))
    with served(owner.desk.folder) as url, pytest.raises(RepositoryError):
        stock_client(tmp_path / "client", url, owner.pinned_root).refresh()
    ours = Site(StoreLayout(tmp_path / "store"), FolderOrigin(owner.desk.folder), owner.pinned_root)
    ours.clock_s = owner.now.timestamp()
    with pytest.raises(SyncError, match="untrusted"):
        ours.refresh()


class MadeByHand:
    """A repository as python-tuf's manual for its Metadata API makes one.

    Keys of ECDSA, two of them for root, no hashes in the snapshot, one delegation.
    """

    def __init__(self, folder: Path, *, consistent: bool) -> None:
        self.folder = folder
        self.consistent = consistent
        names = ("root", "targets", "snapshot", "timestamp", "models")
        self.signers = {name: CryptoSigner.generate_ecdsa() for name in names}
        self.second = CryptoSigner.generate_ecdsa()
        self.root = Metadata(Root(expires=_in(365), consistent_snapshot=consistent))
        for name in names[:-1]:
            self.root.signed.add_key(self.signers[name].public_key, name)
        self.root.signed.add_key(self.second.public_key, "root")
        self.root.signed.roles["root"].threshold = 2
        self.write_root([self.signers["root"], self.second])

    def publish(self, bundle: Path) -> None:
        """Put a bundle's manifest and files in, signed by a delegated role."""
        content = (bundle / "manifest.json").read_bytes()
        target = TargetFile.from_data(MANIFEST, content, ["sha256", "sha512"])
        paths = target.get_prefixed_paths()[:1] if self.consistent else [MANIFEST]
        for path in paths:
            place = self.folder / "targets" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        for name in ("model.tflite", "labels.txt"):
            file = TargetFile.from_file(name, str(bundle / name), ["sha256"])
            place = self.folder / "blobs" / "sha256" / file.hashes["sha256"]
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((bundle / name).read_bytes())
        key = self.signers["models"].public_key
        role = DelegatedRole("models", [key.keyid], 1, terminating=True, paths=["models/*/*/*"])
        delegations = Delegations({key.keyid: key}, {"models": role})
        self.write("models", Targets(expires=_in(7), targets={MANIFEST: target}))
        self.write("targets", Targets(expires=_in(365), delegations=delegations))
        meta = {"targets.json": MetaFile(1), "models.json": MetaFile(1)}
        self.write("snapshot", Snapshot(expires=_in(7), meta=meta))
        self.write("timestamp", Timestamp(expires=_in(1), snapshot_meta=MetaFile(1)))

    def rotate_root(self) -> None:
        """Replace one root key: signed by the old two and the new one."""
        new = CryptoSigner.generate_ecdsa()
        self.root.signed.revoke_key(self.signers["root"].public_key.keyid, "root")
        self.root.signed.add_key(new.public_key, "root")
        self.root.signed.version += 1
        self.write_root([self.signers["root"], self.second, new])

    def write_root(self, signers: list[CryptoSigner]) -> None:
        self.root.signatures.clear()
        for signer in signers:
            self.root.sign(signer, append=True)
        self._put(f"{self.root.signed.version}.root.json", self.root.to_bytes())

    def write(self, name: str, signed: Any) -> None:
        metadata: Metadata[Any] = Metadata(signed)
        metadata.sign(self.signers[name])
        prefix = "1." if self.consistent and name != "timestamp" else ""
        self._put(f"{prefix}{name}.json", metadata.to_bytes())

    def _put(self, name: str, content: bytes) -> None:
        path = self.folder / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _in(days: float) -> dt.datetime:
    return NOW + dt.timedelta(days=days)


@pytest.mark.parametrize("consistent", [True, False])
def test_our_client_takes_a_model_from_a_repository_made_with_python_tufs_api(
    tmp_path: Path, *, consistent: bool
) -> None:
    made = MadeByHand(tmp_path / "made", consistent=consistent)
    made.publish(write_bundle(tmp_path / "bundle"))
    root = (made.folder / "metadata" / "1.root.json").read_bytes()
    with served(made.folder) as url:
        gateway = Site(StoreLayout(tmp_path / "store"), HttpOrigin(url, HttpSettings()), root)
        assert gateway.take(ModelRef("wear", "1.0.0")).fetched_bytes == 5010
        made.rotate_root()
        gateway.refresh()
        assert (gateway.layout.metadata / "root_history" / "2.root.json").exists()
        gateway.origin.close()
