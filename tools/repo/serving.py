"""A development server for a repository: static files, byte ranges, HTTP/1.1, on loopback.

nginx or any object store does the same for a fleet.
"""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

COPY_BYTES = 1 << 16
RANGE = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)
# Nothing else is meant for gateways: not the drafts, not what lies beside.
PUBLIC = ("metadata", "targets", "blobs")


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 0) -> ThreadingHTTPServer:
    """Return a server of `folder`, not started; port 0 is any free one. Raises OSError."""
    return ThreadingHTTPServer((host, port), partial(RepositoryRequest, folder))


class RepositoryRequest(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def __init__(self, folder: Path, *arguments: Any) -> None:  # noqa: ANN401  of the library
        self.folder = folder.resolve()
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Answer with a file, or the part of it that was asked for."""
        path = self._path()
        if path is None or not path.is_file():
            # Not send_error, which ends the connection: every poll asks for a root not yet there.
            self.send_response(HTTPStatus.NOT_FOUND)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with path.open("rb") as file:
            self._send(file, path.stat().st_size)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002, ANN401  its names
        """Say nothing."""

    def _path(self) -> Path | None:
        wanted = unquote(urlsplit(self.path).path).lstrip("/")
        path = (self.folder / wanted).resolve()
        inside = path.is_relative_to(self.folder) and path.relative_to(self.folder).parts[:1]
        return path if inside and inside[0] in PUBLIC else None

    def _send(self, file: BinaryIO, size: int) -> None:
        start, end, status = 0, size, HTTPStatus.OK
        asked = RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is not None:
            start, end = int(asked[1]), min(size, int(asked[2] or size - 1) + 1)
            status = HTTPStatus.PARTIAL_CONTENT
            if start >= end:
                self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - start))
        if status == HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        file.seek(start)
        while start < end and (chunk := file.read(min(COPY_BYTES, end - start))):
            self.wfile.write(chunk)
            start += len(chunk)
