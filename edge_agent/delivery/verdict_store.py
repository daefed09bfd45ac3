"""The outbox's file: one SQLite database, written by one thread; the only home of sqlite3.

WAL with synchronous=FULL: what `write` has returned from survives a power cut (NORMAL lost
acknowledged rows in 13 of 15 simulated ones). The lock is exclusive: no second agent can send the
same verdicts, and no shared-memory file is needed.

A full disk refuses deletes, too, and a long log cannot be worked in on one: the outbox keeps the
log shorter than the reserve of room that it can give up.
"""

from __future__ import annotations

import contextlib
import sqlite3
from bisect import bisect_left
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, NamedTuple, get_args

import msgspec

from edge_agent.delivery.gaps import Gap, Losses
from edge_agent.delivery.outbox_types import DiskTrouble, FileDamaged, FileInUse, Row, Totals
from edge_agent.types import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from edge_agent.delivery.outbox_types import Changes

PAGE_BYTES = 4096
# A row is written once, read once and deleted: the default of 2 MB is no faster, and fills up with
# the first long backlog.
CACHE_KB = 512
IN_LIST = "seq IN (SELECT value FROM json_each(?))"
ROW_OVERHEAD_BYTES = 64  # keys, counters and the free part of a page, about
EVICT_AT_ONCE = 500
# How full it is after something had to go: not every row should cost an eviction of its own.
ROOM_AFTER_EVICTION = 0.95
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PASS = OUTCOMES.index("pass")

_verdict = msgspec.msgpack.Decoder(Verdict)
_gap = msgspec.msgpack.Decoder(Gap)

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS verdicts (
    seq INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    size INTEGER NOT NULL, parked TEXT, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS passes ON verdicts (seq) WHERE outcome = {PASS};
CREATE TABLE IF NOT EXISTS gaps (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER);
INSERT OR IGNORE INTO counter VALUES (1, 0);
-- Above those of a file that was set aside, as somebody may still hold such a one: milliseconds.
INSERT INTO sqlite_sequence (name, seq)
    SELECT 'gaps', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'gaps');
"""  # noqa: S608  the number is ours


class VerdictStore:
    """Not safe for threads: the outbox holds a lock around each call.

    Every method raises DiskTrouble or FileDamaged; then `open` has to be called again.
    """

    def __init__(self, path: Path, *, max_bytes: int, log_bytes: int) -> None:
        """`log_bytes`: how long the write-ahead log may get before it is worked in, about."""
        self._path = path
        self._max_bytes = max_bytes
        self._log_pages = max(8, log_bytes // PAGE_BYTES)
        self._db: sqlite3.Connection | None = None
        self.totals = Totals()

    def open(self) -> None:
        """Open or create the file, and count what is in it."""
        self.close()
        with _sqlite_errors():
            self._db = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=0
            )
            for pragma in (
                f"page_size={PAGE_BYTES}",
                "locking_mode=EXCLUSIVE",
                "journal_mode=WAL",
                "synchronous=FULL",
                f"wal_autocheckpoint={self._log_pages}",
                f"cache_size={-CACHE_KB}",
                "temp_store=MEMORY",
            ):
                self._db.execute(f"PRAGMA {pragma}").fetchall()
            self._db.executescript(SCHEMA)
            (seq,) = self._db.execute("SELECT seq FROM counter").fetchone()
            self.totals = Totals(seq, *_sums(self._db, "TRUE"))

    def close(self) -> None:
        """Close the file; what was written stays."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    def write(self, changes: Changes, *, now_ns: int) -> set[int]:
        """Do all of it, or nothing; what was done is on the disk. Return the seqs given up.

        Above `max_bytes` the oldest passes go first, then the oldest of the rest, new rows
        included; gap records say which.
        """
        with self._transaction() as db:
            edit = _Edit(db, self.totals)
            edit.delete(changes.acked)
            edit.insert(changes.rows)
            edit.park(changes)
            gaps = [*changes.gaps]
            if changes.expire_before_ns is not None:
                gaps += edit.expire(changes.expire_before_ns).gaps("age", at_ns=now_ns)
            if edit.bytes > self._max_bytes:
                room = self._max_bytes * ROOM_AFTER_EVICTION
                gaps += edit.evict(to_bytes=int(room)).gaps("bytes", at_ns=now_ns)
            edit.record(gaps, changes.gaps_acked)
            used = [row.seq for row in changes.rows] + [last for g in gaps for _, last in g.ranges]
            seq = max(self.totals.seq, changes.used_seq, *used)
            db.execute("UPDATE counter SET seq = ?", (seq,))
        self.totals = Totals(seq, edit.depth, edit.bytes, edit.parked)
        if not edit.depth:
            self._forget_pages()
        return edit.given_up

    def rows(self, *, after_seq: int, up_to: int, limit: int) -> tuple[list[Row], list[int]]:
        """Return rows that are not parked, in order, and the seqs of those that are unreadable."""
        rows, unreadable = [], []
        with self._reading() as db:
            found = db.execute(
                "SELECT seq, at_ns, body FROM verdicts"
                " WHERE seq > ? AND seq <= ? AND parked IS NULL ORDER BY seq LIMIT ?",
                (after_seq, up_to, limit),
            ).fetchall()
        for seq, at_ns, body in found:
            try:
                rows.append(Row(seq, at_ns, _verdict.decode(body)))
            except msgspec.DecodeError:
                unreadable.append(seq)
        return rows, unreadable

    def gaps(self, *, after_id: int, limit: int) -> tuple[list[tuple[int, Gap]], list[int]]:
        """Return gap records with their ids, in order, and the ids of those that are unreadable."""
        with self._reading() as db:
            found = db.execute(
                "SELECT id, body FROM gaps WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit)
            ).fetchall()
        gaps, unreadable = [], []
        for number, body in found:
            try:
                gaps.append((number, _gap.decode(body)))
            except msgspec.DecodeError:
                unreadable.append(number)
        return gaps, unreadable

    def oldest(self) -> tuple[int, int] | None:
        """Return seq and time (`at_ns`) of the oldest row; None when there is none."""
        with self._reading() as db:
            found: tuple[int, int] | None = db.execute(
                "SELECT seq, at_ns FROM verdicts ORDER BY seq LIMIT 1"
            ).fetchone()
        return found

    def work_in_log(self) -> None:
        """Move what the log holds into the database; its file keeps its room on the disk."""
        with self._reading() as db:
            db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def _forget_pages(self) -> None:
        # A backlog that is gone leaves the cache full of pages that nobody reads again, and more of
        # them after each: what the agent takes would rise for hours.
        with self._reading() as db:
            db.execute("PRAGMA shrink_memory")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if self._db is None:
            raise DiskTrouble("not open")
        with _sqlite_errors():
            yield self._db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")


