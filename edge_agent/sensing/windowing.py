"""From samples to windows: one series until a gap, and never glued across one.

Theory of operation. A windower takes rows (one number per channel) in the order they come, each
with a time, and holds them against the clock that its model was made for:

    sample is the next one      -> it joins the series
    sample is not newer         -> dropped: `samples_late`, `samples_duplicate`
    sample is further on        -> `gaps`: the series ends, a new one begins with this sample
    sample is not finite        -> `samples_nan`: the series ends before it
    samples come at another rate than the model's -> BadInput("rate") instead of windows

What "the next one" means depends on the clock:

    event    the samples' own times: the next one is 1 / rate_hz later, give or take the slack
    arrival  the times they came: any sample that comes before a pause
    index    no times at all: every sample is the next step (a cycle of a machine, say)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from edge_agent.errors import BadInput
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.metrics import Counters
else:
    np = lazy_module("numpy")

Clock = Literal["event", "arrival", "index"]

# A sample older than this (or than 10 periods) is not late: a clock was set back, or a recording
# began again. To go on calling its successors late would drop all of them for ever.
LATE_NS = 10_000_000_000
# A network stalls for this long without losing anything.
PAUSE_NS = 1_000_000_000
# A series that ends after one message is a gap; three in a row are another rate than expected.
LONELY_MESSAGES = 3
# Rows that come one by one wait as Python lists, at most this many: copying them to an array
# costs less together.
STAGED_MOST = 1024

_NEVER = -(1 << 63)
_ANY = 1 << 80  # more than any two times are apart


@dataclass(frozen=True, slots=True)
class Timing:
    """What the times of samples mean and how far they may stray; 0 stands for the default.

    `tolerance_ns` (event): how far from its due time a sample may be; never less than half of
    what its message spans. `pause_ns` (arrival): the longest pause that is no gap; by default
    three messages' span, and at least 1 s. `rate_tolerance` (event): how far the rate may be from
    the model's, as a fraction.
    """

    clock: Clock
    tolerance_ns: int = 0
    pause_ns: int = 0
    rate_tolerance: float = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """One window's worth: `samples` float32 [samples, channels]; the rest as in types.Window."""

    samples: NDArray[np.float32]
    newest_ns: int
    series: int
    first_sample: int


