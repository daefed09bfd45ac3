"""A repository behind HTTP, read so that no server, proxy or portal can hold or flood the gateway.

Python's own http.client: one connection, no redirects, no retries of its own. Every answer is
bounded in bytes (by what was asked for) and in time (a socket timeout for silence, a watchdog for
answers that drip, in their headers too).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import ssl
import urllib.request
import zlib
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from edge_agent.errors import SyncError
from edge_agent.modelstore.http_watchdog import Watchdog
from edge_agent.modelstore.origin import CHUNK_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from urllib.parse import SplitResult

BUSY = {http.client.TOO_MANY_REQUESTS, http.client.SERVICE_UNAVAILABLE}
# 403: object stores answer so for a missing file when listing is not allowed.
MISSING = {http.client.FORBIDDEN, http.client.NOT_FOUND, http.client.GONE}
ERROR_PAGE_BYTES = 1 << 16
SAFE = "/%"
# RFC 3986, 3.3: as it is written there, but for what cannot be sent at all.
SAFE_IN_ADDRESS = "/%:@!$&'()*+,;=~"
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How to reach the server.

    `proxy`: address of an HTTP proxy, "" for what the environment says (https_proxy, no_proxy).
    `ca_file`: who may vouch for the server, instead of the system's list; `cert_file`, `key_file`:
    with what the gateway shows who it is (mutual TLS). `silence_s`: how long a connection may say
    nothing; `read_s`: how long a small file may take in all; `stream_s`: the same for one request
    of a blob. `authorization`: the header of that name, instead of user and password in the
    address.
    """

    proxy: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    silence_s: float = 30.0
    read_s: float = 120.0
    stream_s: float = 6 * 3600.0
    user_agent: str = "edge-agent"
    authorization: str = field(default="", repr=False)