class _Edit:
    """The statements of one transaction, and what they make of the totals."""

    def __init__(self, db: sqlite3.Connection, totals: Totals) -> None:
        self._db = db
        self.depth, self.bytes, self.parked = totals.depth, totals.bytes, totals.parked
        self.given_up: set[int] = set()

    def insert(self, rows: list[Row]) -> None:
        columns = [_columns(row) for row in rows]
        self._db.executemany("INSERT INTO verdicts VALUES (?, ?, ?, ?, NULL, ?)", columns)
        self.depth += len(columns)
        self.bytes += sum(size for _, _, _, size, _ in columns)

    def delete(self, seqs: Iterable[int]) -> None:
        listed = msgspec.json.encode([*seqs]).decode()
        depth, size, parked = _sums(self._db, IN_LIST, listed)
        self._db.execute(f"DELETE FROM verdicts WHERE {IN_LIST}", (listed,))  # noqa: S608  ours
        self.depth -= depth
        self.bytes -= size
        self.parked -= parked

    def park(self, changes: Changes) -> None:
        if changes.unpark:
            self._db.execute("UPDATE verdicts SET parked = NULL WHERE parked IS NOT NULL")
            self.parked = 0
        for seq, reason in changes.parked.items():
            self.parked += self._db.execute(
                "UPDATE verdicts SET parked = ? WHERE seq = ? AND parked IS NULL", (reason, seq)
            ).rowcount

    def expire(self, before_ns: int) -> Losses:
        # In the order of seq and up to the first young one: no search through the whole file.
        losses = Losses()
        while old := [*takewhile(lambda row: row.at_ns < before_ns, self._oldest("TRUE"))]:
            self._give_up(old, losses)
        return losses

    def evict(self, *, to_bytes: int) -> Losses:
        losses = Losses()
        while self.bytes > to_bytes and (
            oldest := self._oldest(f"outcome = {PASS}") or self._oldest("TRUE")
        ):
            sizes = accumulate(row.size for row in oldest)
            wanted = bisect_left([*sizes], self.bytes - to_bytes) + 1
            self._give_up(oldest[:wanted], losses)
        return losses

    def record(self, gaps: Iterable[Gap], acked: Iterable[int]) -> None:
        bodies = ((msgspec.msgpack.encode(gap),) for gap in gaps)
        self._db.executemany("INSERT INTO gaps (body) VALUES (?)", bodies)
        self._db.executemany("DELETE FROM gaps WHERE id = ?", ((number,) for number in acked))

    def _oldest(self, where: str) -> list[_Old]:
        found = self._db.execute(
            f"SELECT seq, outcome, size, at_ns FROM verdicts WHERE {where}"  # noqa: S608  ours
            f" ORDER BY seq LIMIT {EVICT_AT_ONCE}"
        )
        return [_Old(*columns) for columns in found]

    def _give_up(self, rows: list[_Old], losses: Losses) -> None:
        for row in rows:
            losses.add(row.seq, OUTCOMES[row.outcome])
            self.given_up.add(row.seq)
        self.delete([row.seq for row in rows])


class _Old(NamedTuple):
    seq: int
    outcome: int
    size: int
    at_ns: int


def _columns(row: Row) -> tuple[int, int, int, int, bytes]:
    body = msgspec.msgpack.encode(row.verdict)
    outcome = OUTCOMES.index(row.verdict.outcome)
    return row.seq, outcome, row.at_ns, len(body) + ROW_OVERHEAD_BYTES, body


def _sums(db: sqlite3.Connection, where: str, *values: str) -> tuple[int, int, int]:
    """Return number, bytes and number of parked ones among the rows that `where` covers."""
    depth, size, parked = db.execute(
        f"SELECT count(*), coalesce(sum(size), 0), count(parked) FROM verdicts WHERE {where}",  # noqa: S608  ours
        values,
    ).fetchone()
    return depth, size, parked


@contextlib.contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in DAMAGED:
            raise FileDamaged(str(error)) from None
        if code == sqlite3.SQLITE_BUSY:
            raise FileInUse(str(error)) from None
        raise DiskTrouble(str(error)) from None
