"""A folder of pictures, in the order a person would count them."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from edge_agent.errors import BadInput, EndOfStream, NotConnected
from edge_agent.line.pacing import Pace
from edge_agent.options import StrictOptions
from edge_agent.pictures import image
from edge_agent.sources.base import gives_pictures
from edge_agent.types import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.sources.base import Capture, SourceContext

ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
# No picture within the pixel cap needs more, uncompressed at 3 bytes a pixel.
MAX_FILE_BYTES = 128 << 20


def _part_id_pattern(text: str) -> str:
    try:
        groups = re.compile(text).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if "part_id" not in groups:
        raise ValueError("must have a group (?P<part_id>...)")
    return text


class Options(StrictOptions):
    """A folder of pictures."""

    kind: Literal["folder"]
    path: Annotated[str, Field(min_length=1)]
    """The folder, relative to the config file; JPEG, PNG, BMP, TIFF and WebP files in it."""
    loop: bool = False
    """Begin again after the last picture, with what is there by then. Else what comes into the
    folder later is not seen, unless the folder was away meanwhile."""
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Pictures a second; left out: as fast as they are inspected."""
    part_id: Annotated[str, Field(max_length=256), AfterValidator(_part_id_pattern)] | None = None
    """Regular expression, searched in the file name, with a group named part_id."""


class FolderSource:
    """Reads the listing when it connects, and then one file at a time.

    A folder that goes away is waited for; if it is not read in a loop, it goes on where it was.
    """

    capture: Capture = "inline"

    def __init__(self, options: Options, context: SourceContext) -> None:
        self._options = options
        self._folder = context.folder / options.path
        self._part_id = re.compile(options.part_id) if options.part_id else None
        self._files: list[Path] = []
        self._next = 0
        self._newest: str | None = None  # the name that was read last
        self._index = 0
        self._closed = threading.Event()
        self._pace = Pace(1 / options.fps if options.fps else 0.0, self._closed, context.counters)

    def connect(self) -> None:
        """List the folder. Raises NotConnected when it is missing or has no pictures."""
        self._list()
        if self._newest is not None and not self._options.loop:
            done = natural_order(self._newest)
            self._files = [path for path in self._files if natural_order(path.name) > done]
        self._pace.due_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next picture, or None when it is not due within `timeout_s`.

        Raises BadInput that names the file, EndOfStream, and NotConnected where the folder is gone.
        """
        if self._closed.is_set() or self._is_at_end():
            raise EndOfStream(f"{self._folder}: no more pictures")
        if not self._pace.wait(timeout_s):
            return None
        path = self._files[self._next]
        part_id = self._part_id_of(path.name)
        wall_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        try:
            pixels = _decode(path)
        except BadInput as error:
            self._see_whether_it_is_there()
            self._go_on(path)
            raise BadInput(error.reason, error.detail, part_id) from None
        self._go_on(path)
        return Frame(
            pixels=pixels,
            captured_ns=wall_ns,
            captured_mono_ns=mono_ns,
            index=self._index - 1,
            part_id=part_id,
            origin=path.name,
        )

    def close(self) -> None:
        """Read no more files."""
        self._closed.set()

    def _list(self) -> None:
        files = list(self._pictures())
        if not files:
            raise NotConnected(f"{self._folder}: no pictures in it")
        self._files = sorted(files, key=lambda path: natural_order(path.name))
        self._next = 0

    def _see_whether_it_is_there(self) -> None:
        """Raise NotConnected where nothing is left: where a share was mounted, a folder stays."""
        if next(self._pictures(), None) is None:
            raise NotConnected(f"{self._folder}: no pictures in it any more")

    def _pictures(self) -> Iterator[Path]:
        try:
            for path in self._folder.iterdir():
                if path.suffix.lower() in ENDINGS:
                    yield path
        except OSError as error:
            raise NotConnected(f"{self._folder}: {error.strerror}") from None

    def _go_on(self, path: Path) -> None:
        self._newest = path.name
        self._next += 1
        self._index += 1

    def _is_at_end(self) -> bool:
        if self._next == len(self._files) and self._options.loop:
            self._list()
        return self._next == len(self._files)

    def _part_id_of(self, name: str) -> str | None:
        match = self._part_id.search(name) if self._part_id else None
        return match["part_id"] if match else None


def create(options: Options, context: SourceContext) -> FolderSource:
    """Build the source; reads nothing yet. Raises ConfigError."""
    gives_pictures(context)
    return FolderSource(options, context)


def natural_order(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key by which part9 comes before part10."""
    return [
        (part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"([0-9]+)", name)
    ]


def _decode(path: Path) -> image.Pixels:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInput("too_large", f"{path.name}: larger than {MAX_FILE_BYTES} bytes")
        payload = path.read_bytes()
    except OSError as error:
        raise BadInput("unreadable", f"{path.name}: {error.strerror}") from None
    try:
        return image.decode(payload)
    except BadInput as error:
        raise BadInput(error.reason, f"{path.name}: {error.detail}") from None
