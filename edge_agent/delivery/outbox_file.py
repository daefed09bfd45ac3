"""The outbox's database and what keeps it going: a floor under its numbers, a reserve, replacement.

After any failure `open` mends what can be mended: it opens the file again, or sets a damaged one
aside and begins a new one above every number that can have been used.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.clock import NS_PER_MS, utc_text
from edge_agent.delivery.gaps import Gap
from edge_agent.delivery.outbox_types import Changes, DiskTrouble, FileDamaged, Totals
from edge_agent.delivery.reserve import Reserve, size_of_disk
from edge_agent.delivery.seq_floor import BLOCK, Floor, SeqFloor
from edge_agent.delivery.verdict_store import VerdictStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.delivery.gaps import Reason
    from edge_agent.delivery.outbox_types import Row

# A few pages of rows: see `delete`.
DELETES_AT_ONCE = 50
# What rows may take of a disk that is smaller than the outbox's limit; keys, the log and the
# reserve take some more.
SHARE_OF_DISK = 5 / 8

log = logging.getLogger(__name__)


class OutboxFile:
    """Safe to use from any thread; each method but `close` raises DiskTrouble."""

    def __init__(self, path: Path, *, max_bytes: int, utc_ns: Callable[[], int]) -> None:
        self._path = path
        self._utc_ns = utc_ns
        # SQLite's file never shrinks. One that took the whole disk would leave no room to note what
        # is acknowledged: before that the outbox gives up rows by its own rules, and says which.
        max_bytes = min(max_bytes, int(size_of_disk(path) * SHARE_OF_DISK))
        self._reserve = Reserve(path.with_name(f"{path.name}.reserve"), max_bytes=max_bytes)
        self._floor = SeqFloor(path.with_name(f"{path.name}.floor"))
        # Shorter than the reserve: so it can be worked in with the room that the reserve gives.
        self._log_bytes = self._reserve.bytes // 2
        self._store = VerdictStore(path, max_bytes=max_bytes, log_bytes=self._log_bytes)
        self._lock = threading.Lock()
        self._damage = ""
        # Where this run began without the file: what the floor said, and the number it began above.
        self._began: tuple[Floor, int] | None = None

    @property
    def totals(self) -> Totals:
        """What is in the file, by the last transaction."""
        return self._store.totals

    def open(self, used: int | None) -> int:
        """Open the file, mend it if need be, and return the last seq that can have been used.

        `used`: the last one of this process that is not in memory any more; None: it gave none.
        """
        with self._guarded():
            floor = self._began[0] if self._began else self._floor.read()
            had_content = _has_content(self._path)
            if not self._damage:
                self._open_store()
            if self._damage:
                self._set_aside()
            before = self._began[1] if self._began else used
            if before is None:
                before = self._used_before(floor, had_content=had_content)
            begins = used is None or self._began is not None
            crashed = begins and self._store.totals.seq < before
            used = before if used is None else used
            is_new = bool(self._damage) or (floor is not None and not had_content)
            if is_new or crashed:
                with self._room_of_reserve():
                    self._go_on_above(used, before, floor, "new_file" if is_new else "crash")
            self._damage, self._began = "", None
            return max(used, self._store.totals.seq)

    def begin_without(self) -> int | None:
        """Return a number above all that can have been used, where the file cannot be opened.

        None: nothing is known, as where the folder is not there yet. On a full disk the floor can
        be raised. A read-only one says nothing of runs that began on it: none of them gave more
        than 1000 numbers a second since the floor was written.
        """
        with self._guarded():
            floor = self._floor.read()
            if floor is None:
                return None
            base = floor.ceiling
            try:
                self._floor.write(floor)
            except DiskTrouble:
                base += max(0, self._utc_ns() - self._floor.written_ns()) // NS_PER_MS
            self._began = (floor, base)
            return base

    def write(self, changes: Changes, *, now_ns: int) -> set[int]:
        """Do all of it, or nothing; when it is done it is on the disk. Return the seqs given up."""
        with self._guarded():
            return self._store.write(changes, now_ns=now_ns)

    def raise_floor(self, settled: int, seq: int, ceiling: int) -> None:
        """Have every number up to `ceiling` be above the last run's, should this one crash.

        `settled`: all numbers up to it are acknowledged or in the file; `seq`: the last in use.
        """
        with self._guarded():
            self._floor.write(Floor(self._delivered(settled), seq, ceiling))

    def rows(self, after_seq: int, up_to: int, limit: int) -> tuple[list[Row], list[int]]:
        """Return rows that are not parked, in order, and the seqs of those that are unreadable."""
        with self._guarded():
            return self._store.rows(after_seq=after_seq, up_to=up_to, limit=limit)

    def gaps(self, after_id: int, limit: int) -> tuple[list[tuple[int, Gap]], list[int]]:
        """Return gap records with their ids, in order, and the ids of those that are unreadable."""
        with self._guarded():
            return self._store.gaps(after_id=after_id, limit=limit)

    def oldest_ns(self) -> int | None:
        """Return when the oldest row was handed over; None when there is none."""
        with self._guarded():
            oldest = self._store.oldest()
        return oldest[1] if oldest else None

    def delete(self, changes: Changes, *, now_ns: int) -> set[int]:
        """Do what `write` does, for changes without rows, in small steps on a full disk."""
        acked = sorted(changes.acked)
        with self._room_of_reserve():
            for first in range(0, len(acked), DELETES_AT_ONCE):
                # So short that the log does not outgrow the room that the reserve gives.
                self._work_in_log()
                step = Changes(acked=set(acked[first : first + DELETES_AT_ONCE]))
                self.write(step, now_ns=now_ns)
            self._work_in_log()
            return self.write(replace(changes, acked=set()), now_ns=now_ns)

    def keep_reserve(self) -> None:
        """Take the room for the reserve while there is much to spare."""
        self._reserve.keep()

    def close(self, last_seq: int | None) -> None:
        """Close the file, and note exactly where its numbers end: nothing crashed.

        None: this run gave no number, and knows nothing of where they end.
        """
        # Not where it began without the file: the next run says what may be missing since.
        if last_seq is not None and self._began is None:
            with contextlib.suppress(DiskTrouble):
                self.write(Changes(used_seq=last_seq), now_ns=self._utc_ns())
                self.raise_floor(last_seq, last_seq, last_seq)
        self._store.close()

    @contextlib.contextmanager
    def _room_of_reserve(self) -> Iterator[None]:
        self._reserve.give_up()
        try:
            yield
        finally:
            self._reserve.keep(leave=self._log_bytes)

    def _work_in_log(self) -> None:
        with self._guarded():
            self._store.work_in_log()

    def _open_store(self) -> None:
        try:
            self._store.open()
        except FileDamaged as error:
            self._damage = str(error)

    def _set_aside(self) -> None:
        self._store.close()
        try:
            aside = set_aside(self._path, utc_text(self._utc_ns()).replace(":", ""))
        except OSError as error:
            raise DiskTrouble(f"damaged, and cannot be set aside: {error}") from None
        log.error("outbox: %s: set aside as %s, a new one begins", self._damage, aside.name)
        self._store.open()

    def _used_before(self, floor: Floor | None, *, had_content: bool) -> int:
        """Return the last seq that the run before can have used."""
        if floor is not None:
            return floor.ceiling
        if self._damage:
            # The time in ms is above any seq there was at 1000 a second, and still a whole number
            # in every JSON reader.
            return self._utc_ns() // NS_PER_MS
        return self._store.totals.seq + BLOCK if had_content else 0

    def _delivered(self, settled: int) -> int:
        """Return up to which number none can be missing."""
        try:
            oldest = self._store.oldest()
        except DiskTrouble:
            floor = self._floor.read()
            return floor.delivered if floor else 0
        if self._began:  # that is said once it can be written
            return self._began[0].delivered
        return min(settled, oldest[0] - 1) if oldest else settled

    def _go_on_above(self, used: int, before: int, floor: Floor | None, reason: Reason) -> None:
        """Note which numbers up to `before` may be missing, and that those to `used` were given."""
        delivered, in_order = (floor.delivered, floor.seq == floor.ceiling) if floor else (0, False)
        if reason == "crash" and floor and in_order:
            delivered = floor.ceiling  # or it is in the file: this run left numbers out, no more
        elif reason == "crash":
            log.warning("outbox: the last run ended without notice: numbers go on at %d", used + 1)
        changes = Changes(used_seq=used)
        if before > delivered:
            missing = ((delivered + 1, before),)
            changes.gaps = [Gap(reason, False, self._utc_ns(), 0, 0, 0, 0, missing)]  # noqa: FBT003
        self._store.write(changes, now_ns=self._utc_ns())

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except FileDamaged as error:
                self._damage = str(error)
                raise DiskTrouble(f"damaged: {error}") from None


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False
    except OSError:
        return True  # who knows; opening it will tell


def set_aside(path: Path, suffix: str) -> Path:
    """Rename a damaged database and its log, in place of older ones; return the new path.

    The one from before is deleted: damaged files must not fill the disk. Raises OSError.
    """
    for old in path.parent.glob(f"{path.name}.damaged-*"):
        old.unlink()
    aside = path.with_name(f"{path.name}.damaged-{suffix}")
    for ending in ("", "-wal"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{ending}").rename(f"{aside}{ending}")
    return aside
