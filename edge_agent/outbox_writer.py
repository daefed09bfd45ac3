"""The outbox's writer: one thread, one transaction at a time, and what it shares with the rest."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_S, SteadyUtc
from edge_agent.gaps import Losses
from edge_agent.intake import Intake
from edge_agent.outbox_types import Changes, DiskTrouble, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.intake import Waiting
    from edge_agent.metrics import Counters
    from edge_agent.outbox_file import OutboxFile

log = logging.getLogger(__name__)

# Under load commits are this far apart, so that many rows share one; a lone row does not wait.
LINGER_S = 0.003
ROWS_PER_COMMIT = 200
ROWS_AFTER_TROUBLE = 20
# Deleting is not urgent: it goes along with the next rows, or at last alone.
PENDING_LINGER_S = 0.1
# What may wait for the disk: 10 s of a stall at 500 verdicts a second, some 10 MB.
WAITING_MOST = 5000
DROPPED_AT_ONCE = 500
RETRY_S = 0.5
HOUSEKEEPING_S = 60.0
# A clock that was wrong at the start must not throw a backlog away before it could be sent.
FIRST_EXPIRY_S = 600.0
NEVER_S = float("inf")


class Shared:
    """What is to be written, and the lock of it all: every attribute only with `changed` held."""

    def __init__(self, clock: SteadyUtc) -> None:
        self.changed = threading.Condition()
        self.intake = Intake(most=WAITING_MOST, dropped_at_once=DROPPED_AT_ONCE)
        self.pending = Changes()
        self.pending_due_s = NEVER_S
        self.writer_wakes_s = 0.0
        self.writing = False
        self.opened = False
        self.usable = False
        self.closing = False
        self.clock = clock

    def note_pending(self) -> None:
        """Have `pending` written soon."""
        if self.pending_due_s == NEVER_S:
            self.pending_due_s = self.clock.running_s + PENDING_LINGER_S
            # While verdicts flow the writer wakes by itself: no wake-up for each acknowledgement.
            if self.writer_wakes_s > self.pending_due_s:
                self.changed.notify_all()

    def idle(self) -> bool:
        """Say whether everything is on the disk."""
        return not (self.writing or self.intake or self.intake.lost or not self.pending.empty())


class Writer:
    """The seq of the n-th verdict of this run is the last seq found in the file plus n."""

    def __init__(
        self,
        file: OutboxFile,
        shared: Shared,
        committed: Callable[[Sequence[Row]], None],
        counters: Counters,
        max_age_s: float,
    ) -> None:
        self.detail = ""
        self._file = file
        self._shared = shared
        self._committed = committed
        self._counters = counters
        self._clock = shared.clock
        self._max_age_s = max_age_s
        self._base: int | None = None
        self._retry_s = 0.0
        self._rows_at_once = ROWS_PER_COMMIT
        self._rows_due_s = 0.0
        self._housekeeping_s = 0.0

    def run(self) -> None:
        """Write until `closing`, and then what is left, once."""
        while self._wait_until_due():
            self._step()
        while self._step() and not self._shared.idle():
            pass
        self._file.close()
        with self._shared.changed:
            self._shared.changed.notify_all()

    def _wait_until_due(self) -> bool:
        with self._shared.changed:
            while not self._shared.closing:
                now_s = self._clock.running_s
                wait_s = self._due_s() - now_s
                if wait_s <= 0:
                    return True
                if self._file.totals.depth:  # acknowledgements are to come
                    wait_s = min(wait_s, PENDING_LINGER_S)
                self._shared.writer_wakes_s = now_s + wait_s
                self._shared.changed.wait(wait_s)
        return False

    def _due_s(self) -> float:
        shared = self._shared
        if not shared.usable:
            return self._retry_s
        if len(shared.intake) >= ROWS_PER_COMMIT:
            return 0.0
        rows_due_s = self._rows_due_s if shared.intake or shared.intake.lost else NEVER_S
        return min(rows_due_s, shared.pending_due_s, self._housekeeping_s)

    def _step(self) -> bool:
        """Write what there is; False when the disk refuses."""
        try:
            if not self._shared.usable:
                last_seq = self._file.open()
                self._base = last_seq if self._base is None else self._base
                self._opened()
                # Deletes need less room than rows, and make some.
                self._commit(rows=0)
            self._commit(rows=self._rows_at_once)
        except DiskTrouble as error:
            self._rows_at_once = ROWS_AFTER_TROUBLE
            self._shared.usable = False
            self._retry_s = self._clock.running_s + RETRY_S
            self._say(str(error))
            return False
        self._rows_at_once = min(2 * self._rows_at_once, ROWS_PER_COMMIT)
        self._shared.usable = True
        self._say("")
        return True

    def _opened(self) -> None:
        with self._shared.changed:
            self._shared.opened = True
            self._shared.changed.notify_all()

    def _commit(self, *, rows: int) -> None:
        shared = self._shared
        with shared.changed:
            pending, shared.pending = shared.pending, Changes()
            lost, shared.intake.lost = shared.intake.lost, Losses()
            taken = shared.intake.take(rows)
            shared.pending_due_s = NEVER_S
            shared.writing = True
        try:
            committed = self._write(pending, lost, taken, on_full_disk=not rows)
        except DiskTrouble:
            with shared.changed:
                shared.pending.include(pending)
                shared.intake.lost.merge(lost)
                shared.intake.put_back()
                shared.writing = False
            raise
        if committed:
            self._committed(committed)
        with shared.changed:
            shared.intake.done()
            shared.writing = False
            self._rows_due_s = self._clock.running_s + LINGER_S
            shared.changed.notify_all()

    def _write(
        self, pending: Changes, lost: Losses, taken: list[Waiting], *, on_full_disk: bool
    ) -> list[Row]:
        base, now_ns = self._base or 0, self._clock.now_ns()
        rows = [Row(base + one.ordinal, one.at_ns, one.verdict) for one in taken]
        gaps = pending.gaps + lost.gaps("memory", at_ns=now_ns, offset=base)
        expired = self._housekeep(now_ns)
        changes = replace(pending, rows=rows, gaps=gaps, expire_before_ns=expired)
        if changes.empty():
            return []
        write = self._file.delete if on_full_disk and pending.acked else self._file.write
        given_up = write(changes, now_ns=now_ns)
        if given_up:
            self._counters.add("given_up", len(given_up))
        return [row for row in rows if row.seq not in given_up]

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
