"""`/healthz`, `/readyz` and `/metrics` over HTTP: the standard library's server, with limits.

Whoever asks slowly, or never ends, is cut off: no more than MOST_CLIENTS at a time are heard, each
for CLIENT_S at most, and nobody can hold up inspection.
"""

from __future__ import annotations

import http.server
import logging
import socket
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from edge_agent import threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.reporting.messages import CheckState
    from edge_agent.serving.options import HttpOptions

log = logging.getLogger(__name__)

MOST_CLIENTS = 16
CLIENT_S = 5.0
RETRY_S = 10.0
POLL_S = 0.5
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers."""

    status: int
    content_type: str
    body: bytes


Pages = dict[str, "Callable[[], Answer]"]


class Web:
    """The server in its own thread; `stop` may be called whatever became of it."""

    def __init__(self, options: HttpOptions, pages: Pages) -> None:
        self.detail = ""
        """Why nobody is served, or ""."""
        self._options = options
        self._pages = pages
        self._stopping = threading.Event()
        self._thread = threads.thread(self._run, "http")

    def start(self) -> None:
        """Begin to serve, if the config says so."""
        if self._options.on:
            self._thread.start()

    def stop(self) -> None:
        """Serve no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(CLIENT_S)

    def _run(self) -> None:
        options = self._options
        while not self._stopping.is_set():
            try:
                server = _Server((options.host, options.port), self._pages)
            except OSError as error:
                self._say(f"http {options.host}:{options.port}: {error.strerror or error}")
                self._stopping.wait(RETRY_S)
                continue
            with server:
                self._say("")
                log.info("http: health and metrics on http://%s:%d", *server.server_address[:2])
                while not self._stopping.is_set():
                    server.handle_request()
                    server.cut_off()
            return

    def _say(self, detail: str) -> None:
        if detail and detail != self.detail:
            log.warning("%s; inspection goes on without it", detail)
        self.detail = detail


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CLIENTS
    timeout = POLL_S

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        self.pages = pages
        self._clients: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # The base asks the resolver for the name of our address, and may wait for it.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._lock:
            full = len(self._clients) >= MOST_CLIENTS
            if not full:
                self._clients[request] = time.monotonic()
        if full:
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def cut_off(self) -> None:
        """Let go of whoever takes too long."""
        late_s = time.monotonic() - CLIENT_S
        with self._lock:
            late = [client for client, since_s in self._clients.items() if since_s < late_s]
        for client in late:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("http: %s: %s", client_address, request)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version = "edge-agent"
    sys_version = ""
    timeout = CLIENT_S

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        answer = page() if page is not None else NOT_FOUND
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
        log.debug("http: " + format, *args)  # noqa: G003  the base's format


NOT_FOUND = Answer(
    HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"/healthz, /readyz, /metrics\n"
)


def health(checks: list[CheckState]) -> Answer:
    """Return what checks say: 200 when none fails, else 503; those that are not ok come first."""
    failing = not checks or any(check.state == "fail" for check in checks)
    body = {
        "ok": not failing,
        "checks": sorted(checks, key=lambda check: ("fail", "warn", "ok").index(check.state)),
    }
    status = HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK
    return Answer(status, JSON, msgspec.json.encode(body) + b"\n")