class Windower:
    """Cuts windows of one shape out of one stream of rows. One thread uses it."""

    def __init__(self, shape: WindowPreprocess, timing: Timing, counters: Counters) -> None:
        self._shape = shape
        self._timing = timing
        self._counters = counters
        self._period_ns = round(1e9 / shape.rate_hz)
        self._message_ns = self._period_ns
        self._first_due = 1 if shape.pad == "edge" else shape.samples
        rows = max(2 * shape.samples, shape.samples + 256)
        self._rows = np.empty((rows, len(shape.channels)), np.float32)
        self._staged: list[Sequence[float]] = []
        self._out: list[Cut | BadInput] = []
        self._earliest, self._latest = self._limits(1)
        self._expected_ns = _NEVER
        self._series = 0
        self._lonely = 0
        self._not_finite = False
        self._began_ns: int | None = None
        self._begin()

    def push_row(self, values: Sequence[float], time_ns: int) -> Sequence[Cut | BadInput]:
        """Take one row, a number per channel; return the windows that it completes."""
        ahead_ns = time_ns - self._expected_ns
        if not self._earliest <= ahead_ns <= self._latest and not self._admits(1, time_ns, time_ns):
            return ()
        self._expected_ns = time_ns + self._period_ns
        self._staged.append(values)
        if len(self._staged) < self._flush_at and not self._out:
            return ()
        self._flush()
        return self._take_out()

    def push(self, rows: NDArray[np.float32], last_ns: int) -> Sequence[Cut | BadInput]:
        """Take consecutive rows, float32 [rows, channels], the last of them at `last_ns`."""
        count = len(rows)
        first_ns = last_ns - (count - 1) * self._period_ns
        self._message_ns = count * self._period_ns
        earliest, latest = self._limits(count)
        within = earliest <= first_ns - self._expected_ns <= latest
        if not count or (not within and not self._admits(count, first_ns, last_ns)):
            return ()
        self._flush()
        self._append(rows, last_ns)
        self._expected_ns = last_ns + self._period_ns
        return self._take_out()

    def new_series(self) -> Sequence[Cut | BadInput]:
        """End the series: what comes next belongs to another machine, part or recording."""
        self._break()
        self._lonely = 0
        self._expected_ns = _NEVER
        return self._take_out()

    # ------------------------------------------------------------------ is it the next sample?

    def _limits(self, count: int) -> tuple[int, int]:
        """Return how much earlier and later than expected a message of `count` rows may be."""
        span_ns = count * self._period_ns
        match self._timing.clock:
            case "event":
                slack_ns = max(self._timing.tolerance_ns, span_ns // 2)
                return -slack_ns, slack_ns
            case "arrival":
                pause_ns = self._timing.pause_ns or max(PAUSE_NS, 3 * span_ns)
                return -_ANY, pause_ns - self._period_ns
            case "index":
                return -_ANY, _ANY

    def _admits(self, count: int, first_ns: int, last_ns: int) -> bool:
        """Judge a message that is not where it was expected; return False when it is dropped."""
        if self._expected_ns == _NEVER:
            self._began_ns = first_ns
            return True
        newest_ns = self._expected_ns - self._period_ns
        behind_ns = newest_ns - last_ns
        if 0 <= behind_ns < max(LATE_NS, 10 * self._period_ns):
            name = "samples_late" if behind_ns else "samples_duplicate"
            self._counters.add(name, count)
            return False
        self._counters.add("gaps")
        seen = self._seen + len(self._staged)
        self._lonely = self._lonely + 1 if seen <= count else 0
        self._break()
        self._began_ns = first_ns
        if self._lonely == LONELY_MESSAGES:
            self._refuse_rate(count / max(1, -behind_ns) * 1e9)
        return True

    # ------------------------------------------------------------------ series and windows

    def _begin(self) -> None:
        self._fill = self._seen = 0
        self._set_due(self._first_due)

    def _break(self) -> None:
        self._flush()
        if self._seen:
            self._series += 1
            self._begin()

    def _set_due(self, due: int) -> None:
        self._due = due
        self._flush_at = min(due, STAGED_MOST)

    def _flush(self) -> None:
        if not self._staged:
            return
        staged, self._staged = self._staged, []
        with np.errstate(over="ignore"):  # beyond float32 is infinite, and found below
            rows = np.array(staged, np.float32)
        self._append(rows, self._expected_ns - self._period_ns)

    def _append(self, rows: NDArray[np.float32], last_ns: int) -> None:
        if np.isfinite(rows).all():
            self._not_finite = False
            self._extend(rows, last_ns)
            return
        finite: NDArray[np.bool_] = np.asarray(np.isfinite(rows).all(axis=1))
        self._counters.add("samples_nan", int(len(finite) - finite.sum()))
        edges = np.flatnonzero(np.diff(finite)) + 1
        for start, stop in pairwise((0, *edges.tolist(), len(rows))):
            if finite[start]:
                self._extend(rows[start:stop], last_ns - (len(rows) - stop) * self._period_ns)
            else:
                self._break_for(rows[start])
            self._not_finite = not finite[start]

    def _break_for(self, row: NDArray[np.float32]) -> None:
        """End the series before a row that is not finite; say so once, not for every such row."""
        if not self._not_finite:
            channels = np.flatnonzero(~np.isfinite(row))
            names = ", ".join(self._shape.channels[channel] for channel in channels)
            self._out.append(BadInput("nan", f"{names}: not a finite number"))
        self._break()
        self._began_ns = None

    def _extend(self, rows: NDArray[np.float32], last_ns: int) -> None:
        """Append to the series, and cut out each window that falls due."""
        if not self._seen:
            first_ns = last_ns - (len(rows) - 1) * self._period_ns
            self._anchor = (1, first_ns if self._began_ns is None else self._began_ns)
        taken = 0
        while taken < len(rows):
            if self._fill == len(self._rows):
                self._make_room()
            count = min(len(rows) - taken, self._due, len(self._rows) - self._fill)
            self._rows[self._fill : self._fill + count] = rows[taken : taken + count]
            taken += count
            self._fill += count
            self._seen += count
            self._set_due(self._due - count)
            if not self._due:
                self._cut(last_ns - (len(rows) - taken) * self._period_ns)
                self._set_due(self._shape.hop)

    def _make_room(self) -> None:
        kept = self._shape.samples - 1
        self._rows[:kept] = self._rows[self._fill - kept : self._fill].copy()
        self._fill = kept

    def _cut(self, newest_ns: int) -> None:
        if self._timing.clock == "event" and not self._rate_is_right(newest_ns):
            return
        samples = self._shape.samples
        first_sample = self._seen - samples
        if first_sample >= 0:
            window = self._rows[self._fill - samples : self._fill].copy()
        else:
            window = np.empty((samples, self._rows.shape[1]), np.float32)
            window[:-first_sample] = self._rows[0]
            window[-first_sample:] = self._rows[: self._seen]
        self._out.append(Cut(window, newest_ns, self._series, first_sample))

    def _rate_is_right(self, newest_ns: int) -> bool:
        """Compare the time that the last window or more took with what its samples make."""
        seen, since_ns = self._anchor
        steps = self._seen - seen
        if steps < max(1, self._shape.samples - 1):
            return True
        self._anchor = (self._seen, newest_ns)
        due_ns, took_ns = steps * self._period_ns, newest_ns - since_ns
        slack_ns = max(self._timing.tolerance_ns, self._message_ns)
        if abs(took_ns - due_ns) <= self._timing.rate_tolerance * due_ns + slack_ns:
            return True
        self._refuse_rate(steps / max(1, took_ns) * 1e9)
        return False

    def _refuse_rate(self, rate_hz: float) -> None:
        text = f"samples come at {rate_hz:.4g} Hz, the model was made for {self._shape.rate_hz:g}"
        self._out.append(BadInput("rate", text))

    def _take_out(self) -> Sequence[Cut | BadInput]:
        out, self._out = self._out, []
        return out
