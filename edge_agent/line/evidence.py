"""Evidence: the picture or window behind a verdict, on disk, in a ring under a byte budget."""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import time
from collections import deque
from typing import TYPE_CHECKING

from edge_agent import many_files, threads
from edge_agent.errors import EndOfStream
from edge_agent.leaky import LeakyQueue
from edge_agent.pictures import image
from edge_agent.sensing import window_file
from edge_agent.types import Frame

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.config import EvidenceOptions
    from edge_agent.metrics import Counters
    from edge_agent.types import Item, Outcome, Verdict
    from edge_agent.upload.outgoing import Outgoing

log = logging.getLogger(__name__)

# Pictures that may wait for the disk; beyond it evidence is lost, never a verdict's time.
QUEUE_ITEMS = 8
# Of eight large ones a small gateway would feel the memory.
QUEUE_BYTES = 64 << 20
WAIT_S = 1.0
JPEG_QUALITY = 92
BLOCK_BYTES = 4096
# The folder itself says what is oldest: a list of all of it in memory, 250 bytes a file, would grow
# for as long as the folder does.
OLDEST_AT_ONCE = 256


class EvidenceRing:
    """Keeps evidence of one pipeline in `folder`; a thread of its own encodes and writes.

    `options` may be replaced at any time.

    For a frame `<name>.jpg` shows the regions and `<name>.raw.jpg` is the picture (its region of
    interest) without them: one file by two names where nothing is drawn. For a window `<name>.npz`
    holds samples and channels. Names begin with the UTC time, so that their order is their age.
    `upload` makes what sends it on.
    """

    def __init__(
        self,
        folder: Path,
        options: EvidenceOptions,
        counters: Counters,
        roi: tuple[int, int, int, int] | None = None,
        upload: Callable[[Counters], Outgoing] | None = None,
    ) -> None:
        self._folder = folder
        self._where = str(folder)
        self.options = options
        self._counters = counters
        self._roi = roi
        self._outgoing = upload(counters) if upload else None
        self._queue: LeakyQueue[tuple[Verdict, Item]] = LeakyQueue(
            QUEUE_ITEMS,
            lambda dropped: counters.add("evidence_dropped", dropped),
            lambda entry: _bytes(entry[1]),
            QUEUE_BYTES,
        )
        self._oldest: deque[str] = deque()
        self._bytes = 0
        self._thread = threads.thread(self._write_on, "evidence")
        self._thread.start()

    def name_of(self, outcome: Outcome, verdict_id: str, item: Item) -> str:
        """Return the name that a verdict's evidence will have, or "" where none is kept of it."""
        if outcome not in self.options.keep:
            return ""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(item.captured_ns // 1_000_000_000))
        milliseconds = item.captured_ns // 1_000_000 % 1000
        suffix = ".jpg" if isinstance(item, Frame) else ".npz"
        return f"{self._folder.name}/{stamp}.{milliseconds:03}Z-{verdict_id[:8]}{suffix}"

    def keep(self, verdict: Verdict, item: Item) -> None:
        """Have the item kept under the name that its verdict says."""
        if verdict.evidence:
            self._queue.put((verdict, item))

    def close(self, timeout_s: float) -> None:
        """Write what waits, for at most `timeout_s`."""
        self._queue.close()
        self._thread.join(timeout_s)

    def _write_on(self) -> None:
        self._count_what_is_there()
        while True:
            try:
                entry = self._queue.get(WAIT_S)
            except EndOfStream:
                return
            if entry is not None:
                self._keep(*entry)

    def _keep(self, verdict: Verdict, item: Item) -> None:
        stem = verdict.evidence.partition("/")[2].rpartition(".")[0]
        try:
            files = self._files(stem, verdict, item)
            self._make_room(sum(_on_disk(len(content)) for content in set(files.values())))
            self._write_all(files)
            if self._outgoing is not None:
                self._outgoing.put(stem, verdict, item)
        except (OSError, ValueError) as error:
            # A full or read-only disk costs evidence, never inspection; and there is no JPEG of
            # every picture.
            if not self._counters.totals().get("evidence_errors"):
                log.warning("%s: evidence cannot be kept: %s", verdict.pipeline, error)
            self._counters.add("evidence_errors")
            if not self._folder.is_dir():
                self._count_what_is_there()

    def _files(self, stem: str, verdict: Verdict, item: Item) -> dict[str, bytes]:
        if not isinstance(item, Frame):
            return {f"{stem}.npz": window_file.encode(item)}
        x, y, w, h = self._roi or (0, 0, item.pixels.shape[1], item.pixels.shape[0])
        raw = image.encode_jpeg(item.pixels[y : y + h, x : x + w], JPEG_QUALITY)
        drawn = raw
        if verdict.defects or self._roi:
            with_defects = image.draw_defects(item.pixels, verdict.defects)
            drawn = image.encode_jpeg(with_defects, JPEG_QUALITY)
        return {f"{stem}.jpg": drawn, f"{stem}.raw.jpg": raw}

    def _write_all(self, files: dict[str, bytes]) -> None:
        # Not forced to the disk: evidence explains a verdict, it is not one.
        written: dict[bytes, str] = {}
        for name, content in files.items():
            if content in written:
                with contextlib.suppress(OSError):  # a file system without links keeps it twice
                    many_files.name_again(self._where, written[content], name)
                    continue
            many_files.write(self._where, name, content)
            written[content] = name
            self._bytes += _on_disk(len(content))

    def _make_room(self, more: int) -> None:
        """Have the oldest go until there is room for `more` bytes on the disk; both of a pair."""
        budget = self.options.max_mb * 1e6
        while self._bytes + more > budget:
            if not self._oldest:
                self._oldest.extend(heapq.nsmallest(OLDEST_AT_ONCE, self._names()))
            if not self._oldest:
                return
            name = self._oldest.popleft()
            self._remove(name)
            while self._oldest and self._oldest[0].startswith(f"{name.rpartition('.')[0]}."):
                self._remove(self._oldest.popleft())

    def _remove(self, name: str) -> None:
        try:
            self._bytes -= _on_disk(many_files.remove(self._where, name))
        except FileNotFoundError:
            self._count_what_is_there()  # somebody else makes room here, too

    def _names(self) -> list[str]:
        with os.scandir(self._folder) as entries:
            return [entry.name for entry in entries if not entry.name.startswith(".")]

    def _count_what_is_there(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob(".*.part"):
                path.unlink()
            with os.scandir(self._folder) as entries:
                stats = (entry.stat() for entry in entries)
                self._bytes = sum(_on_disk(stat.st_size) // stat.st_nlink for stat in stats)
        except OSError as error:
            log.warning("%s: evidence folder: %s", self._folder.name, error)


def _bytes(item: Item) -> int:
    return item.pixels.nbytes if isinstance(item, Frame) else item.samples.nbytes


def _on_disk(size: int) -> int:
    """Return the room that a file takes: whole blocks, which small ones do not fill."""
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
