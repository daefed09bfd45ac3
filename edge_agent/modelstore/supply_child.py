"""Asks the repository in a child process; see supplier.py.

    python -m edge_agent.modelstore.supply_child

reads one order from standard input and answers with JSON lines: progress, then what was found. It
ends with whoever started it: it then writes to nobody, or is killed.
"""

from __future__ import annotations

import contextlib
import errno
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from edge_agent.errors import ModelError, SyncError
from edge_agent.modelstore.desired import ModelRef
from edge_agent.modelstore.desired_source import OpenAction, SlotReport
from edge_agent.modelstore.supplier import Fetched, Look, News, Place, RepositorySupplier

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

# Far above what a look takes at a slow server (http_origin.py ends each of its requests).
LOOK_S = 900.0
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """To fetch `news` into `folder`, to tell `reports` of `action`, or else to look."""

    place: Place
    running: dict[str, ModelRef] = {}
    news: News | None = None
    folder: str = ""
    keep: list[str] = []
    action: OpenAction | None = None
    reports: list[SlotReport] = []


class Told(msgspec.Struct, frozen=True):
    """What the fleet server still waits for."""

    action: OpenAction | None


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line: exactly one of these. `refused`: code and sentence of a SyncError."""

    progress: int | None = None
    look: Look | None = None
    fetched: Fetched | None = None
    told: Told | None = None
    refused: tuple[str, str] | None = None


@dataclass
class ChildSupplier:
    """See supplier.Supplier. One thread asks; any may stop it."""

    place: Place
    command: tuple[str, ...] = (sys.executable, "-m", "edge_agent.modelstore.supply_child")
    _stopped: bool = False
    _child: subprocess.Popen[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def look(self, running: Mapping[str, ModelRef]) -> Look:
        """See Supplier."""
        answer = self._ask(Order(place=self.place, running=dict(running)), lambda _: None)
        if answer.look is None:
            raise SyncError("bad_answer", "the child that asks answered something else")
        return answer.look

    def fetch(
        self, news: News, folder: Path, keep: Collection[str], say: Callable[[int], None]
    ) -> Fetched:
        """See Supplier."""
        order = Order(place=self.place, news=news, folder=str(folder), keep=sorted(keep))
        answer = self._ask(order, say)
        if answer.fetched is None:
            raise SyncError("bad_answer", "the child that fetches answered something else")
        return answer.fetched

    def tell(self, action: OpenAction, reports: Collection[SlotReport]) -> OpenAction | None:
        """See Supplier."""
        order = Order(place=self.place, action=action, reports=list(reports))
        answer = self._ask(order, lambda _: None)
        if answer.told is None:
            raise SyncError("bad_answer", "the child that reports answered something else")
        return answer.told.action

    def stop(self) -> None:
        """See Supplier."""
        with self._lock:
            self._stopped = True
            if self._child is not None:
                self._child.kill()

    def _ask(self, order: Order, say: Callable[[int], None]) -> Answer:
        with self._lock:
            if self._stopped:
                raise SyncError("stopped", "the agent is ending")
            child = self._child = subprocess.Popen(  # noqa: S603  our own program
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        last_resort = threading.Timer(LOOK_S, child.kill)
        if order.news is None:
            last_resort.start()  # a fetch has a deadline of its own
        try:
            with child:
                answer = _converse(child, order, say)
        finally:
            last_resort.cancel()
            with self._lock:
                self._child = None
        if answer.refused is not None:
            raise SyncError(*answer.refused)
        return answer


def _converse(child: subprocess.Popen[bytes], order: Order, say: Callable[[int], None]) -> Answer:
    stdin, stdout = child.stdin, child.stdout
    if stdin is None or stdout is None:
        raise SyncError("stopped", "the child has no pipes")
    try:
        stdin.write(msgspec.json.encode(order))
        stdin.close()
        for line in stdout:
            answer = msgspec.json.decode(line, type=Answer)
            if answer.progress is None:
                return answer
            say(answer.progress)
    except (BrokenPipeError, msgspec.DecodeError):
        pass
    raise SyncError("stopped", "the child that asks the repository ended early")


def main(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Obey one order."""
    # Whoever gave the order may be gone by the time of the answer: then nobody wants it.
    with contextlib.suppress(BrokenPipeError):
        _answer(orders, answers)


def _answer(orders: IO[bytes], answers: IO[bytes]) -> None:
    def write(answer: Answer) -> None:
        answers.write(msgspec.json.encode(answer) + b"\n")
        answers.flush()

    order = msgspec.json.decode(orders.read(), type=Order)
    supplier = RepositorySupplier(order.place, threading.Event())
    try:
        write(_obeyed(supplier, order, lambda count: write(Answer(progress=count))))
    except SyncError as error:
        write(Answer(refused=(error.code, error.detail)))
    except ModelError as error:
        write(Answer(refused=("bad_document", str(error))))
    except BrokenPipeError:
        raise
    except OSError as error:
        code = "no_room" if error.errno in NO_ROOM else "disk"
        write(Answer(refused=(code, str(error))))


def _obeyed(supplier: RepositorySupplier, order: Order, say: Callable[[int], None]) -> Answer:
    if order.action is not None:
        return Answer(told=Told(supplier.tell(order.action, order.reports)))
    if order.news is None:
        return Answer(look=supplier.look(order.running))
    return Answer(fetched=supplier.fetch(order.news, Path(order.folder), order.keep, say))


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
