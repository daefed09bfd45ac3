"""One file over HTTP: PUT, no faster than it may be, to the address that the options say.

Raises SyncError with the codes of the model store, and Refused where the server wants this one file
in no case.
"""

from __future__ import annotations

import base64
import mimetypes
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import msgspec

from edge_agent.errors import EdgeAgentError, SyncError
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.upload.options import UploadOptions

# Small, so that a slow line is used evenly.
PIECE_BYTES = 8192
# Beyond the time that the rate asks for.
PATIENCE_S = 120.0
ANSWER_BYTES = 1 << 16
# What is wrong with the file, not with us or the server: bad request, too large, type, content.
OF_THE_FILE = {400, 413, 415, 422}
WHO_WE_ARE = {401, 403}
PASSES = {408, 425, 429}
# As URLs are written (RFC 3986, 2): what is signed cannot be mended here.
WRITTEN = re.compile(r"[!-~]+")


class Refused(EdgeAgentError):
    """The server does not take this file."""


class Presigned(msgspec.Struct, frozen=True):
    """Where to put a file, as somebody who may has signed it."""

    url: str


class Body:
    """A file's bytes, piece by piece; `pace` waits until so many may be sent."""

    def __init__(self, content: bytes, pace: Callable[[int], None]) -> None:
        self._content = content
        self._pace = pace

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), PIECE_BYTES):
            piece = self._content[start : start + PIECE_BYTES]
            self._pace(len(piece))
            yield piece


class Destination:
    """Where files go. One thread uses it. `folder`: where relative paths start."""

    def __init__(self, options: UploadOptions, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._parts = urlsplit(options.url)

    def put(self, name: str, content: bytes, pace: Callable[[int], None]) -> None:
        """Send a file under `name`, parts of a path; return when the server says it has it."""
        target = quote(name) + (f"?{self._parts.query}" if self._parts.query else "")
        origin = self._origin(self._options.url, self._authorization())
        try:
            if self._options.how == "presigned":
                answer = origin.exchange("GET", target, b"", ANSWER_BYTES)
                origin.close()
                origin, target = self._signed(answer)
            limit_s = PATIENCE_S + 2 * len(content) / (self._options.kb_per_s * 1e3)
            kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
            headers = {"Content-Type": kind, "Content-Length": str(len(content))}
            _judge(origin.put(target, Body(content, pace), headers, limit_s), name)
        finally:
            origin.close()

    def _signed(self, answer: bytes) -> tuple[HttpOrigin, str]:
        try:
            url = msgspec.json.decode(answer, type=Presigned).url
            parts = urlsplit(url)
            host = (parts.hostname or "").encode("idna")  # raises for what no host can be
            known = parts.scheme in {"http", "https"} and parts.port != 0
            good = known and host and WRITTEN.fullmatch(url)
        except (msgspec.DecodeError, ValueError):
            good = False
        if not good:
            raise SyncError("bad_answer", "what came is no presigned address")
        target = parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
        return self._origin(f"{parts.scheme}://{parts.netloc}/", ""), target

    def _origin(self, url: str, authorization: str) -> HttpOrigin:
        options = self._options
        settings = HttpSettings(
            options.proxy,
            self._path(options.ca_file),
            self._path(options.cert_file),
            self._path(options.key_file),
            authorization=authorization,
        )
        return HttpOrigin(url, settings)

    def _path(self, path: str) -> str:
        return str(self._folder / path) if path else ""

    def _authorization(self) -> str:
        if not self._options.credentials_file:
            return ""
        try:
            text = (self._folder / self._options.credentials_file).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SyncError("disk", f"credentials_file: {error}") from None
        return authorization(text)


def authorization(text: str) -> str:
    """Return the header for `bearer TOKEN` or `basic USER:PASSWORD`; raise SyncError."""
    word, _, rest = text.partition(" ")
    if word.lower() == "bearer" and rest and rest.isascii() and rest.isprintable():
        return f"Bearer {rest.strip()}"
    if word.lower() == "basic" and ":" in rest:
        return f"Basic {base64.b64encode(rest.strip().encode()).decode()}"
    raise SyncError("disk", "credentials_file: neither `bearer TOKEN` nor `basic USER:PASSWORD`")


def _judge(status: int, name: str) -> None:
    if status // 100 == 2:  # noqa: PLR2004  the class of success
        return
    if status in OF_THE_FILE:
        raise Refused(f"{name}: the server answered {status}")
    if status in WHO_WE_ARE:
        raise SyncError("refused", f"the server answered {status}: see credentials_file")
    code = "busy" if status in PASSES or status // 100 == 5 else "bad_answer"  # noqa: PLR2004
    raise SyncError(code, f"the server answered {status}")
