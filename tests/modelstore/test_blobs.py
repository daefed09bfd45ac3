from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from edge_agent import durable
from edge_agent.errors import SyncError
from edge_agent.modelstore.blobs import KEEP_FREE_BYTES, PARTIAL_MAX_AGE_S, BlobStore
from edge_agent.modelstore.fetcher import Fetcher, Limits
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.modelstore.origin import FolderOrigin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.modelstore.plant import Owner, Site


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """Return a store with room for 10 kB."""
    return BlobStore(StoreLayout(tmp_path / "store"), 10_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 kB; only root may."""
    if os.getuid():
        pytest.skip("only root may mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def put(store: BlobStore, content: bytes, age_s: float = 0) -> str:
    """Adopt a blob as a fetch does, `age_s` seconds ago."""
    sha256 = hashlib.sha256(content).hexdigest()
    descriptor = store.open_part(sha256)
    os.write(descriptor, content)
    os.close(descriptor)
    store.adopt(sha256, len(content))
    blob = store.layout.blob(sha256)
    os.utime(blob, (blob.stat().st_mtime - age_s,) * 2)
    return sha256


def test_a_blob_is_read_only_and_named_by_its_content(store: BlobStore) -> None:
    sha256 = put(store, b"weights")
    blob = store.layout.root / "blobs" / "sha256" / sha256[:2] / sha256
    assert blob.read_bytes() == b"weights"
    assert blob.stat().st_mode & 0o777 == 0o444
    assert store.is_sound(sha256)
    assert store.part_length(sha256) == 0


def test_wrong_bytes_never_get_a_name(store: BlobStore) -> None:
    sha256 = hashlib.sha256(b"weights").hexdigest()
    descriptor = store.open_part(sha256)
    os.write(descriptor, b"wEights")
    os.close(descriptor)
    with pytest.raises(SyncError, match="bad_blob"):
        store.adopt(sha256, 7)
    assert not store.holds(sha256, 7)
    assert store.part_length(sha256) == 0


def test_the_quota_is_kept_by_dropping_the_oldest_that_nobody_needs(store: BlobStore) -> None:
    oldest_but_active = put(store, bytes(4000), age_s=30)
    old = put(store, b"1" * 3000, age_s=20)
    young = put(store, b"2" * 2000, age_s=10)
    store.require_room(2000, {oldest_but_active})
    assert store.holds(oldest_but_active, 4000)
    assert not store.holds(old, 3000)
    assert store.holds(young, 2000)


def test_what_does_not_fit_is_refused_before_it_is_fetched(store: BlobStore) -> None:
    active = put(store, bytes(4000))
    with pytest.raises(SyncError, match="no_room"):
        store.require_room(6001, {active})
    assert store.holds(active, 4000)


def test_a_disk_that_is_nearly_full_is_left_to_the_verdicts(store: BlobStore) -> None:
    nearly_full = replace(store, free=lambda _: KEEP_FREE_BYTES + 99)
    nearly_full.require_room(99, set())
    with pytest.raises(SyncError, match="no_room"):
        nearly_full.require_room(100, set())


def test_partial_files_of_long_ago_are_dropped(store: BlobStore) -> None:
    os.close(store.open_part("a" * 64))
    now_s = store.layout.partial("a" * 64).stat().st_mtime
    store.collect(set(), now_s + PARTIAL_MAX_AGE_S - 1)
    assert store.layout.partial("a" * 64).exists()
    store.collect(set(), now_s + PARTIAL_MAX_AGE_S + 1)
    assert not store.layout.partial("a" * 64).exists()


def test_a_full_disk_ends_a_fetch_which_goes_on_once_there_is_room(
    small_disk: Path, tmp_path: Path
) -> None:
    content = random.Random(3).randbytes(150_000)
    sha256 = hashlib.sha256(content).hexdigest()
    source = tmp_path / "stick" / "blobs" / "sha256" / sha256
    source.parent.mkdir(parents=True)
    source.write_bytes(content)
    store = BlobStore(StoreLayout(small_disk / "store"), 1 << 20)
    filler = small_disk / "log"
    filler.write_bytes(bytes(160 << 10))
    fetcher = Fetcher(
        FolderOrigin(tmp_path / "stick"), store, Limits(), random.Random(1), threading.Event().wait
    )
    with pytest.raises(OSError, match="No space left"):
        fetcher.fetch(sha256, len(content))
    kept = store.part_length(sha256)
    assert 0 < kept < len(content)
    filler.unlink()
    assert fetcher.fetch(sha256, len(content)).fetched == len(content) - kept
    assert store.is_sound(sha256)


def test_a_full_disk_leaves_the_old_file_and_no_rubbish(small_disk: Path) -> None:
    path = small_disk / "state.json"
    durable.write_file(path, b"old")
    filler = small_disk / "log"
    filler.write_bytes(bytes(240 << 10))
    with pytest.raises(OSError, match="No space left"):
        durable.write_file(path, bytes(100_000))
    assert path.read_bytes() == b"old"
    assert sorted(file.name for file in small_disk.iterdir()) == ["log", "state.json"]


def test_on_a_full_disk_nothing_that_was_trusted_is_lost(
    small_disk: Path, owner: Owner, gateway: Site
) -> None:
    gateway.layout = StoreLayout(small_disk / "store")
    owner.add()
    gateway.refresh()
    filler = small_disk / "log"
    free = os.statvfs(small_disk)
    filler.write_bytes(bytes(free.f_bavail * free.f_frsize))
    owner.add(version="2.0.0", seq=2)
    with pytest.raises((OSError, SyncError)):
        gateway.refresh()
    filler.unlink()
    view = gateway.refresh()
    assert view.floors().min_seqs == {"wear": 0}


def test_a_generation_is_whole_or_has_no_name(owner: Owner, gateway: Site) -> None:
    taken = gateway.take(owner.add())
    inode = (taken.folder / "model.tflite").stat().st_ino
    assert inode == gateway.layout.blob(load_bundle(taken.folder).model_sha256).stat().st_ino
    # What a crash left behind of an earlier try does not matter.
    (taken.folder.parent / ".1.part").mkdir()
    (taken.folder.parent / ".1.part" / "model.tflite").write_bytes(b"half")
    gateway.take(owner.add(version="2.0.0", seq=2))
    assert load_bundle(taken.folder).manifest.version == "2.0.0"


def test_only_one_process_works_on_a_store(tmp_path: Path) -> None:
    layout = StoreLayout(tmp_path / "store")
    with layout.locked(), pytest.raises(SyncError, match="busy"), layout.locked():
        pass
    with layout.locked():
        pass


def test_a_write_forces_file_then_name_to_the_disk(tmp_path: Path) -> None:
    """As strace sees it: without each of these a power cut leaves nothing or the wrong thing."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not here")
    code = (
        "from pathlib import Path; from edge_agent.durable import write_file; "
        f"write_file(Path({str(tmp_path / 'a.json')!r}), b'x')"
    )
    traced = subprocess.run(
        ["strace", "-f", "-e", "trace=fsync,rename,renameat", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    calls = [line.split("(")[0].split()[-1] for line in traced.stderr.splitlines() if "(" in line]
    assert [call for call in calls if call in {"fsync", "rename"}][-3:] == [
        "fsync",
        "rename",
        "fsync",
    ]
