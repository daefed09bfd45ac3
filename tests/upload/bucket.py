"""A server that takes files by PUT, on loopback, and does wrong when it is told to."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Bucket:
    """What it has, whom it knows, and how it answers the next requests.

    `signs`: what it answers instead of a signed address. `always`: the status of all requests to
    come; else `answers`: those of the next ones, 0 for a connection that breaks in the middle, then
    200. `pieces`: how many bytes are read at once, and `slow_s` the time between.
    """

    authorization: str = ""
    signs: bytes | None = None
    answers: list[int] = field(default_factory=list)
    always: int | None = None
    refuses: frozenset[str] = frozenset()
    pieces: int = 1 << 20
    slow_s: float = 0.0
    files: dict[str, bytes] = field(default_factory=dict)
    heads: list[dict[str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)
    url: str = ""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, bucket: Bucket, *arguments: Any) -> None:
        self.bucket = bucket
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Sign an address."""
        name = urlsplit(self.path).path.removeprefix("/sign/")
        self.bucket.asked.append(name)
        signs = self.bucket.signs
        if self._known():
            signed = {"url": f"{self.bucket.url}files/{name}?signature=abc"}
            self._answer(200, json.dumps(signed).encode() if signs is None else signs)

    def do_PUT(self) -> None:
        bucket, path = self.bucket, self.path
        bucket.asked.append(path)
        bucket.heads.append(dict(self.headers))
        bucket.began.set()
        status = bucket.always
        if status is None:
            status = bucket.answers.pop(0) if bucket.answers else 200
        length = int(self.headers["Content-Length"])
        if status == 0:
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        if status == 401 or not ("signature" in path or self._known()):
            # As real servers do: the answer before the content, and a closed door.
            self.close_connection = True
            if status == 401:
                self._answer(401)
            return
        content = b""
        while len(content) < length:
            threading.Event().wait(bucket.slow_s)
            piece = self.rfile.read(min(bucket.pieces, length - len(content)))
            if not piece:
                return
            content += piece
        if any(part in path for part in bucket.refuses):
            status = 413
        if status // 100 == 2:
            bucket.files[path] = content
        self._answer(status)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _known(self) -> bool:
        if self.headers.get("Authorization", "") == self.bucket.authorization:
            return True
        self._answer(401)
        return False

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def server(bucket: Bucket) -> ThreadingHTTPServer:
    """Return a server that is not started."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Request, bucket))
    made.daemon_threads = True
    return made