class HttpOrigin:
    """See origin.Origin. One thread uses it."""

    def __init__(self, url: str, settings: HttpSettings) -> None:
        self._url = urlsplit(url if url.endswith("/") else f"{url}/")
        self._settings = settings
        self._proxy = _proxy(self._url, settings)
        self._connection: http.client.HTTPConnection | None = None

    def read(self, path: str, limit: int) -> bytes:
        """See Origin; the file may come compressed."""
        headers = {"Accept-Encoding": "gzip"}
        with self._request(quote(path, safe=SAFE), headers, self._settings.read_s) as answer:
            _require(answer, http.client.OK, path)
            packed = answer.headers.get("Content-Encoding", "").lower() == "gzip"
            content = b"".join(_bounded(answer, limit + 1))
            if packed:
                content = _unpacked(content, limit + 1, path)
            if len(content) > limit:
                raise SyncError("too_large", f"{path}: more than {limit} bytes")
            if not packed and answer.length:
                raise SyncError("offline", f"{path}: the connection broke")
            return content

    def put(self, target: str, body: Iterable[bytes], head: dict[str, str], limit_s: float) -> int:
        """Send what may be iterated more than once, its length in `head`; return the status."""
        with self._request(target, head, limit_s, "PUT", body) as answer:
            for _ in _bounded(answer, ERROR_PAGE_BYTES):
                pass
            return answer.status

    def exchange(self, method: str, target: str, body: bytes, limit: int) -> bytes:
        """Send JSON to `target` (path and query, quoted), return what a 2xx brings; as `read`."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        with self._request(target, headers, self._settings.read_s, method, body) as answer:
            if answer.status // 100 != 2:  # noqa: PLR2004  the class of success
                _require(answer, http.client.OK, target)
            content = b"".join(_bounded(answer, limit + 1))
        if len(content) > limit:
            raise SyncError("too_large", f"{target}: more than {limit} bytes")
        return content

    def stream(self, path: str, start: int, length: int) -> Iterator[bytes]:
        """See Origin; from the first byte on without a Range, which every server understands."""
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-{length - 1}"
        target = quote(path, safe=SAFE)
        with self._request(target, headers, self._settings.stream_s) as answer:
            if start:
                _require_range(answer, path, start, length)
            else:
                _require_whole(answer, path, length)
            yield from _bounded(answer, length - start)

    def close(self) -> None:
        """See Origin."""
        if self._connection is not None:
            self._connection.close()

    @contextlib.contextmanager
    def _request(
        self,
        target: str,
        headers: dict[str, str],
        limit_s: float,
        method: str = "GET",
        body: bytes | Iterable[bytes] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        watchdog = Watchdog(limit_s)
        answer: http.client.HTTPResponse | None = None
        try:
            connection = self._connected()
            watchdog.start(connection)
            send = partial(
                connection.request, method, self._whole(target), body, self._headers(headers)
            )
            answer = _answer(connection, send)
            yield answer
        # ValueError: an address, of the config or of somebody's answer, that HTTP has no room for.
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SyncError("offline", f"{target}: {_reason(error)}") from None
        finally:
            watchdog.stop()
            if answer is None or watchdog.bit or not _is_read(answer):
                self.close()
            if answer is not None:
                # One that ends its connection has the socket to itself: an error that is kept
                # would keep it open.
                answer.close()

    def _connected(self) -> http.client.HTTPConnection:
        if self._connection is None:
            self._connection = _connection(self._url, self._proxy, self._settings)
        return self._connection

    def _whole(self, target: str) -> str:
        whole = quote(self._url.path, safe=SAFE_IN_ADDRESS) + target
        # A proxy for plain HTTP is told the whole address; for HTTPS it only opens a tunnel.
        if self._proxy is not None and self._url.scheme == "http":
            return f"http://{self._url.netloc.rpartition('@')[2]}{whole}"
        return whole

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        headers = {"User-Agent": self._settings.user_agent, **more}
        if self._settings.authorization:
            headers["Authorization"] = self._settings.authorization
        elif self._url.username is not None:
            headers["Authorization"] = _basic(self._url)
        if self._proxy is not None and self._proxy.username is not None:
            headers |= _proxy_headers(self._proxy) if self._url.scheme == "http" else {}
        return headers


def _answer(
    connection: http.client.HTTPConnection, send: Callable[[], None]
) -> http.client.HTTPResponse:
    kept = connection.sock is not None
    try:
        send()
        return connection.getresponse()
    except (ConnectionError, http.client.BadStatusLine):
        if not kept and connection.sock is None:
            raise
        if not kept:
            return connection.getresponse()  # it answered before it had heard all, and hung up
        # The server let go of a connection that was kept: usual, and no failure.
        connection.close()
        send()
        return connection.getresponse()


def _connection(
    url: SplitResult, proxy: SplitResult | None, settings: HttpSettings
) -> http.client.HTTPConnection:
    peer = url if proxy is None else proxy
    host = peer.hostname or ""
    if url.scheme == "http":
        return http.client.HTTPConnection(host, peer.port or 80, timeout=settings.silence_s)
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file or None)
    connection = http.client.HTTPSConnection(
        host,
        peer.port or (443 if proxy is None else 3128),
        timeout=settings.silence_s,
        context=context,
    )
    if proxy is not None:
        connection.set_tunnel(url.hostname or "", url.port or 443, _proxy_headers(proxy))
    return connection


def _proxy(url: SplitResult, settings: HttpSettings) -> SplitResult | None:
    if settings.proxy:
        return urlsplit(settings.proxy)
    if urllib.request.proxy_bypass(url.hostname or ""):
        return None
    named = urllib.request.getproxies_environment().get(url.scheme)
    return urlsplit(named) if named else None


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    return {} if proxy.username is None else {"Proxy-Authorization": _basic(proxy)}


def _basic(url: SplitResult) -> str:
    user = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    return f"Basic {base64.b64encode(user.encode()).decode()}"


def _is_read(answer: http.client.HTTPResponse) -> bool:
    """Return whether the next question can be asked: after a whole answer, with nothing unread."""
    whole = answer.isclosed() if answer.chunked else answer.length == 0
    return whole and not answer.will_close


def _require(answer: http.client.HTTPResponse, status: int, path: str) -> None:
    if answer.status == status:
        return
    for _ in _bounded(answer, ERROR_PAGE_BYTES):
        pass  # so that the connection can be used again: a 404 ends every poll for a new root
    said = f"{path}: the server answered {answer.status} {answer.reason}"[:200]
    if answer.status in BUSY:
        raise SyncError("busy", said)
    if answer.status in MISSING:
        raise SyncError("not_found", said)
    raise SyncError("bad_answer", said)


def _require_whole(answer: http.client.HTTPResponse, path: str, length: int) -> None:
    _require(answer, http.client.OK, path)
    if answer.length not in {None, length}:
        raise SyncError("bad_answer", f"{path}: {answer.length} bytes instead of {length}")


def _require_range(answer: http.client.HTTPResponse, path: str, start: int, length: int) -> None:
    _require(answer, http.client.PARTIAL_CONTENT, path)
    named = answer.headers.get("Content-Range", "")
    found = CONTENT_RANGE.fullmatch(named)
    if found is None or int(found[1]) != start or found[3] not in {"*", str(length)}:
        raise SyncError("bad_answer", f"{path}: range {named[:80]!r}, asked from byte {start} on")


def _bounded(answer: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
    """Yield at most `limit` bytes, each chunk as soon as it comes; a broken link is an end."""
    while limit > 0:
        try:
            # read1 returns what has come; read would wait for all, however slowly it drips.
            chunk = answer.read1(min(CHUNK_BYTES, limit))
        except (OSError, http.client.HTTPException):
            return
        if not chunk:
            return
        limit -= len(chunk)
        yield chunk


def _unpacked(content: bytes, limit: int, path: str) -> bytes:
    # 16: the gzip header is expected. The limit keeps a few bytes from becoming gigabytes.
    unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacker.decompress(content, limit)
    except zlib.error as error:
        raise SyncError("bad_answer", f"{path}: {error}") from None
    if not unpacker.eof and len(unpacked) < limit:
        raise SyncError("offline", f"{path}: the connection broke")
    return unpacked


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
