"""state/drift/PIPELINE-MODEL.learning: the items so far of a reference that is being learned.

Its first line says what they belong to, each other line is one item. Lines are added every few
seconds and not forced to the disk: a power cut costs the newest items, and half a line is no item.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

import msgspec

from edge_agent.monitoring.reference_file import Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

EVERY_S = 5.0

_Kind = TypeVar("_Kind")


class LearnedItem(msgspec.Struct, frozen=True):
    """What is learned of one item."""

    figures: dict[str, float]
    reject: bool


class LearningFile:
    """One thread uses it. Where the disk refuses, it says so and keeps no more: all else goes on.

    `path`: where the reference will lie.
    """

    def __init__(
        self, path: Path, origin: Origin, mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path.with_suffix(".learning")
        self._origin = origin
        self._mono_s = mono_s
        self._due_s = mono_s() + EVERY_S
        self._before = b""  # what goes before the next lines
        self._lines: list[bytes] = []
        self._refused = False

    def items(self) -> Iterator[LearnedItem]:
        """Yield what was kept under the same conditions; what was kept under others goes."""
        try:
            with self._path.open("rb") as file:
                if _decoded(file.readline(), Origin) == self._origin:
                    self._before = b"\n"  # the last line may be half a line
                    yield from filter(None, (_decoded(line, LearnedItem) for line in file))
                    return
        except FileNotFoundError:
            pass
        except OSError as error:
            self._refuse(error)
            return
        self.remove()
        self._before = _line(self._origin)

    def add(self, figures: Mapping[str, float], *, reject: bool) -> None:
        """Keep one item."""
        if self._refused:
            return
        self._lines.append(_line(LearnedItem(dict(figures), reject)))
        if self._mono_s() >= self._due_s:
            self._due_s = self._mono_s() + EVERY_S
            self._write()

    def close(self) -> None:
        """Keep what has come since the newest write."""
        if self._lines:
            self._write()

    def remove(self) -> None:
        """Take the file away: its items are no longer asked for."""
        self._lines = []
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._refuse(error)

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                file.write(self._before + b"".join(self._lines))
        except OSError as error:
            self._refuse(error)
        self._before, self._lines = b"", []

    def _refuse(self, error: OSError) -> None:
        self._refused = True
        log.warning("%s cannot be kept: %s", self._path.name, error.strerror)


def _line(content: Origin | LearnedItem) -> bytes:
    return msgspec.json.encode(content) + b"\n"


def _decoded(line: bytes, kind: type[_Kind]) -> _Kind | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError:
        return None
