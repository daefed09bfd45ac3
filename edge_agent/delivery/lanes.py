"""Which verdict is sent next: live ones as they come, and beside them what has piled up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.delivery.outbox_types import Row

    # (after_seq, up_to, limit) to rows in order; None: ask again later.
    Fetch = Callable[[int, int, int], list[Row] | None]

# More than this many live rows unsent means that live is no longer live: back to the disk.
LIVE_MOST = 1000
FETCH_ROWS = 80
# A backlog as short as one window goes first and keeps the order; a longer one goes beside.
SHORT_BACKLOG = 100


@dataclass(frozen=True, slots=True)
class Next:
    """One row to send; `replay`: it is not live."""

    row: Row
    replay: bool


class Lanes:
    """Two lanes, each in the order of seq. One thread uses it."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._live: deque[Row] = deque()
        self._fetched: deque[Row] = deque()
        self._fetched_to = 0
        self._backlog_to = 0
        self._backlog_first = False

    def begin(self, *, last_seq: int, depth: int) -> None:
        """Begin a connection: all rows up to `last_seq` that are still there are backlog."""
        self._live.clear()
        self._fetched.clear()
        self._fetched_to = 0
        self._backlog_to = last_seq
        self._backlog_first = depth <= SHORT_BACKLOG

    def live(self, rows: Sequence[Row]) -> None:
        """Take new rows."""
        self._live.extend(row for row in rows if row.seq > self._backlog_to)
        if len(self._live) > LIVE_MOST:
            if not self._has_backlog():
                self._fetched_to = self._live[0].seq - 1
            self._backlog_to = self._live[-1].seq
            self._live.clear()
            self._backlog_first = False

    def next(self, *, backlog_allowed: bool) -> Next | None:
        """Return the row to send now; None when there is none that may be sent."""
        first = self._backlog_first and self._has_backlog()
        if first and (one := self._next_of_backlog()):
            return one
        if self._live:
            return Next(self._live.popleft(), replay=False)
        return self._next_of_backlog() if backlog_allowed and not first else None

    def next_live(self) -> Next | None:
        """Return the row to send now without a look at the disk; None when there is none."""
        if not self._live or (self._backlog_first and self._has_backlog()):
            return None
        return Next(self._live.popleft(), replay=False)

    def empty(self) -> bool:
        """Say whether nothing is left to send, as far as is known here."""
        return not self._live and not self._has_backlog()

    def _has_backlog(self) -> bool:
        return bool(self._fetched) or self._fetched_to < self._backlog_to

    def _next_of_backlog(self) -> Next | None:
        if not self._fetched and self._fetched_to < self._backlog_to:
            rows = self._fetch(self._fetched_to, self._backlog_to, FETCH_ROWS)
            if rows is None:
                return None
            self._fetched.extend(rows)
            self._fetched_to = rows[-1].seq if rows else self._backlog_to
        return Next(self._fetched.popleft(), replay=True) if self._fetched else None
