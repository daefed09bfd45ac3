"""Prints the figures of a recorded day: counts, yield, OEE and alarms of every shift.

Run as `python -m tools.recorded_day FILE.csv [--timezone ZONE] [--ideal-cycle SECONDS] ...`.

The file has the columns time (ISO 8601 with an offset), event, part_id, defect_class and score.
`event` is a verdict (pass, fail, uncertain, error), or one of

    trouble, running   the pipeline cannot inspect from now on, and can again
    off, on            the agent stops (its state is kept), and starts again
    end                nothing comes any more
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_agent.clock import NS_PER_S
from edge_agent.production.line import Event, Line, LineAlert, LineState, ShiftFigures
from edge_agent.production.options import BreakOptions, LineOptions, ProductionOptions, ShiftOptions
from edge_agent.production.shifts import Calendar
from edge_agent.types import Outcome, Verdict

OUTCOMES: dict[str, Outcome] = {
    "pass": "pass",
    "fail": "fail",
    "uncertain": "uncertain",
    "error": "error",
}


@dataclass
class Day:
    """What came of it: shifts as they ended, the one that ran last, alarms."""

    shifts: list[ShiftFigures] = field(default_factory=list)
    open_shift: ShiftFigures | None = None
    alerts: list[LineAlert] = field(default_factory=list)

    def take(self, events: list[Event]) -> None:
        """Take what a verdict brought; of an alarm that it was raised, or ended, not each point."""
        for event in events:
            if isinstance(event, ShiftFigures):
                self.shifts.append(event)
                continue
            before = [alert.alarm.raised for alert in self.alerts if alert.kind == event.kind]
            if event.alarm.raised != (bool(before) and before[-1]):
                self.alerts.append(event)


def replay(file: Path, production: ProductionOptions, options: LineOptions) -> Day:
    """Return the figures of a recorded day."""
    day = Day()
    calendar = Calendar(production)
    line = Line(options, calendar, LineState())
    at_ns = 0
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            at_ns = int(dt.datetime.fromisoformat(row["time"]).timestamp()) * NS_PER_S
            if row["event"] == "on":
                line = Line(options, calendar, _restarted(line.state))
            elif row["event"] in {"trouble", "running"}:
                day.shifts += line.trouble(at_ns, at_ns, in_error=row["event"] == "trouble")
            elif row["event"] in OUTCOMES:
                day.take(line.part(_verdict(row, at_ns), at_ns, at_ns))
            else:
                day.shifts += line.tick(at_ns, at_ns)
    day.open_shift = line.figures(at_ns)
    return day


def _restarted(state: LineState) -> LineState:
    """Return what a new run reads from the disk."""
    return msgspec.json.decode(msgspec.json.encode(state), type=LineState)


def _verdict(row: dict[str, str], at_ns: int) -> Verdict:
    return Verdict(
        id="",
        pipeline="line",
        family="qc",
        part_id=row["part_id"] or None,
        outcome=OUTCOMES[row["event"]],
        score=float(row["score"] or 0),
        threshold=0.5,
        unit="",
        label=row["defect_class"],
        defects=(),
        model="",
        model_version="",
        model_sha256="",
        config_rev=1,
        captured_ns=at_ns,
        decided_ns=at_ns,
        latency_ns=0,
        accelerator="",
    )


def text(shift: ShiftFigures) -> str:
    """Return the figures of a shift as lines of text."""
    tally, oee = shift.tally, shift.oee
    lines = [
        f"{shift.shift.date} {shift.shift.name}{'' if shift.closed else ' (so far)'}",
        f"  parts {tally.parts}, good {tally.good}, at the first pass {tally.first_good}",
        f"  repeats {tally.repeats}, errors {tally.errors}",
        f"  planned {shift.planned_s:.0f} s, down {shift.down_s:.0f} s in {shift.stops} stops",
        f"  cycle {_number(shift.cycle_s, '.3f')} s",
        f"  availability {_number(oee.availability)}, performance {_number(oee.performance)}",
        f"  quality {_number(oee.quality)}, OEE {_number(oee.oee)}",
    ]
    lines += [
        f"  {bar.label}: {bar.count} ({bar.share:.1%}, up to here {bar.cumulative:.1%})"
        for bar in shift.pareto
    ]
    return "\n".join(lines)


def _number(value: float | None, form: str = ".6f") -> str:
    return "-" if value is None else format(value, form)


def _shift(words: str) -> ShiftOptions:
    name, start, end, *pauses = words.split(",")
    breaks = tuple(
        BreakOptions(start=first, end=last) for first, _, last in (p.partition("-") for p in pauses)
    )
    return ShiftOptions(name=name, start=start, end=end, breaks=breaks)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("file", type=Path)
    parser.add_argument("--timezone", default="UTC")
    parser.add_argument(
        "--shift",
        action="append",
        default=[],
        metavar="NAME,HH:MM,HH:MM[,HH:MM-HH:MM]",
        help="name, start, end and breaks; may be given for each shift",
    )
    parser.add_argument("--ideal-cycle", type=float, metavar="SECONDS")
    parser.add_argument("--down-after", type=float, default=60.0, metavar="SECONDS")
    arguments = parser.parse_args()
    production = ProductionOptions(
        timezone=arguments.timezone, shifts=tuple(_shift(words) for words in arguments.shift)
    )
    options = LineOptions(ideal_cycle_s=arguments.ideal_cycle, down_after_s=arguments.down_after)
    day = replay(arguments.file, production, options)
    for shift in [*day.shifts, *([day.open_shift] if day.open_shift else [])]:
        print(text(shift))
    for alert in day.alerts:
        print(f"alarm {'raised' if alert.alarm.raised else 'cleared'}: {alert.alarm.message}")


if __name__ == "__main__":
    main()
