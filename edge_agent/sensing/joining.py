"""Joins the samples of several topics into rows, by their times.

Theory of operation. Each topic is a stream of blocks at the same rate. While every stream has a
sample waiting, the oldest of each are compared: when they lie within the tolerance they are one
row, else those that lie before the newest of them have no partner and go (`samples_unmatched`).
Nothing is interpolated or held over; the windower sees a hole in the times and starts anew.

The commonest case has a short cut: topics take turns, one sample each. Such a row is gathered in
a list, and only what does not fit (a topic comes twice, a time is off) goes the general way.

Times of arrival stray by much more than a sample period when messages carry many samples. With
`whole_messages` it is therefore messages that are matched, and dropped, as a whole.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module
from edge_agent.sensing.windowing import LATE_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.metrics import Counters

    Rows = NDArray[np.float32]
else:
    np = lazy_module("numpy")


@dataclass(frozen=True, slots=True)
class JoinRule:
    """When samples belong together, and how long one waits for the others, in nanoseconds.

    `tolerance_ns` 0: half a period or, for whole messages, three quarters of what they span.
    """

    period_ns: int
    wait_ns: int
    tolerance_ns: int = 0
    whole_messages: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Consecutive samples of one message, or what is left of them; `span_ns` of all it had."""

    rows: Rows
    first_ns: int
    span_ns: int


@dataclass(slots=True)
class _Stream:
    """What one topic has brought: blocks not yet joined, and where it stands."""

    columns: tuple[int, ...]
    blocks: deque[_Block]
    waiting: int = 0
    newest_ns: int | None = None


