"""What has been handed to the network and not been answered, and what that answers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge_agent.delivery.outgoing import Publish
    from edge_agent.types import Verdict

    # Takes a message and a token; False: not now.
    Send = Callable[[Publish, int], bool]

WINDOW = 100
# So much of the window a backlog may take; the rest is always there for live verdicts.
BACKLOG_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Letter:
    """One message and what it belongs to: a row (`seq`), a gap record (`gap_id`), or nothing."""

    publish: Publish
    seq: int = 0
    gap_id: int = 0
    replay: bool = False
    live: Verdict | None = None
    """Whose way to the broker is timed."""


@dataclass(frozen=True, slots=True)
class RowDone:
    """The broker has answered every message of this row; `reason` None: it took them all."""

    seq: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class GapDone:
    """The broker has this gap record."""

    gap_id: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The broker's word on one message, and what is done with it."""

    letter: Letter
    reason: str | None
    done: RowDone | GapDone | None


class Sending:
    """The window of one connection after the other. One thread uses it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._token = 0
        self._in_flight: dict[int, Letter] = {}
        self._queued: deque[Letter] = deque()
        self._parts: dict[int, int] = {}
        self._refused: dict[int, str] = {}
        self._replays = 0

    def begin(self) -> None:
        """Forget everything: there is a new connection, or none."""
        self._in_flight.clear()
        self._queued.clear()
        self._parts.clear()
        self._refused.clear()
        self._replays = 0

    def put(self, letters: Iterable[Letter]) -> None:
        """Queue messages; all of one row at a time."""
        for letter in letters:
            self._queued.append(letter)
            self._replays += letter.replay
            if letter.seq:
                self._parts[letter.seq] = self._parts.get(letter.seq, 0) + 1

    def push(self, most: int) -> bool:
        """Send what is queued; True when all is gone and there is room for more below `most`."""
        while self._queued:
            if len(self._in_flight) >= most:
                return False
            self._token += 1
            # Before it is sent: the answer may come first.
            self._in_flight[self._token] = self._queued[0]
            if not self._send(self._queued[0].publish, self._token):
                del self._in_flight[self._token]
                return False
            self._queued.popleft()
        return len(self._in_flight) < most

    def backlog_allowed(self, most: int) -> bool:
        """Say whether one more message of a backlog may go."""
        return self._replays < BACKLOG_SHARE * most

    def answered(self, token: int, reason: str | None) -> Answered | None:
        """Take the broker's word and return what it means; None for an earlier connection's."""
        letter = self._in_flight.pop(token, None)
        if letter is None:
            return None
        self._replays -= letter.replay
        return Answered(letter, reason, self._done(letter, reason))

    def all_sent(self) -> bool:
        """Say whether nothing is queued."""
        return not self._queued

    def empty(self) -> bool:
        """Say whether nothing is queued and nothing unanswered."""
        return not self._in_flight and not self._queued

    def _done(self, letter: Letter, reason: str | None) -> RowDone | GapDone | None:
        if letter.gap_id:
            return GapDone(letter.gap_id) if reason is None else None
        if not letter.seq:
            return None
        if reason is not None:
            self._refused[letter.seq] = reason
        self._parts[letter.seq] -= 1
        if self._parts[letter.seq]:
            return None
        del self._parts[letter.seq]
        return RowDone(letter.seq, self._refused.pop(letter.seq, None))
