"""The outbox: verdicts are kept on disk until the broker has acknowledged them.

Theory of operation. `append` numbers nothing and waits for nothing: it puts verdicts into memory.
One writer thread takes them in that order, gives each the next `seq`, and in one transaction adds
the new, deletes the acknowledged and saves the last seq. What is committed, and only that, is told
to `on_committed`, so that a seq that anybody has seen belongs to one verdict for ever.

A crash before the commit loses what was in memory for a few milliseconds, and its numbers are given
again. When the disk refuses, verdicts wait in memory; when that is full, passes go first, and a gap
record is kept until the disk takes it. A damaged file is set aside and a new one begun.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_S, SteadyUtc
from edge_agent.gaps import Gap
from edge_agent.metrics import Counters
from edge_agent.outbox_file import OutboxFile
from edge_agent.outbox_types import DiskTrouble, Row
from edge_agent.outbox_writer import ROWS_PER_COMMIT, Shared, Writer

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
        self.on_committed: Callable[[Sequence[Row]], None] = _nobody
        self.counters = Counters()
        self._clock = SteadyUtc(utc_ns, mono_s)
        self._shared = Shared(self._clock)
        self._file = OutboxFile(path, max_bytes=max_bytes, utc_ns=utc_ns)
        self._writer = Writer(self._file, self._shared, self._committed, self.counters, max_age_s)
        self._thread = threading.Thread(target=self._writer.run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def append(self, verdicts: Iterable[Verdict]) -> None:
        """Accept verdicts, in order; returns at once, whatever the disk does."""
        at_ns = self._clock.now_ns()
        with self._shared.changed:
            before = len(self._shared.intake)
            dropped = sum(self._shared.intake.put(verdict, at_ns) for verdict in verdicts)
            now = len(self._shared.intake)
            if before == 0 or before < ROWS_PER_COMMIT <= now:
                self._shared.changed.notify_all()
        if dropped:
            self.counters.add("dropped_memory", dropped)

    def acked(self, seqs: Iterable[int]) -> None:
        """Forget these: the broker has them."""
        with self._shared.changed:
            self._shared.pending.acked.update(seqs)
            self._shared.note_pending()

    def parked(self, seq: int, reason: str) -> None:
        """Keep this one but do not offer it again before `unpark`: the broker refused it."""
        with self._shared.changed:
            self._shared.pending.parked[seq] = reason
            self._shared.note_pending()

    def unpark(self) -> None:
        """Offer what was refused again."""
        with self._shared.changed:
            self._shared.pending.parked.clear()
            self._shared.pending.unpark = True
            self._shared.note_pending()

    def gap_acked(self, gap_id: int) -> None:
        """Forget a gap record: the broker has it."""
        with self._shared.changed:
            self._shared.pending.gaps_acked.add(gap_id)
            self._shared.note_pending()

    def pending(self, after_seq: int, up_to: int, limit: int) -> list[Row] | None:
        """Return committed rows after `after_seq`, in order; None: the disk cannot say now."""
        while True:
            try:
                rows, unreadable = self._file.rows(after_seq, up_to, limit)
            except DiskTrouble as error:
                self._distrust(error)
                return None
            if unreadable:
                self._give_up_unreadable(unreadable)
            with self._shared.changed:
                left = [row for row in rows if row.seq not in self._shared.pending.acked]
            if left or not (rows or unreadable):
                return left
            after_seq = max([row.seq for row in rows] + unreadable)

    def pending_gaps(self, after_id: int, limit: int) -> list[tuple[int, Gap]]:
        """Return gap records with their ids, in order."""
        try:
            return self._file.gaps(after_id, limit)
        except DiskTrouble as error:
            self._distrust(error)
            return []

    @property
    def alive(self) -> bool:
        """Whether the writer's thread runs: if not, a bug ended it, and nothing is kept."""
        return self._thread.is_alive()

    @property
    def detail(self) -> str:
        """What is wrong with the disk; "" when nothing is."""
        return self._writer.detail

    @property
    def committed_seq(self) -> int:
        """The last seq that is on the disk."""
        return self._file.totals.seq

    @property
    def depth(self) -> int:
        """How many verdicts the broker has yet to acknowledge."""
        with self._shared.changed:
            in_file = self._file.totals.depth - len(self._shared.pending.acked)
            return max(0, in_file) + len(self._shared.intake)

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
        with self._shared.changed:
            self._shared.pending_due_s = 0.0
            self._shared.changed.notify_all()
            return self._shared.changed.wait_for(self._settled, timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left, once, and end."""
        with self._shared.changed:
            self._shared.closing = True
            self._shared.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _settled(self) -> bool:
        return bool(self._shared.opened or self.detail) and self._shared.idle()

    def _committed(self, rows: Sequence[Row]) -> None:
        self.on_committed(rows)

    def _distrust(self, error: DiskTrouble) -> None:
        with self._shared.changed:
            if self._shared.usable:
                log.warning("outbox: %s", error)
            self._shared.usable = False
            self._shared.changed.notify_all()

    def _give_up_unreadable(self, seqs: list[int]) -> None:
        self.counters.add("unreadable", len(seqs))
        ranges = tuple((seq, seq) for seq in seqs)
        with self._shared.changed:
            self._shared.pending.acked.update(seqs)
            self._shared.pending.gaps.append(
                Gap("unreadable", False, self._clock.now_ns(), 0, 0, 0, 0, ranges)  # noqa: FBT003
            )
            self._shared.note_pending()


def _nobody(_: object) -> None:
    pass
