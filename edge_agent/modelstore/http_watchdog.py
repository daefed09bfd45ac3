"""A limit on how long an HTTP exchange may take in all, however it drips."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from edge_agent import threads

if TYPE_CHECKING:
    import http.client

AGAIN_S = 0.1


class Watchdog:
    """Breaks a connection that takes too long, from another thread: whoever reads it sees the end.

    Until it is stopped, for at first there may be no socket yet, or one that TLS is to replace.
    """

    def __init__(self, limit_s: float) -> None:
        self.bit = False
        """The time was over."""
        self._limit_s = limit_s
        self._stopped = threading.Event()

    def start(self, connection: http.client.HTTPConnection) -> None:
        """Begin to count."""
        threads.thread(self._watch, "http-watchdog", (connection,)).start()

    def stop(self) -> None:
        """Break nothing any more."""
        self._stopped.set()

    def _watch(self, connection: http.client.HTTPConnection) -> None:
        wait_s = self._limit_s
        while not self._stopped.wait(wait_s):
            self.bit, wait_s = True, AGAIN_S
            if sock := connection.sock:
                with contextlib.suppress(OSError):
                    # Past TLS on purpose: its own goodbye would wait for the other side.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
