"""The outbox's writer: one thread, one transaction at a time."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_S
from edge_agent.delivery.gaps import Losses
from edge_agent.delivery.outbox_types import Changes, DiskTrouble, FileInUse
from edge_agent.delivery.outbox_waiting import NEVER_S, ROWS_PER_COMMIT
from edge_agent.delivery.seq_floor import BLOCK

if TYPE_CHECKING:
    from edge_agent.delivery.outbox_file import OutboxFile
    from edge_agent.delivery.outbox_types import Row
    from edge_agent.delivery.outbox_waiting import WaitingRoom
    from edge_agent.metrics import Counters

log = logging.getLogger(__name__)

ROWS_AFTER_TROUBLE = 20
RETRY_S = 0.5
HOUSEKEEPING_S = 60.0
# A clock that was wrong at the start must not throw a backlog away before it could be sent.
FIRST_EXPIRY_S = 600.0


class Writer:
    """Writes what the waiting room holds when it is due; nothing else writes to the file."""

    def __init__(
        self, file: OutboxFile, room: WaitingRoom, counters: Counters, max_age_s: float
    ) -> None:
        self.detail = ""
        self.rows_written = 0
        self._file = file
        self._room = room
        self._counters = counters
        self._clock = room.clock
        self._max_age_s = max_age_s
        self._retry_s = 0.0
        self._rows_at_once = ROWS_PER_COMMIT
        self._housekeeping_s = 0.0

    def run(self) -> None:
        """Write until `closing`, and then what is left, once."""
        while self._wait_until_due():
            self._step()
        while self._step() and not self._room.idle():
            pass
        self._file.close(self._room.last_seq if self._room.opened else None)
        with self._room.changed:
            self._room.changed.notify_all()

    def _wait_until_due(self) -> bool:
        room = self._room
        with room.changed:
            while not room.closing:
                now_s = self._clock.running_s
                wakes_s = self._due_s()
                if wakes_s <= now_s:
                    return True
                room.writer_wakes_s = wakes_s
                room.changed.wait(wakes_s - now_s)
        return False

    def _due_s(self) -> float:
        if not self._room.usable:
            return self._retry_s
        return min(self._room.due_s(), self._housekeeping_s)

    def _step(self) -> bool:
        """Write what there is; False when the disk refuses."""
        try:
            if not self._room.usable:
                self._open()
                # Deletes need less room than rows, and make some.
                self._commit(rows=0)
            self._raise_floor()
            self._commit(rows=self._rows_at_once)
        except DiskTrouble as error:
            self._rows_at_once = ROWS_AFTER_TROUBLE
            self._retry_s = self._clock.running_s + RETRY_S
            self._say(str(error))
            if not isinstance(error, FileInUse):
                self._begin_without()
            with self._room.changed:
                self._room.usable = False
                self._room.refusing = True
                self._room.tell()
            return False
        self._rows_at_once = min(2 * self._rows_at_once, ROWS_PER_COMMIT)
        self._say("")
        with self._room.changed:
            self._room.usable = True
            self._room.refusing = False
        return True

    def _open(self) -> None:
        room = self._room
        with room.changed:
            used = room.settled_seq if room.opened else None
        base = self._file.open(used)
        with room.changed:
            room.open(base)
            room.changed.notify_all()

    def _begin_without(self) -> None:
        """Give numbers although the file refuses: a line without verdicts is worse."""
        room = self._room
        with contextlib.suppress(DiskTrouble):
            if not room.opened and (base := self._file.begin_without()) is not None:
                with room.changed:
                    room.open(base)
            self._raise_floor()  # in place: a full disk takes it

    def _raise_floor(self) -> None:
        room = self._room
        with room.changed:
            if not room.ceiling_low:
                return
            settled_seq, last_seq = room.settled_seq, room.last_seq
        self._file.raise_floor(settled_seq, last_seq, last_seq + BLOCK)
        with room.changed:
            room.raise_ceiling(last_seq + BLOCK)

    def _commit(self, *, rows: int) -> None:
        room = self._room
        with room.changed:
            taken = room.take(rows)
            pending, room.pending = room.pending, Changes(parked=room.parked_in_memory())
            lost, room.intake.lost = room.intake.lost, Losses()
            room.pending_due_s = NEVER_S
            room.writing = True
        try:
            self._write(pending, lost, [room.row(one) for one in taken], on_full_disk=not rows)
        except DiskTrouble:
            with room.changed:
                room.pending.include(pending)
                room.intake.lost.merge(lost)
                room.intake.put_back()
                room.writing = False
            raise
        with room.changed:
            room.intake.done()
            room.writing = False
            room.committed_s = self._clock.running_s
            room.changed.notify_all()

    def _write(
        self, pending: Changes, lost: Losses, rows: list[Row], *, on_full_disk: bool
    ) -> None:
        now_ns = self._clock.now_ns()
        gaps = pending.gaps + lost.gaps("memory", at_ns=now_ns, offset=self._room.base)
        expired = self._housekeep(now_ns)
        changes = replace(pending, rows=rows, gaps=gaps, expire_before_ns=expired)
        if changes.empty():
            return
        write = self._file.delete if on_full_disk and pending.acked else self._file.write
        given_up = write(changes, now_ns=now_ns)
        self.rows_written += len(rows)
        if given_up:
            self._counters.add("given_up", len(given_up))

    def _housekeep(self, now_ns: int) -> int | None:
        """Return before which time rows are too old, once in a while."""
        now_s = self._clock.running_s
        if now_s < self._housekeeping_s:
            return None
        self._housekeeping_s = now_s + HOUSEKEEPING_S
        self._file.keep_reserve()
        if now_s < FIRST_EXPIRY_S:
            return None
        return now_ns - int(self._max_age_s * NS_PER_S)

    def _say(self, detail: str) -> None:
        if detail != self.detail:
            self.detail = detail
            if detail:
                log.error("outbox: %s; verdicts wait in memory", detail)
            else:
                log.info("outbox: writes again")
