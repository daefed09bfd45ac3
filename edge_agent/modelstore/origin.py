"""Where a repository is read from: a web server, a folder or a USB stick, all on the same path.

Nothing that comes from an origin is trusted: metadata carries signatures, blobs have their hash in
a signed manifest. So a mirror, a proxy or whoever found the stick can withhold, and nothing else.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from edge_agent.errors import SyncError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 16


class Origin(Protocol):
    """One repository. Paths are relative to its root, "/" between parts."""

    def read(self, path: str, limit: int) -> bytes:
        """Return a small file whole.

        Raises SyncError: `not_found`, `too_large` (more than `limit` bytes), `offline`, `busy`,
        `bad_answer`, `too_slow`.
        """

    def stream(self, path: str, start: int, length: int) -> Iterator[bytes]:
        """Yield the bytes from `start` on of a file that has `length` bytes, as they come.

        Never yields beyond `length`. Ends early where the link breaks: what came so far is good,
        and the next call goes on behind it. Raises SyncError as `read` does.
        """

    def close(self) -> None:
        """Let go of connections; the origin can be used again afterwards."""


@dataclass(frozen=True, slots=True)
class FolderOrigin:
    """A repository in a folder: a mounted USB stick, a network drive."""

    folder: Path

    def read(self, path: str, limit: int) -> bytes:
        """See Origin."""
        content = b"".join(self._chunks(path, 0, limit + 1))
        if len(content) > limit:
            raise SyncError("too_large", f"{path}: more than {limit} bytes")
        return content

    def stream(self, path: str, start: int, length: int) -> Iterator[bytes]:
        """See Origin."""
        return self._chunks(path, start, length)

    def close(self) -> None:
        """See Origin."""

    def _chunks(self, path: str, start: int, end: int) -> Iterator[bytes]:
        try:
            with (self.folder / path).open("rb") as file:
                file.seek(start)
                while start < end and (chunk := file.read(min(CHUNK_BYTES, end - start))):
                    start += len(chunk)
                    yield chunk
        except OSError as error:
            raise self._failure(path, error) from None

    def _failure(self, path: str, error: OSError) -> SyncError:
        # A stick that was pulled and a file that is missing look the same from below.
        missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
        code = "not_found" if missing and self.folder.is_dir() else "offline"
        return SyncError(code, f"{path}: {error.strerror}")


def folder_of(url: str) -> Path | None:
    """Return the folder that `url` names (a path or file://...), None for a web address."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme in {"http", "https"} else Path(url)
