"""The outbox: a verdict is kept until the broker has acknowledged it.

Theory of operation. `append` gives each verdict the next `seq`, keeps it in memory and tells it to
`on_live`, all at once. What the broker acknowledges in good time (`acked`) is forgotten and never
touches the disk. The rest one writer thread puts into a file, many rows in a transaction: after
PATIENCE_S while the broker is there (`patient`), at once while it is not.

So a verdict is safe as soon as the broker or the disk has it. A crash loses what neither has: a
few milliseconds of work, and with a broker that has just gone, PATIENCE_S. Its numbers are never
given again: a floor that is forced to the disk ahead of them says where the next run begins, and a
gap record names what may be missing.

When the disk refuses, verdicts wait in memory; when that is full, passes go first, and a gap record
is kept until the disk takes it. A damaged file is set aside and a new one begun.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.clock import NS_PER_S, SteadyUtc
from edge_agent.delivery.gaps import Gap
from edge_agent.delivery.outbox_file import OutboxFile
from edge_agent.delivery.outbox_types import DiskTrouble, Row
from edge_agent.delivery.outbox_waiting import WaitingRoom
from edge_agent.delivery.outbox_writer import Writer
from edge_agent.metrics import Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from edge_agent.types import Verdict

log = logging.getLogger(__name__)


class Outbox:
    """Safe to use from any thread. Nothing here raises for the disk's sake."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int,
        max_age_s: float,
        utc_ns: Callable[[], int] = time.time_ns,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the arguments; `start` opens the file. The folder of `path` must exist."""
        self.counters = Counters()
        self._clock = SteadyUtc(utc_ns, mono_s)
        self._room = WaitingRoom(self._clock)
        self._file = OutboxFile(path, max_bytes=max_bytes, utc_ns=utc_ns)
        self._writer = Writer(self._file, self._room, self.counters, max_age_s)
        self._thread = threads.thread(self._writer.run, "outbox")

    def start(self, on_live: Callable[[Sequence[Row]], None] | None = None) -> None:
        """Begin to write. `on_live` is told every verdict with its seq, once, in order.

        It must not wait for anything, and may only call `acked` and the like. Without it all
        wait for `pending`.
        """
        if on_live is not None:
            self._room.live = on_live
        self._thread.start()

    def patient(self, *, patient: bool) -> None:
        """Say whether the broker is there, so that its word may be waited for."""
        with self._room.changed:
            self._room.patient = patient
            self._room.wake_by(self._room.rows_due_s())

    def append(self, verdicts: Iterable[Verdict]) -> None:
        """Accept verdicts, in order; returns at once, whatever the disk does."""
        with self._room.changed:
            dropped = self._room.put(verdicts)
        if dropped:
            self.counters.add("dropped_memory", dropped)

    def acked(self, seqs: Iterable[int]) -> None:
        """Forget these: the broker has them."""
        with self._room.changed:
            self._room.forget(seqs)

    def parked(self, seq: int, reason: str) -> None:
        """Keep this one but do not offer it again before `unpark`: the broker refused it."""
        with self._room.changed:
            self._room.pending.parked[seq] = reason
            self._room.note_pending()

    def unpark(self) -> None:
        """Offer what was refused again."""
        with self._room.changed:
            self._room.pending.parked.clear()
            self._room.pending.unpark = True
            self._room.note_pending()

    def gap_acked(self, gap_id: int) -> None:
        """Forget a gap record: the broker has it."""
        with self._room.changed:
            self._room.pending.gaps_acked.add(gap_id)
            self._room.note_pending()

    def pending(self, after_seq: int, up_to: int, limit: int) -> list[Row] | None:
        """Return rows after `after_seq`, in order, written or not; None: the disk cannot say."""
        # The memory first: a row that is written meanwhile is then seen twice and not never.
        with self._room.changed:
            found = map(self._room.row, self._room.intake.after(after_seq - self._room.base))
            waiting = [row for row in found if row.seq <= up_to]
        while True:
            try:
                rows, unreadable = self._file.rows(after_seq, up_to, limit)
            except DiskTrouble as error:
                self._distrust(error)
                return None
            if unreadable:
                self._give_up_unreadable(unreadable)
            with self._room.changed:
                left = [row for row in rows if row.seq not in self._room.pending.acked]
            if len(rows) + len(unreadable) < limit:
                newest = rows[-1].seq if rows else 0
                return [*left, *(row for row in waiting if row.seq > newest)][:limit]
            if left:
                return left
            after_seq = max([row.seq for row in rows] + unreadable)

    def pending_gaps(self, after_id: int, limit: int) -> list[tuple[int, Gap]]:
        """Return gap records with their ids, in order."""
        try:
            gaps, unreadable = self._file.gaps(after_id, limit)
        except DiskTrouble as error:
            self._distrust(error)
            return []
        for gap_id in unreadable:
            log.error("outbox: gap record %d cannot be read and is given up", gap_id)
            self.gap_acked(gap_id)
        return gaps

    @property
    def alive(self) -> bool:
        """Whether the writer's thread runs: if not, a bug ended it, and nothing is kept."""
        return self._thread.is_alive()

    @property
    def detail(self) -> str:
        """What is wrong with the disk; "" when nothing is."""
        return self._writer.detail

    @property
    def last_seq(self) -> int:
        """The last seq that `on_live` was told."""
        with self._room.changed:
            return self._room.told_seq

    @property
    def rows_written(self) -> int:
        """How many verdicts were put into the file so far."""
        return self._writer.rows_written

    @property
    def depth(self) -> int:
        """How many verdicts the broker has yet to acknowledge."""
        with self._room.changed:
            in_file = self._file.totals.depth - len(self._room.pending.acked)
            return max(0, in_file) + len(self._room.intake)

    @property
    def parked_depth(self) -> int:
        """How many of them it refused."""
        return self._file.totals.parked

    @property
    def bytes(self) -> int:
        """What the verdicts in the file take, less what a database needs around them."""
        return self._file.totals.bytes

    @property
    def oldest_age_s(self) -> float:
        """Age of the oldest verdict in the file; 0 when there is none."""
        try:
            oldest_ns = self._file.oldest_ns()
        except DiskTrouble:
            return 0.0
        return max(0.0, (self._clock.now_ns() - oldest_ns) / NS_PER_S) if oldest_ns else 0.0

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything is on the disk; False when it is not by then."""
        with self._room.changed:
            self._room.flushing = True
            self._room.changed.notify_all()
            settled = self._room.changed.wait_for(self._settled, timeout_s)
            self._room.flushing = False
            return settled

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left, once, and end."""
        with self._room.changed:
            self._room.closing = True
            self._room.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _settled(self) -> bool:
        return bool(self._room.opened or self.detail) and self._room.idle()

    def _distrust(self, error: DiskTrouble) -> None:
        with self._room.changed:
            if self._room.usable:
                log.warning("outbox: %s", error)
            self._room.usable = False
            self._room.changed.notify_all()

    def _give_up_unreadable(self, seqs: list[int]) -> None:
        self.counters.add("unreadable", len(seqs))
        ranges = tuple((seq, seq) for seq in seqs)
        with self._room.changed:
            self._room.pending.acked.update(seqs)
            self._room.pending.gaps.append(
                Gap("unreadable", False, self._clock.now_ns(), 0, 0, 0, 0, ranges)  # noqa: FBT003
            )
            self._room.note_pending()