class Joiner:
    """Puts the columns of several streams side by side. One thread uses it.

    `columns` says for each stream which columns of the joined rows are its own.
    """

    def __init__(
        self, columns: Sequence[tuple[int, ...]], rule: JoinRule, counters: Counters
    ) -> None:
        self._streams = [_Stream(each, deque()) for each in columns]
        self._width = sum(map(len, columns))
        self._rule = rule
        self._counters = counters
        span_ns = rule.period_ns * (3 if rule.whole_messages else 2) // 4
        self._row_tolerance_ns = rule.tolerance_ns or span_ns
        self._turn: dict[int, tuple[Sequence[float], int]] = {}
        self._turn_ns = (0, 0)

    def push_row(
        self, stream: int, values: Sequence[float], time_ns: int
    ) -> Sequence[tuple[Sequence[float] | Rows, int]]:
        """Take one sample, a number for each of the stream's columns.

        Returns joined rows: each a sequence of numbers or, the general way, an array of rows.
        """
        newest_ns = self._streams[stream].newest_ns
        turn = self._turn
        if turn:
            low_ns, high_ns = min(self._turn_ns[0], time_ns), max(self._turn_ns[1], time_ns)
            fits = stream not in turn and high_ns - low_ns <= self._row_tolerance_ns
        else:
            low_ns = high_ns = time_ns
            fits = not any(each.waiting for each in self._streams)
        if not fits or (newest_ns is not None and time_ns <= newest_ns):
            return self.push(stream, _one_row(values), time_ns)
        turn[stream] = (values, time_ns)
        self._turn_ns = (low_ns, high_ns)
        if len(turn) < len(self._streams):
            return ()
        return [(self._end_turn(), high_ns)]

    def push(self, stream: int, rows: Rows, last_ns: int) -> list[tuple[Rows, int]]:
        """Take consecutive samples of one stream, float32 [samples, its columns].

        Returns joined blocks, each with the time of its last row.
        """
        self._break_turn()
        own = self._streams[stream]
        if not len(rows) or not self._is_new(own, last_ns, len(rows)):
            return []
        self._keep(own, rows, last_ns)
        joined = []
        while all(each.blocks for each in self._streams):
            if (block := self._join_heads()) is not None:
                joined.append(block)
        self._give_up_waiting(last_ns)
        self._bound(own, len(rows))
        return joined

    def _end_turn(self) -> Sequence[float]:
        """Return the gathered row, its columns in order, and begin the next."""
        row = [0.0] * self._width
        for number, stream in enumerate(self._streams):
            values, stream.newest_ns = self._turn[number]
            for column, value in zip(stream.columns, values, strict=True):
                row[column] = value
        self._turn.clear()
        return row

    def _break_turn(self) -> None:
        """Let the samples of a row that is not complete wait the general way."""
        for number, (values, time_ns) in self._turn.items():
            self._keep(self._streams[number], _one_row(values), time_ns)
        self._turn.clear()

    def _keep(self, own: _Stream, rows: Rows, last_ns: int) -> None:
        span_ns = len(rows) * self._rule.period_ns
        own.newest_ns = last_ns
        own.blocks.append(_Block(rows, last_ns + self._rule.period_ns - span_ns, span_ns))
        own.waiting += len(rows)

    def _is_new(self, own: _Stream, last_ns: int, count: int) -> bool:
        """Drop what is late; start afresh when the clock was set back."""
        if own.newest_ns is None or last_ns > own.newest_ns:
            return True
        behind_ns = own.newest_ns - last_ns
        if behind_ns < max(LATE_NS, 10 * self._rule.period_ns):
            self._counters.add("samples_late" if behind_ns else "samples_duplicate", count)
            return False
        for each in self._streams:
            while each.blocks:
                self._drop(each, len(each.blocks[0].rows))
            each.newest_ns = None
        return True

    def _join_heads(self) -> tuple[Rows, int] | None:
        """Return rows of all streams, or None when samples without a partner went instead."""
        heads = [each.blocks[0] for each in self._streams]
        newest_ns = max(head.first_ns for head in heads)
        tolerance_ns = self._tolerance_ns(heads)
        matched = True
        for each, head in zip(self._streams, heads, strict=True):
            behind_ns = newest_ns - head.first_ns
            if behind_ns > tolerance_ns:
                steps = max(1, round(behind_ns / self._rule.period_ns))
                self._drop(each, len(head.rows) if self._rule.whole_messages else steps)
                matched = False
        if not matched:
            return None
        count = min(len(head.rows) for head in heads)
        joined = np.empty((count, self._width), np.float32)
        for each in self._streams:
            joined[:, each.columns] = self._take(each, count)
        return joined, newest_ns + (count - 1) * self._rule.period_ns

    def _tolerance_ns(self, heads: Sequence[_Block]) -> int:
        if self._rule.tolerance_ns:
            return self._rule.tolerance_ns
        if self._rule.whole_messages:
            return min(head.span_ns for head in heads) * 3 // 4
        return self._rule.period_ns // 2

    def _give_up_waiting(self, now_ns: int) -> None:
        """Let go of samples whose partners should have come by now: a topic may be silent."""
        for each in self._streams:
            while each.blocks:
                head = each.blocks[0]
                last_ns = head.first_ns + (len(head.rows) - 1) * self._rule.period_ns
                if now_ns - last_ns <= self._rule.wait_ns:
                    break
                self._drop(each, len(head.rows))

    def _bound(self, own: _Stream, newest: int) -> None:
        """Hold no more than the rate allows in the time to wait, whatever times are claimed."""
        most = self._rule.wait_ns // self._rule.period_ns + newest
        while own.waiting > most:
            self._drop(own, own.waiting - most)

    def _drop(self, stream: _Stream, count: int) -> None:
        """Remove up to `count` samples of the oldest block, which have no partner."""
        self._counters.add("samples_unmatched", len(self._take(stream, count)))

    def _take(self, stream: _Stream, count: int) -> Rows:
        """Remove and return up to `count` samples from the front of the oldest block."""
        head = stream.blocks.popleft()
        stream.waiting -= min(count, len(head.rows))
        if count < len(head.rows):
            later_ns = head.first_ns + count * self._rule.period_ns
            stream.blocks.appendleft(_Block(head.rows[count:], later_ns, head.span_ns))
        return head.rows[:count]


def _one_row(values: Sequence[float]) -> Rows:
    with np.errstate(over="ignore"):  # beyond float32 is infinite; the windower drops that
        return np.array([values], np.float32)
