"""Web servers that do wrong, each in one way, on loopback."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PORTAL = b"<html>Welcome to the guest network. Please log in.</html>"


@dataclass
class Behaviour:
    """What the server has, what it was asked, and how it answers."""

    content: bytes
    answer: Callable[[Answer], None]
    ranges: list[str] = field(default_factory=list)
    sent: int = 0


class Answer(BaseHTTPRequestHandler):
    """One request, answered by the behaviour."""

    protocol_version = "HTTP/1.1"

    def __init__(self, behaviour: Behaviour, *arguments: Any) -> None:
        self.behaviour = behaviour
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.behaviour.ranges.append(self.headers.get("Range", ""))
        try:
            self.behaviour.answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    @property
    def start(self) -> int:
        """First byte that is asked for."""
        asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked[1]) if asked else 0

    def head(self, status: int, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def body(self, content: bytes) -> None:
        self.wfile.write(content)
        self.behaviour.sent += len(content)

    def head_of_part(self) -> bytes:
        """Send the right head for what was asked; return the right body."""
        size = len(self.behaviour.content)
        rest = self.behaviour.content[self.start :]
        if self.headers.get("Range"):
            self.head(206, len(rest), Content_Range=f"bytes {self.start}-{size - 1}/{size}")
        else:
            self.head(200, size)
        return rest


def server(behaviour: Behaviour) -> ThreadingHTTPServer:
    """Return a server that is not started."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), partial(Answer, behaviour))
    made.daemon_threads = True
    return made


def well(answer: Answer) -> None:
    """As it should be."""
    answer.body(answer.head_of_part())


def cut_after(count: int) -> Callable[[Answer], None]:
    """Break the connection after so many bytes of each answer."""

    def cut(answer: Answer) -> None:
        answer.body(answer.head_of_part()[:count])
        answer.close_connection = True

    return cut


def drip(answer: Answer) -> None:
    """Send one byte every 5 ms."""
    for byte in answer.head_of_part():
        answer.body(bytes([byte]))
        answer.wfile.flush()
        time.sleep(0.005)


def drip_head(answer: Answer) -> None:
    """Never finish the first line."""
    while True:
        answer.wfile.write(b"H")
        time.sleep(0.005)


def silence(answer: Answer) -> None:
    """Take the request and say nothing."""
    answer.rfile.read(1)


def endless(answer: Answer) -> None:
    """Send for ever, without a length."""
    answer.close_connection = True
    answer.head(206 if answer.start else 200, None, **_range(answer, answer.start))
    while True:
        answer.body(bytes(1 << 16))


def wrong_range(answer: Answer) -> None:
    """Answer a range with another one; break the first answer in the middle."""
    if not answer.start:
        cut_after(2000)(answer)
        return
    answer.head(206, 10, **_range(answer, answer.start + 1))
    answer.body(bytes(10))


def ignores_ranges(answer: Answer) -> None:
    """Send the whole file for a range; break every answer in the middle."""
    answer.head(200, len(answer.behaviour.content))
    answer.body(answer.behaviour.content[:2000])
    answer.close_connection = True


def refuses_ranges(answer: Answer) -> None:
    """Break the first answer, then know no such range."""
    if not answer.start:
        cut_after(2000)(answer)
        return
    answer.head(416, 0, Content_Range="bytes */100")


def portal(answer: Answer) -> None:
    """Be the login page of a guest network."""
    answer.head(200, len(PORTAL), Content_Type="text/html")
    answer.body(PORTAL)


def redirects(answer: Answer) -> None:
    """Send everybody elsewhere."""
    answer.head(302, 0, Location="http://127.0.0.1:9/")


def refusing(status: int) -> Callable[[Answer], None]:
    """Answer every request with this status."""
    return lambda answer: answer.head(status, 0)


def _range(answer: Answer, start: int) -> dict[str, str]:
    size = len(answer.behaviour.content)
    return {"Content_Range": f"bytes {start}-{size - 1}/{size}"}
