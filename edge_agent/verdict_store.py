"""The outbox's file: one SQLite database, written by one thread; the only home of sqlite3.

WAL with synchronous=FULL: what `write` has returned from survives a power cut (NORMAL lost
acknowledged rows in 13 of 15 simulated ones). The lock is exclusive: no second agent can send the
same verdicts, and no shared-memory file is needed.

A full disk refuses deletes, too. So a reserve file lies beside the database and goes first, and
the log is kept so short that its pages fit into the database with the room that this gives.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec

from edge_agent.errors import EdgeAgentError
from edge_agent.gaps import Gap, Losses
from edge_agent.types import Outcome, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edge_agent.gaps import Reason

PAGE_BYTES = 4096
ROW_OVERHEAD_BYTES = 64  # keys, counters and the free part of a page, about
RESERVE_MOST_BYTES = 4 << 20
EVICT_AT_ONCE = 500
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
PASS = OUTCOMES.index("pass")

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS verdicts (
    seq INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    size INTEGER NOT NULL, parked TEXT, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS passes ON verdicts (seq) WHERE outcome = {PASS};
CREATE TABLE IF NOT EXISTS gaps (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (only INTEGER PRIMARY KEY CHECK (only = 1), seq INTEGER);
INSERT OR IGNORE INTO counter VALUES (1, 0);
"""


class DiskTrouble(EdgeAgentError):
    """The disk refuses, for now: full, read-only, failing, or locked by another agent."""


class FileDamaged(EdgeAgentError):
    """The file is no database any more."""


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict under its number; `at_ns`: when it was handed over, nanoseconds since 1970."""

    seq: int
    at_ns: int
    verdict: Verdict


@dataclass(slots=True)
class Changes:
    """What one transaction does. Rows handed over before `expire_before_ns` are given up."""

    rows: list[Row] = field(default_factory=list)
    acked: set[int] = field(default_factory=set)
    parked: dict[int, str] = field(default_factory=dict)
    unpark: bool = False
    gaps: list[Gap] = field(default_factory=list)
    gaps_acked: set[int] = field(default_factory=set)
    expire_before_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """What is in the file. `seq`: the last that was given, also when its row is gone."""

    seq: int = 0
    depth: int = 0
    bytes: int = 0
    parked: int = 0


class VerdictStore:
    """Not safe for threads: the outbox holds a lock around each call.

    Every method raises DiskTrouble or FileDamaged; then `open` has to be called again.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._reserve = path.with_name(f"{path.name}.reserve")
        self._reserve_bytes = min(RESERVE_MOST_BYTES, max_bytes // 16)
        self._db: sqlite3.Connection | None = None
        self.totals = Totals()

    def open(self) -> None:
        """Open or create the file, and count what is in it."""
        self.close()
        with _sqlite_errors():
            self._db = sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=0
            )
            log_pages = max(8, self._reserve_bytes // PAGE_BYTES // 2)
            for pragma in (
                f"page_size={PAGE_BYTES}",
                "locking_mode=EXCLUSIVE",
                "journal_mode=WAL",
                "synchronous=FULL",
                f"wal_autocheckpoint={log_pages}",
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
            edit.park(changes)
            edit.insert(changes.rows)
            gaps = list(changes.gaps)
            if changes.expire_before_ns is not None:
                gaps += edit.expire(changes.expire_before_ns).gaps("age", at_ns=now_ns)
            if edit.bytes > self._max_bytes:
                room = self._max_bytes * ROOM_AFTER_EVICTION
                gaps += edit.evict(to_bytes=int(room)).gaps("bytes", at_ns=now_ns)
            edit.record(gaps, changes.gaps_acked)
            last = max((r for gap in gaps for _, r in gap.ranges), default=0)
            seq = max(self.totals.seq, last, *(row.seq for row in changes.rows[-1:]))
            db.execute("UPDATE counter SET seq = ?", (seq,))
        self.totals = Totals(seq, edit.depth, edit.bytes, edit.parked)
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

    def gaps(self, *, after_id: int, limit: int) -> list[tuple[int, Gap]]:
        """Return gap records with their ids, in order."""
        with self._reading() as db:
            found = db.execute(
                "SELECT id, body FROM gaps WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit)
            ).fetchall()
        return [(number, _gap.decode(body)) for number, body in found]

    def oldest(self) -> tuple[int, int] | None:
        """Return seq and time (`at_ns`) of the oldest row; None when there is none."""
        with self._reading() as db:
            found: tuple[int, int] | None = db.execute(
                "SELECT seq, at_ns FROM verdicts ORDER BY seq LIMIT 1"
            ).fetchone()
        return found

    def set_aside(self, suffix: str) -> Path:
        """Rename a damaged file, in place of one that was set aside before; return its new path."""
        self.close()
        for old in self._path.parent.glob(f"{self._path.name}.damaged-*"):
            old.unlink()
        aside = self._path.with_name(f"{self._path.name}.damaged-{suffix}")
        for ending in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").rename(f"{aside}{ending}")
        return aside

    def give_up_reserve(self) -> None:
        """Free the reserve, and with it the log, so that deletes work on a full disk."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)
        with self._reading() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def keep_reserve(self) -> None:
        """Take the room for the reserve while there is some to spare."""
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._path.parent)
            spare = disk.f_bavail * disk.f_frsize > 4 * self._reserve_bytes
            if spare and not self._reserve.exists():
                self._reserve.write_bytes(bytes(self._reserve_bytes))

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
        listed = json_list(seqs)
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
        # In the order of seq and only up to the first young one: no search through the whole file.
        losses = Losses()
        while old := self._oldest(f"at_ns < {before_ns:d}"):
            first_young = self._db.execute(
                "SELECT min(seq) FROM verdicts WHERE at_ns >= ? AND seq <= ?",
                (before_ns, old[-1][0]),
            ).fetchone()[0]
            self._give_up([row for row in old if first_young is None or row[0] < first_young], losses)
            if first_young is not None:
                break
        return losses

    def evict(self, *, to_bytes: int) -> Losses:
        losses = Losses()
        while self.bytes > to_bytes:
            rows = self._oldest(f"outcome = {PASS}") or self._oldest("TRUE")
            if not rows:
                break
            excess = self.bytes - to_bytes
            enough = []
            for row in rows:
                enough.append(row)
                excess -= row[2]
                if excess <= 0:
                    break
            self._give_up(enough, losses)
        return losses
