"""One pipeline's line: what its verdicts and its troubles make of the shift that runs.

The clock may be set while a shift runs. What was noted in this run then moves along, so that no
stretch of time becomes longer or shorter; what an earlier run noted by its own clock stays. Where
the new time lies in another shift, the present one is closed as it stands, and the other begins
with nothing known of its past.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from edge_agent.clock import NS_PER_S
from edge_agent.production import charts, oee
from edge_agent.production.charts import Alarm, Chart, Kind
from edge_agent.production.downtime import Downtime, EarlierRun
from edge_agent.production.shifts import Shift
from edge_agent.production.tally import Tally

if TYPE_CHECKING:
    from edge_agent.production.options import LineOptions
    from edge_agent.production.shifts import Calendar
    from edge_agent.types import Verdict

# The clocks of two machines differ by less; what is more was set by somebody.
STEP_NS = 2 * NS_PER_S


class ShiftState(msgspec.Struct):
    """The shift that runs, as kept on disk.

    `from_ns`: since when the line was watched in it; before its start where a clock was set back.
    """

    start_ns: int
    from_ns: int
    tally: Tally
    downtime: Downtime
    shift: Shift | None = None
    """As it was planned; None where an agent wrote it that kept no plan."""


class LineState(msgspec.Struct):
    """All that outlives a restart."""

    shift: ShiftState | None = None
    seen_ns: int = 0
    """When it was written, or later."""
    charts: dict[Kind, Chart] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShiftFigures:
    """One shift so far, or as it ended; times in UTC nanoseconds."""

    shift: Shift
    from_ns: int
    at_ns: int
    closed: bool
    tally: Tally
    pareto: tuple[oee.Bar, ...]
    planned_s: float
    down_s: float
    stops: int
    cycle_s: float | None
    oee: oee.Oee
    is_down: bool

    @property
    def first_pass_yield(self) -> float | None:
        """Return the share of parts that were good at once (ISO 22400-2: FPY = GP / IP)."""
        return oee.ratio(self.tally.first_good, self.tally.parts)


@dataclass(frozen=True, slots=True)
class LineAlert:
    """What a chart's newest point says of its alarm: often what was known already."""

    kind: Kind
    alarm: Alarm
    at_ns: int


Event = ShiftFigures | LineAlert


