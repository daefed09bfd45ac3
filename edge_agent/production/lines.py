"""The figures of all lines: fed with verdicts, published as shifts, kept across restarts.

Only `qc` pipelines make parts. Files are written by a thread of their own: a disk that takes its
time must hold up nobody who inspects.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from edge_agent import threads
from edge_agent.durable import write_file
from edge_agent.production import state_file
from edge_agent.production.line import Line, LineAlert, ShiftFigures
from edge_agent.production.options import LineOptions
from edge_agent.production.shift_message import shift_message
from edge_agent.production.shifts import Calendar
from edge_agent.reporting import messages
from edge_agent.reporting.alerts import Said
from edge_agent.reporting.subjects import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.production.line import Event, LineState
    from edge_agent.reporting.alerts import Alerts
    from edge_agent.reporting.topics import Topics
    from edge_agent.types import Verdict

log = logging.getLogger(__name__)

# What a power cut may cost of a shift's figures; a stop in order costs nothing.
SAVE_S = 30.0
TICK_S = 1.0


class Lines:
    """Safe to use from any thread."""

    def __init__(
        self,
        topics: Topics,
        show: Callable[[str, bytes], None],
        alerts: Alerts,
        folder: Path,
        *,
        utc_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Files lie in `folder`. `show` publishes a retained message."""
        self._topics = topics
        self._show = show
        self._alerts = alerts
        self._folder = folder
        self._utc_ns = utc_ns
        self._mono_ns = mono_ns
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        # Of pipelines that have left, until it is written: a last verdict comes, or they come back.
        self._left: dict[str, Line] = {}
        self._options: dict[str, tuple[object, LineOptions]] = {}
        self._tick_s = self._publish_s = 0.0
        self._every_s = 5.0
        self._written: dict[str, bytes] = {}
        self._detail = ""
        self._closing = threading.Event()
        self._thread = threads.thread(self._save_on, "line figures")

    def configure(self, config: Config) -> None:
        """Follow these pipelines; those that are the same go on, counted as before."""
        with self._lock:
            self._every_s = config.stats_every_s
            wanted = {
                name: (config.production, pipeline.line or LineOptions())
                for name, pipeline in config.pipelines.items()
                if pipeline.family == "qc"
            }
            lines: dict[str, Line] = {}
            for name, (production, options) in wanted.items():
                old = self._lines.get(name)
                if old is not None and self._options[name] == (production, options):
                    lines[name] = old
                    continue
                calendar = Calendar(production)
                if old is None:
                    lines[name] = self._begun(name, options, calendar)
                    continue
                utc_ns, mono_ns = self._utc_ns(), self._mono_ns()
                self._tell(name, old.tick(utc_ns, mono_ns))  # up to now, the other from now on
                lines[name] = old.succeeded(options, calendar)
                self._tell(name, lines[name].tick(utc_ns, mono_ns))
            gone = self._lines.keys() - lines.keys()
            self._left |= {name: self._lines[name] for name in gone}
            self._lines, self._options = lines, {**wanted}

    def start(self) -> None:
        """Begin to write files."""
        self._thread.start()

    def decided(self, verdict: Verdict) -> None:
        """Take a verdict."""
        with self._lock:
            name = verdict.pipeline
            line = self._lines.get(name) or self._left.get(name)
            if line is not None and verdict.family == "qc":
                events = line.part(verdict, self._utc_ns(), self._mono_ns())
                self._tell(name, events if name in self._lines else ())

    def step(self, mono_s: float, trouble: Callable[[str], str]) -> None:
        """Let time pass: shifts end, lines stand still. `trouble(pipeline)`: why not, or ""."""
        if mono_s < self._tick_s:
            return
        self._tick_s = mono_s + TICK_S
        with self._lock:
            # Read while nobody else counts: who waited would bring a time that is over.
            utc_ns, mono_ns = self._utc_ns(), self._mono_ns()
            for name, line in self._lines.items():
                ended = line.trouble(utc_ns, mono_ns, in_error=bool(trouble(name)))
                self._tell(name, ended)
            if mono_s >= self._publish_s:
                self._publish_s = mono_s + self._every_s
                self._show_all(utc_ns)

    def figures(self) -> dict[str, ShiftFigures]:
        """Return the shift so far of each line; none of those that have none now."""
        with self._lock:
            utc_ns = self._utc_ns()
            found = {name: line.figures(utc_ns) for name, line in self._lines.items()}
        return {name: figures for name, figures in found.items() if figures is not None}

    def close(self) -> None:
        """Publish and write what is known, and end."""
        with self._lock:
            self._show_all(self._utc_ns())
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(SAVE_S)

    def _begun(self, name: str, options: LineOptions, calendar: Calendar) -> Line:
        left = self._left.pop(name, None)
        if left is not None:
            return left.succeeded(options, calendar)
        return Line(options, calendar, state_file.read(self._folder / f"{name}.json"))

    def _tell(self, name: str, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, LineAlert):
                self._alert(name, event)
            else:
                self._show(self._topics.last_shift(name), self._message(name, event))
                self._show(self._topics.shift(name), self._message(name, event))

    def _show_all(self, utc_ns: int) -> None:
        for name, line in self._lines.items():
            figures = line.figures(utc_ns)
            if figures is not None:
                self._show(self._topics.shift(name), self._message(name, figures))

    def _message(self, name: str, figures: ShiftFigures) -> bytes:
        return messages.encode(shift_message(figures, device=self._topics.device, pipeline=name))

    def _alert(self, name: str, alert: LineAlert) -> None:
        alarm = alert.alarm
        said = Said(alarm.message, score=alarm.value, threshold=alarm.limit, at_ns=alert.at_ns)
        tell = self._alerts.raise_ if alarm.raised else self._alerts.clear
        if tell(Subject("qc", name, "chart", alert.kind), said):
            level = logging.WARNING if alarm.raised else logging.INFO
            log.log(level, "%s: chart: %s", name, alarm.message)

    # ------------------------------------------------------------------ the thread that writes

    def _save_on(self) -> None:
        while not self._closing.wait(SAVE_S):
            self._save()
        self._written.clear()  # that time has passed is worth a write once: at the end
        self._save()

    def _save(self) -> None:
        with self._lock:
            found = {
                name: (_news(line.state), msgspec.json.encode(line.state))
                for name, line in (self._left | self._lines).items()
            }
        detail = ""
        for name, (news, text) in found.items():
            if self._written.get(name) == news:
                continue
            try:
                write_file(self._folder / f"{name}.json", text)
                self._written[name] = news
            except OSError as error:
                detail = f"line figures: not written: {error}"
        if detail and not self._detail:
            log.warning("%s", detail)
        self._detail = detail
        with self._lock:
            self._left = {
                name: line
                for name, line in self._left.items()
                if self._written.get(name) != _news(line.state)
            }


def _news(state: LineState) -> bytes:
    """Return what is worth a write: not that time has passed."""
    return hashlib.sha256(msgspec.json.encode((state.shift, state.charts))).digest()
