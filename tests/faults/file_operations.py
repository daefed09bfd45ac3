"""Decides about each file operation of processes under test, wherever in them it happens.

The processes start with `environment` (asking.py); each operation below a folder waits until
`answer` has said `go`, `die` or `full`. So an operation can be the last before a kill, before a
copy of the disk, or the first on a disk without room; and a test can count on to the next one until
there is none.
"""

from __future__ import annotations

import socketserver
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.faults.asking import BELOW, SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
Answer = Literal["go", "die", "full"]


@dataclass(frozen=True, slots=True)
class Operation:
    """The `number`th since the desk was cleared; `path` is relative to the folder watched."""

    number: int
    pid: int
    verb: str
    path: str


def go(_: Operation) -> Answer:
    """Let everything happen."""
    return "go"


@dataclass
class Desk:
    """`seen`: what was asked, in order. `answer` is called for one operation at a time."""

    folder: Path
    below: Path
    answer: Callable[[Operation], Answer] = go
    seen: list[Operation] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environment(self) -> dict[str, str]:
        """What the processes are to have in their environment."""
        path = f"{HERE / 'hook'}:{HERE.parents[1]}"
        return {SOCKET: str(self.folder / "desk"), BELOW: str(self.below), "PYTHONPATH": path}

    def begin(self, answer: Callable[[Operation], Answer] = go) -> None:
        """Count from one again, and answer so."""
        with self._lock:
            self.answer = answer
            self.seen = []

    def asked(self, line: str) -> Answer:
        """Answer a question of asking.py."""
        pid, verb, path = line.rstrip("\n").split(" ", 2)
        with self._lock:
            operation = Operation(len(self.seen) + 1, int(pid), verb, path)
            self.seen.append(operation)
            return self.answer(operation)


class _Clerk(socketserver.StreamRequestHandler):
    def __init__(self, desk: Desk, *arguments: object) -> None:
        self._desk = desk
        super().__init__(*arguments)  # type: ignore[arg-type]

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(self._desk.asked(line.decode()).encode())


@contextmanager
def desk(folder: Path, below: Path) -> Iterator[Desk]:
    """Run a desk whose socket lies in `folder`, for operations below another one."""
    made = Desk(folder, below)
    with socketserver.ThreadingUnixStreamServer(
        str(folder / "desk"), partial(_Clerk, made)
    ) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