class Line:
    """One thread at a time. Times are handed in: UTC, and a monotonic clock that nobody sets."""

    def __init__(self, options: LineOptions, calendar: Calendar, state: LineState) -> None:
        self.state = state
        self._options = options
        self._calendar = calendar
        self._down_after_ns = int(options.down_after_s * NS_PER_S)
        self._offset_ns: int | None = None  # UTC less the monotonic clock
        self._reached_ns = 0  # by a clock that is not set: no shift before that is to come
        self._earlier = _noted(state)
        self._shift: Shift | None = None
        self._in_error = False

    def succeeded(self, options: LineOptions, calendar: Calendar) -> Line:
        """Return the line that goes on in this run with other options; no time passes between."""
        line = Line(options, calendar, self.state)
        line._earlier = self._earlier
        return line

    def tick(self, utc_ns: int, mono_ns: int) -> list[ShiftFigures]:
        """Let time pass; return shifts that ended."""
        closed = self._follow_clock(utc_ns, utc_ns - mono_ns)
        # A clock that is put right by a little goes back by a little. No shift does: the one that
        # has begun goes on, and one that is over is not begun again, without its parts.
        at_ns = self._reached_ns = max(utc_ns, self._reached_ns)
        shift = self._shift
        if shift is None or at_ns >= shift.end_ns:
            if shift is not None:
                closed.append(self._close(shift, shift.end_ns))
            self._open(at_ns, watched=self.state.seen_ns > 0)
        self.state.seen_ns = at_ns
        return closed

    def part(self, verdict: Verdict, utc_ns: int, mono_ns: int) -> list[Event]:
        """Count a verdict; return shifts that ended, and alarms."""
        events: list[Event] = [*self.tick(utc_ns, mono_ns)]
        now, shift = self.state.shift, self._shift
        first = now.tally.add(verdict) if now is not None else verdict.outcome != "error"
        # An `error` verdict proves no part, and a repeat no new one: but the line runs.
        if verdict.outcome != "error" and now is not None and shift is not None:
            down_ns = now.downtime.part(utc_ns, shift, self._down_after_ns, new=first)
            if self._earlier is not None:
                self._earlier.part(utc_ns, down_ns)
        if first:
            events += self._charted(verdict, utc_ns)
        return events

    def trouble(self, utc_ns: int, mono_ns: int, *, in_error: bool) -> list[ShiftFigures]:
        """Note whether the pipeline can inspect."""
        closed = self.tick(utc_ns, mono_ns)
        before, self._in_error = self._in_error, in_error and self._options.error_is_down
        now = self.state.shift
        if now is not None and self._shift is not None and before != self._in_error:
            now.downtime.error(utc_ns, self._shift, begins=self._in_error)
        return closed

    def figures(self, utc_ns: int) -> ShiftFigures | None:
        """Return the shift so far; None between shifts. `tick` comes first."""
        shift = self._shift
        return self._figures(shift, max(utc_ns, shift.start_ns), closed=False) if shift else None

    # ------------------------------------------------------------------ shifts

    def _follow_clock(self, utc_ns: int, offset_ns: int) -> list[ShiftFigures]:
        if self._offset_ns is None:
            self._offset_ns = offset_ns
            return self._begin_run(utc_ns)
        moved_ns, self._offset_ns = offset_ns - self._offset_ns, offset_ns
        if abs(moved_ns) <= STEP_NS:
            return []
        self._reached_ns = utc_ns
        now, shift = self.state.shift, self._shift
        if now is not None and shift is not None and shift.start_ns <= utc_ns < shift.end_ns:
            self._move(now, shift, utc_ns, moved_ns)
            return []
        closed = []
        if shift is not None:
            seen_ns = self._earlier.seen_ns if self._earlier is not None else 0
            before_ns = max(utc_ns - moved_ns, seen_ns, shift.start_ns)
            closed.append(self._close(shift, min(before_ns, shift.end_ns)))
        self._open(utc_ns, watched=False)
        return closed

    def _move(self, now: ShiftState, shift: Shift, utc_ns: int, moved_ns: int) -> None:
        """Follow a clock that was set within the shift."""
        if self._earlier is not None and self._earlier.went_by_clock(utc_ns, moved_ns):
            self._earlier = None  # its times are wrong by as much as those of this run
        now.downtime.move(moved_ns, self._earlier)
        if self._earlier is None:
            now.from_ns += moved_ns
        else:
            now.downtime.measure_again(self._earlier, moved_ns, shift, self._down_after_ns)

    def _begin_run(self, utc_ns: int) -> list[ShiftFigures]:
        """Take up the shift that was under way when the last run ended, if the plan is as it was.

        Else it is told as far as it was watched. Nobody worked by the new plan until now: its shift
        has no past.
        """
        now, seen_ns = self.state.shift, self.state.seen_ns
        self._reached_ns = seen_ns if 0 < seen_ns - utc_ns <= STEP_NS else utc_ns
        if now is not None and self._reached_ns < now.start_ns:
            # The clock is far behind what was already seen: it has yet to be set.
            self.state.shift, self.state.seen_ns, self._earlier = None, 0, None
            return []
        planned = self._calendar.at(seen_ns) if seen_ns else None
        before = _plan_of(now, planned)
        if now is None and planned is None:
            return []
        if now and before and planned and before.past(seen_ns) == planned.past(seen_ns):
            self._shift = now.shift = planned
            return []
        closed = [self._close(before, seen_ns)] if before is not None else []
        self.state.shift, self.state.seen_ns, self._earlier = None, 0, None
        return closed

    def _open(self, utc_ns: int, *, watched: bool) -> None:
        """Begin the shift that runs. Watched before: its past counts, as a time without parts."""
        self._shift = self._calendar.at(utc_ns)
        self.state.shift = self._earlier = None
        if self._shift is not None:
            from_ns = self._shift.start_ns if watched else utc_ns
            error_ns = from_ns if self._in_error else None
            downtime = Downtime(since_ns=from_ns, error_since_ns=error_ns)
            self.state.shift = ShiftState(
                self._shift.start_ns, from_ns, Tally(), downtime, self._shift
            )

    def _close(self, shift: Shift, at_ns: int) -> ShiftFigures:
        figures = self._figures(shift, at_ns, closed=True)
        self._shift = self.state.shift = self._earlier = None
        return figures

    def _figures(self, shift: Shift, at_ns: int, *, closed: bool) -> ShiftFigures:
        now = self.state.shift
        if now is None:
            raise ValueError("no shift runs")
        downtime = now.downtime
        planned_s = shift.planned_ns(now.from_ns, at_ns) / NS_PER_S
        down_s = min(planned_s, downtime.total_ns(at_ns, shift, self._down_after_ns) / NS_PER_S)
        cycle_ns = oee.ratio(downtime.cycle_ns, downtime.cycles)
        return ShiftFigures(
            shift=shift,
            from_ns=max(now.from_ns, shift.start_ns),
            at_ns=at_ns,
            closed=closed,
            tally=now.tally,
            pareto=oee.pareto(now.tally.defects),
            planned_s=planned_s,
            down_s=down_s,
            stops=downtime.stops + downtime.is_down(at_ns, shift, self._down_after_ns),
            cycle_s=cycle_ns / NS_PER_S if cycle_ns is not None else None,
            oee=oee.oee(
                planned_s=planned_s,
                down_s=down_s,
                parts=now.tally.parts,
                good=now.tally.good,
                ideal_cycle_s=self._options.ideal_cycle_s,
            ),
            is_down=downtime.is_down(at_ns, shift, self._down_after_ns),
        )

    # ------------------------------------------------------------------ charts

    def _charted(self, verdict: Verdict, utc_ns: int) -> list[LineAlert]:
        alerts: list[LineAlert] = []
        kinds: tuple[Kind, ...] = ("score", "reject")
        for kind in kinds:
            options = self._options.score_chart if kind == "score" else self._options.reject_chart
            if options is None:
                continue
            chart = self.state.charts.get(kind)
            if chart is None or not charts.fits(chart, options, verdict):
                alerts.append(LineAlert(kind, charts.ANEW, utc_ns))
                chart = self.state.charts[kind] = charts.begin(options, verdict)
            alarm = charts.add(chart, options, kind, verdict)
            if alarm is not None:
                alerts.append(LineAlert(kind, alarm, utc_ns))
        return alerts


def _noted(state: LineState) -> EarlierRun | None:
    """Return what was noted of a shift until now; None where none runs."""
    if state.shift is None:
        return None
    times = state.shift.downtime
    seen_ns = max(state.seen_ns, times.since_ns)
    return EarlierRun(seen_ns, times.since_ns, times.cycle_since_ns, times.error_since_ns)


def _plan_of(state: ShiftState | None, planned: Shift | None) -> Shift | None:
    """Return the plan that a shift was begun by; None where that is not known."""
    if state is None or state.shift is not None:
        return state.shift if state is not None else None
    return planned if planned is not None and planned.start_ns == state.start_ns else None
