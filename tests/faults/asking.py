"""Before each operation on files below a folder, this process asks what is to become of it.

All operations are seen, those of libraries too: Python tells an audit hook of each but `write` and
`fsync`, which are replaced. Whoever answers is file_operations.Desk.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET, BELOW = "FILE_OPERATIONS_SOCKET", "FILE_OPERATIONS_BELOW"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def ask_from_here_on() -> None:
    """Begin, where the environment says so."""
    if SOCKET not in os.environ:
        return
    asking = _Asking(os.environ[SOCKET], os.environ[BELOW] + "/")
    sys.addaudithook(asking.audit)
    os.fsync = asking.before_fsync(os.fsync)  # type: ignore[assignment]
    os.write = asking.before_write(os.write)


class _Asking:
    """One process's."""

    def __init__(self, desk: str, below: str) -> None:
        self._desk = desk
        self._below = below
        self._lock = threading.Lock()
        self._connection: tuple[int, socket.socket] | None = None

    def audit(self, event: str, given: tuple[Any, ...]) -> None:
        """Hear of anything that Python does; see the list of audit events in its documentation."""
        match event:
            case "open":
                if isinstance(given[2], int) and given[2] & WRITES:
                    self._allow("open", _path(given[0]))
            case "os.mkdir":
                self._allow("mkdir", _path(given[0], given[2]))
            case "os.remove" | "os.rmdir":
                self._allow(event.removeprefix("os."), _path(given[0], given[1]))
            case "os.rename" | "os.link":
                self._allow(event.removeprefix("os."), _path(given[1], given[3]))
            case "os.symlink":
                self._allow("symlink", _path(given[1], given[2]))
            case "os.chmod":
                self._allow("chmod", _path(given[0]))

    def before_fsync(self, fsync: Callable[[int], None]) -> Callable[[int], None]:
        """Return it, asking first."""

        def asks(descriptor: int) -> None:
            self._allow("fsync", _path(descriptor))
            fsync(descriptor)

        return asks

    def before_write(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        """Return it, asking first; whoever dies here has written half of it."""

        def asks(descriptor: int, content: Any) -> int:
            path = _path(descriptor)
            half = memoryview(content)[: len(content) // 2]
            self._allow("write", path, lambda: write(descriptor, half))
            return write(descriptor, content)

        return asks

    def _allow(self, verb: str, path: str, last: Callable[[], object] | None = None) -> None:
        if not path.startswith(self._below):
            return
        answer = self._ask(f"{os.getpid()} {verb} {path.removeprefix(self._below)}\n")
        if answer == b"die":
            if last is not None:
                last()
            os.kill(os.getpid(), signal.SIGKILL)
        if answer == b"full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _ask(self, question: str) -> bytes:
        with self._lock:
            try:
                known = self._connection
                if known is None or known[0] != os.getpid():  # a fork needs one of its own
                    connection = socket.socket(socket.AF_UNIX)
                    connection.connect(self._desk)
                    known = self._connection = (os.getpid(), connection)
                known[1].sendall(question.encode())
                return known[1].recv(16)
            except OSError:
                return b"go"  # nobody asks any more


def _path(named: str | bytes | int, folder: int = -1) -> str:
    if isinstance(named, int):
        return str(Path(f"/proc/self/fd/{named}").readlink())
    base = Path(_path(folder)) if folder >= 0 else Path.cwd()
    return str(base / os.fsdecode(named))
