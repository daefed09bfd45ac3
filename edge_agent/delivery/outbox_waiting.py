"""What the outbox holds in memory, under one lock: verdicts, their numbers, what is to be written.

A number is given as soon as a verdict comes, and is told to `live` at once, unless the floor under
the numbers (seq_floor.py) has yet to be raised over it: then it waits for the writer.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_S, SteadyUtc
from edge_agent.delivery.intake import Intake
from edge_agent.delivery.outbox_types import Changes, Row
from edge_agent.delivery.seq_floor import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from edge_agent.delivery.intake import Waiting
    from edge_agent.types import Verdict

# How long a broker that is there may take for its word before a verdict is written to the disk.
# Most answer within a few ms, and the disk of a gateway is not worn out by what they have.
PATIENCE_S = 0.1
# Without a broker commits are this far apart, so that rows share one; a lone row does not wait.
LINGER_S = 0.003
ROWS_PER_COMMIT = 200
# Deleting is not urgent: it goes along with the next rows, or at last alone.
PENDING_LINGER_S = 0.1
# What may wait for the disk: 10 s of a stall at 500 verdicts a second, some 10 MB.
WAITING_MOST = 5000
DROPPED_AT_ONCE = 500
NEVER_S = float("inf")


class WaitingRoom:
    """Every attribute and method only with `changed` held."""

    def __init__(self, clock: SteadyUtc) -> None:
        self.changed = threading.Condition()
        self.clock = clock
        self.live: Callable[[Sequence[Row]], None] = _nobody
        self.intake = Intake(most=WAITING_MOST, dropped_at_once=DROPPED_AT_ONCE)
        self.pending = Changes()
        self.pending_due_s = NEVER_S
        self.committed_s = 0.0
        self.writer_wakes_s = 0.0
        self.patient = self.flushing = self.closing = False
        self.writing = self.opened = self.usable = self.refusing = False
        self._base: int | None = None
        self._ceiling = 0
        self._told = 0
        self._came = 0  # ordinals up to here had come when the writer last looked
        self._looking = False

    # ------------------------------------------------------------------ numbers

    def open(self, base: int) -> None:
        """Begin to give numbers: the n-th verdict of this run has `base` + n. Once; later no-op."""
        self.opened = True
        if self._base is None:
            self._base = self._ceiling = base

    def raise_ceiling(self, ceiling: int) -> None:
        """Let numbers up to `ceiling` go out: after a crash none below it is given again."""
        self._ceiling = ceiling
        self.tell()

    @property
    def base(self) -> int:
        """The last number of the run before."""
        return self._base or 0

    @property
    def last_seq(self) -> int:
        """The last number that was given."""
        return self.base + (self.intake.newest if self._base is not None else 0)

    @property
    def settled_seq(self) -> int:
        """The number up to which all are acknowledged or on the disk."""
        oldest = self.intake.oldest()
        return self.base + oldest.ordinal - 1 if oldest else self.last_seq

    @property
    def told_seq(self) -> int:
        """The last number that was told."""
        return self.base + self._told

    @property
    def ceiling_low(self) -> bool:
        """Whether the floor should be raised now, so that no verdict has to wait for it."""
        return self.opened and self.last_seq + BLOCK // 2 > self._ceiling

    def row(self, one: Waiting) -> Row:
        """Return a verdict under its number."""
        return Row(self.base + one.ordinal, one.at_ns, one.verdict)

    def tell(self) -> None:
        """Tell what may go out, in order, once."""
        if self._base is None or self._told == self.intake.newest:
            return
        rows = [self.row(one) for one in self.intake.after(self._told)]
        # A disk that refuses takes no floor either. That numbers may come again after a crash on
        # such a disk is less bad than a line without verdicts.
        if not self.refusing:
            rows = [row for row in rows if row.seq <= self._ceiling]
        if rows:
            self._told = rows[-1].seq - self.base
            self.live(rows)

    # ------------------------------------------------------------------ what comes in

    def put(self, verdicts: Iterable[Verdict]) -> int:
        """Take verdicts; return how many were dropped to make room."""
        at_ns = self.clock.now_ns()
        dropped = sum(self.intake.put(verdict, at_ns) for verdict in verdicts)
        self.tell()
        # While verdicts flow the writer looks by itself often enough.
        if self.hurried or not self._looking:
            self.wake_by(self.rows_due_s())
        return dropped

    def forget(self, seqs: Iterable[int]) -> None:
        """Drop what the broker has; what is on the disk is deleted later."""
        written = [seq for seq in seqs if not self.intake.forget(seq - self.base)]
        if written:
            self.pending.acked.update(written)
            self.note_pending()

    def parked_in_memory(self) -> dict[int, str]:
        """Return the refused ones that stay in memory now; only a row in the file can be marked."""
        stays = self.intake.stays
        return {s: why for s, why in self.pending.parked.items() if stays(s - self.base)}

    def note_pending(self) -> None:
        """Have `pending` written soon."""
        if self.pending_due_s == NEVER_S:
            self.pending_due_s = self.clock.running_s + PENDING_LINGER_S
            # While verdicts flow the writer wakes by itself: no wake-up for each acknowledgement.
            self.wake_by(self.pending_due_s)

    def wake_by(self, due_s: float) -> None:
        """Wake the writer if it would sleep longer."""
        if self.writer_wakes_s > due_s:
            self.writer_wakes_s = due_s
            self.changed.notify_all()

    # ------------------------------------------------------------------ when to write

    @property
    def hurried(self) -> bool:
        """Whether rows are written without waiting for the broker's word."""
        full = len(self.intake) >= ROWS_PER_COMMIT
        # A row that was refused can only be marked where it is written.
        leaving = self.flushing or self.closing
        return full or leaving or not self.patient or bool(self.pending.parked)

    def due_s(self) -> float:
        """Return when something is to be written, or looked at, by `clock.running_s`."""
        if self.ceiling_low or (self.flushing and not self.idle()):
            return 0.0
        return min(self.rows_due_s(), self.pending_due_s, self._look_s())

    def rows_due_s(self) -> float:
        """Return when rows are to be written."""
        if self.intake.lost or len(self.intake) >= ROWS_PER_COMMIT:
            return 0.0
        oldest = self.intake.oldest()
        if oldest is None:
            return NEVER_S
        if self.hurried:
            return self.committed_s + LINGER_S
        age_s = (self.clock.now_ns() - oldest.at_ns) / NS_PER_S
        return self.clock.running_s + PATIENCE_S - age_s

    def take(self, most: int) -> list[Waiting]:
        """Return what is to be written now; see Intake.take."""
        if self.hurried:
            return self.intake.take(most)
        until_ns = self.clock.now_ns() - int(PATIENCE_S * NS_PER_S)
        return self.intake.take(most, until_ns=until_ns)

    def idle(self) -> bool:
        """Say whether everything is on the disk."""
        return not (self.writing or self.intake or self.intake.lost or not self.pending.empty())

    def _look_s(self) -> float:
        # While verdicts flow the writer looks by itself: to wake it for each costs more.
        came, self._came = self._came, self.intake.newest
        self._looking = self.patient and came != self._came
        return self.clock.running_s + PATIENCE_S / 2 if self._looking else NEVER_S


def _nobody(_: object) -> None:
    pass
