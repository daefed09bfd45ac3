"""Files that wait to be uploaded: written by workers, sent and removed by the agent.

    FOLDER/<pipeline>/<stem>.jpg or .npz    the picture or window
    FOLDER/<pipeline>/<stem>.json           the sidecar: it comes last and goes first

An item is there when its sidecar is. Nothing else says what was sent: what lies here was not. No
fsync: after a power cut a file may be empty, and the sidecar tells how long it was.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_agent import many_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

SIDECAR = ".json"
AT_ONCE = 64
# A worker needs no such time between the two files of an item.
ORPHAN_S = 60.0


class Region(msgspec.Struct, frozen=True):
    """What was found, in pixels of the file beside the sidecar."""

    label: str
    score: float
    x: float
    y: float
    w: float
    h: float


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an item. `left`, `top`: where a picture's corner lies in the original.

    `picture`: how much of it was sent, as in the options, or "" for a window. `bytes` and `sha256`
    are those of `file`.
    """

    v: int = 1
    id: str
    file: str
    bytes: int
    sha256: str
    capture_ts: str
    device: str
    pipeline: str
    family: str
    part_id: str | None
    verdict: str
    score: float
    threshold: float
    unit: str
    label: str
    reason: str
    regions: tuple[Region, ...]
    picture: str
    left: int
    top: int
    model: str
    model_version: str
    model_sha256: str
    config_rev: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item on the disk; `content` is what the sidecar lies beside."""

    sidecar: Path
    content: Path
    about: Sidecar

    @property
    def key(self) -> str:
        """Return what tells it from others: PIPELINE/STEM."""
        return f"{self.sidecar.parent.name}/{self.sidecar.stem}"

    def remove(self) -> None:
        """Forget it: it was sent, or there is no room for it. Raises OSError."""
        self.sidecar.unlink(missing_ok=True)
        self.content.unlink(missing_ok=True)


class Spool:
    """What waits of one pipeline, as its worker sees it. One thread uses it."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._bytes: int | None = None

    def put(self, content: bytes, about: Sidecar) -> int:
        """Add an item; return how many old ones had to go. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        tree = msgspec.json.format(msgspec.json.encode(about), indent=1)
        dropped = self._make_room(len(content) + len(tree))
        stem = about.file.rpartition(".")[0]
        many_files.write(str(self._folder), about.file, content)
        many_files.write(str(self._folder), f"{stem}{SIDECAR}", tree)
        self._bytes = (self._bytes or 0) + len(content) + len(tree)
        return dropped

    def _make_room(self, more: int) -> int:
        # The agent takes files away meanwhile: only what is counted anew is known to be too much.
        if self._bytes is None or self._bytes + more > self._max_bytes:
            self._bytes = size_of(self._folder)
        dropped = 0
        while self._bytes + more > self._max_bytes:
            oldest = next(oldest_in(self._folder), None)
            if oldest is None:
                break
            oldest.remove()
            dropped += 1
            self._bytes = size_of(self._folder)
        return dropped


def oldest_in(folder: Path, skipping: Collection[str] = ()) -> Iterator[Waiting]:
    """Yield the oldest items of a pipeline; what is damaged is removed. Raises OSError."""
    with os.scandir(folder) as entries:
        names = (entry.name for entry in entries if entry.name.endswith(SIDECAR))
        wanted = (name for name in names if f"{folder.name}/{name[:-5]}" not in skipping)
        chosen = heapq.nsmallest(AT_ONCE, wanted)
    for name in chosen:
        item = _read(folder / name)
        if item is not None:
            yield item


def folders(root: Path) -> list[Path]:
    """Return the folders of all pipelines. Raises OSError."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def size_of(folder: Path) -> int:
    """Return how many bytes lie there. Raises OSError."""
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat().st_size
    return total


def count(root: Path) -> int:
    """Return how many items wait. Raises OSError."""
    return sum(path.suffix == SIDECAR for folder in folders(root) for path in folder.iterdir())


def is_there(root: Path, key: str) -> bool:
    """Say whether an item still waits."""
    return os.path.exists(f"{root}/{key}{SIDECAR}")  # noqa: PTH110  many_files.py says why


def drop_orphans(root: Path, now_s: float | None = None) -> None:
    """Remove what a kill between two files left behind. Raises OSError."""
    now_s = time.time() if now_s is None else now_s
    for folder in folders(root):
        for path in folder.iterdir():
            alone = path.suffix != SIDECAR and not path.with_suffix(SIDECAR).exists()
            with contextlib.suppress(FileNotFoundError):
                if alone and now_s - path.stat().st_mtime > ORPHAN_S:
                    path.unlink()


def _read(sidecar: Path) -> Waiting | None:
    try:
        about = msgspec.json.decode(sidecar.read_bytes(), type=Sidecar)
        content = sidecar.with_name(os.path.basename(about.file))  # noqa: PTH119  a name, no path
        if content.stat().st_size == about.bytes:
            return Waiting(sidecar, content, about)
    except FileNotFoundError:
        pass
    except msgspec.DecodeError:
        content = sidecar
    else:
        content.unlink(missing_ok=True)
    sidecar.unlink(missing_ok=True)
    return None
