"""Where things lie in the model store of a gateway.

tuf/                      metadata as python-tuf keeps it
desired/<fleet>.json      the document that was read last
blobs/sha256/aa/<hex>     verified files, read-only, named by their content
partial/<hex>.part        downloads that are not complete
slots/<slot>/gens/<n>/    bundles made of links to blobs
floor.json                what may not go back: sequence numbers, epochs, the clock
lock                      one process at a time works on the store
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.durable import make_folder
from edge_agent.errors import SyncError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoreLayout:
    """The paths below one folder, which is named absolutely or from the working folder."""

    root: Path

    @property
    def metadata(self) -> Path:
        """Folder of TUF metadata."""
        return self.root / "tuf"

    @property
    def floor(self) -> Path:
        """File of the floors."""
        return self.root / "floor.json"

    def desired(self, fleet: str) -> Path:
        """Return where a copy of a fleet's document lies."""
        return self.root / "desired" / f"{fleet}.json"

    def blob(self, sha256: str) -> Path:
        """Return where the verified file with this hash lies or would lie."""
        return self.root / "blobs" / "sha256" / sha256[:2] / sha256

    def partial(self, sha256: str) -> Path:
        """Return where the file with this hash lies while it is fetched."""
        return self.root / "partial" / f"{sha256}.part"

    def generation(self, slot: str, number: int) -> Path:
        """Return the bundle folder of a slot's generation."""
        return self.root / "slots" / slot / "gens" / str(number)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store alone; raises SyncError `busy` while another process holds it."""
        make_folder(self.root)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SyncError("busy", f"another process works on {self.root}") from None
            yield
        finally:
            os.close(descriptor)
