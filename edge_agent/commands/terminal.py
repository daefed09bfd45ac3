"""The live view: what is on the broker, drawn in a terminal; lines where there is none.

It is a plain MQTT consumer. It knows of the agent only what the agent publishes, and works beside
any gateway.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import time
import uuid
from collections import deque
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

from edge_agent.brief import brief
from edge_agent.commands.overview import (
    ROOT_LEVELS,
    TOPICS_BELOW,
    Event,
    GatewaySeen,
    Overview,
    PipelineSeen,
    number,
    subject,
)
from edge_agent.lazy import lazy_module
from edge_agent.mqtt.broker import Connection, Message, Subscription

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    import rich.console as rich_console
    import rich.live as rich_live
    import rich.table as rich_table
    import rich.text as rich_text

    from edge_agent.mqtt.broker import BrokerOptions
    from edge_agent.types import Outcome
else:
    rich_console = lazy_module("rich.console")
    rich_live = lazy_module("rich.live")
    rich_table = lazy_module("rich.table")
    rich_text = lazy_module("rich.text")

# Below `enterprise/site/area/line/cell`, of every gateway.
ANY_ROOT = "/".join(["+"] * (ROOT_LEVELS - 2) + ["edge", "+"])
# Fast enough to look alive, slow enough to cost little on a gateway.
REFRESH_S = 0.125
# More messages than come between two refreshes; the oldest go first.
HEARD_MOST = 20_000
STYLES: dict[Outcome | None, str] = {
    "pass": "green",
    "fail": "bold red",
    "uncertain": "yellow",
    "error": "bold magenta",
    None: "cyan",
}
COUNTS: dict[str, Outcome] = {
    "pass": "pass", "fail": "fail", "unc.": "uncertain", "err.": "error"
}  # fmt: skip
# Heading: where its cells stand, and whether a terminal of 80 columns has room for it.
COLUMNS: dict[str, tuple[Literal["left", "right"], bool]] = {
    "pipeline": ("left", True),
    "verdict": ("left", True),
    "score": ("right", True),
    "limit": ("right", False),
    "found": ("left", True),
    "per s": ("right", True),
    "p50 ms": ("right", False),
    "p99 ms": ("right", True),
    **dict.fromkeys(COUNTS, ("right", True)),
    "scores": ("left", False),
}
RUNNING = "running"
# Younger verdicts in the outbox are on their way.
OLD_S = 2.0
FOUND_LEAST, FOUND_MOST = 10, 14
BARS = "▁▂▃▄▅▆▇█"
BARS_MOST = 40
LOG_LINES_MOST = 16
# The columns of a wide terminal; what is left of its width is for the bars.
WIDE = 100
# Of a sentence, wherever it stands: the state's word. More is taken from the other columns.
WORDS_LEAST = 10


def watch(
    options: BrokerOptions, stopping: threading.Event, *, hint: str = "Ctrl-C ends this"
) -> None:
    """Show what the agents on a broker publish until `stopping` is set; `hint` is the last line."""
    heard: deque[tuple[str, bytes, float]] = deque(maxlen=HEARD_MOST)

    def hear(message: Message) -> None:
        heard.append((message.topic, message.payload, time.monotonic()))

    subscriptions = [Subscription(f"{ANY_ROOT}/{below}", 1, hear) for below in TOPICS_BELOW]
    client_id = f"edge-agent-watch-{uuid.uuid4().hex[:8]}"
    connection = Connection(options, client_id, subscriptions=subscriptions)
    overview = Overview()
    drawn = sys.stdout.isatty() and importlib.util.find_spec("rich")
    with _logs_as_events(overview) if drawn else nullcontext():
        connection.start()
        try:
            if drawn:
                _draw(overview, heard, stopping, lambda: _broker_line(options, connection), hint)
            else:
                _print_lines(overview, heard, stopping)
        finally:
            connection.stop()


def _print_lines(
    overview: Overview, heard: deque[tuple[str, bytes, float]], stopping: threading.Event
) -> None:
    """Print one line for each event: for logs, pipes and continuous integration."""
    while True:
        last_round = stopping.wait(REFRESH_S)
        for event in _take_all(overview, heard):
            print(event_line(event, time.strftime("%H:%M:%S")), flush=True)
        if last_round:
            return


def _draw(
    overview: Overview,
    heard: deque[tuple[str, bytes, float]],
    stopping: threading.Event,
    broker_line: Callable[[], rich_text.Text],
    hint: str,
) -> None:
    console = rich_console.Console()
    with rich_live.Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        last_round = False
        while not last_round:
            last_round = stopping.wait(REFRESH_S)
            for _ in _take_all(overview, heard):
                pass
            drawn = picture(overview, broker_line(), hint, console.size, time.monotonic())
            live.update(drawn, refresh=True)


def _take_all(overview: Overview, heard: deque[tuple[str, bytes, float]]) -> Iterator[Event]:
    while heard:
        if event := overview.take(*heard.popleft()):
            yield event


def event_line(event: Event, clock: str) -> str:
    """Return an event as one line of text."""
    return f"{clock}  {event.subject:<12}  {event.outcome or '':<9}  {event.text}"


def picture(
    overview: Overview,
    broker: rich_text.Text,
    hint: str,
    size: rich_console.ConsoleDimensions,
    mono_s: float,
) -> rich_console.Group:
    """Return the whole view as it stands, for a terminal of `size`."""
    gateways = overview.gateways.values()
    head = [*(_gateway_line(gateway, size.width) for gateway in gateways), broker]
    table = _pipeline_table(overview, size.width, mono_s)
    # Beside them: the table's heading, three empty lines, the hint, the line of the cursor.
    room = size.height - len(head) - len(overview.pipelines) - 6
    log = list(overview.events)[-max(1, min(LOG_LINES_MOST, room)) :]
    empty = rich_text.Text()
    return rich_console.Group(
        *head,
        empty,
        table,
        empty,
        *(_event_text(event, size.width) for event in log),
        empty,
        rich_text.Text(hint, "dim"),
    )


def _gateway_line(gateway: GatewaySeen, width: int) -> rich_text.Text:
    name = gateway.root if width >= WIDE else gateway.root.rpartition("/")[2]
    line = rich_text.Text(no_wrap=True, overflow="ellipsis")
    line.append(name, "bold")
    line.append(f"  {gateway.status or 'silent'}", "green" if gateway.status == "online" else "red")
    line.append(f"  {gateway.version}", "dim")
    waiting = f"outbox {gateway.outbox_depth} waiting"
    if gateway.outbox_age_s >= OLD_S:
        waiting += f" for up to {gateway.outbox_age_s:.0f} s"
    line.append(f"  {gateway.received} verdicts")
    line.append(f", {gateway.missing} missing", "bold red" if gateway.missing else "")
    line.append(f"  {waiting}", "yellow" if gateway.outbox_age_s >= OLD_S else "")
    return line.append(f"  {gateway.outbox_detail}", "bold red")


def _broker_line(options: BrokerOptions, connection: Connection) -> rich_text.Text:
    line = rich_text.Text(f"broker {options.host}:{options.port}", no_wrap=True)
    if connection.connected:
        return line.append("  connected", "green")
    return line.append(f"  {connection.detail or 'connecting'}", "bold red")


def _pipeline_table(overview: Overview, width: int, mono_s: float) -> rich_table.Table:
    wide = width >= WIDE
    table = rich_table.Table(box=None, padding=(0, 2 if wide else 1, 0, 0), header_style="dim")
    rows = [
        _cells(seen, f"{seen.device} " if overview.several else "", width, mono_s)
        for seen in overview.pipelines.values()
    ]
    for heading, (justify, in_narrow_ones) in COLUMNS.items():
        if wide or in_narrow_ones:
            table.add_column(heading, justify=justify, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(row[heading] for heading in COLUMNS if wide or COLUMNS[heading][1]))
    return table


def _cells(
    pipeline: PipelineSeen, gateway: str, width: int, mono_s: float
) -> dict[str, rich_text.Text]:
    last = pipeline.last
    p50_ms, p99_ms = pipeline.latency_ms(0.5), pipeline.latency_ms(0.99)
    name = rich_text.Text("\u25cf ", "green" if pipeline.state == RUNNING else "bold yellow")
    found = subject(last)[:FOUND_MOST] if last else ""
    cells = {
        "pipeline": name.append(f"{gateway}{pipeline.family} {pipeline.name}", "bold default"),
        "verdict": rich_text.Text(last.verdict, STYLES[last.verdict]) if last else "-",
        "score": f"{number(last.score)} {last.unit}".rstrip() if last else "-",
        "limit": number(last.threshold) if last else "-",
        "found": f"{found:<{FOUND_LEAST}}",
        "per s": f"{pipeline.rate_hz(mono_s):.1f}",
        "p50 ms": "-" if p50_ms is None else f"{p50_ms:.1f}",
        "p99 ms": "-" if p99_ms is None else f"{p99_ms:.1f}",
        **{heading: _count(pipeline, outcome) for heading, outcome in COUNTS.items()},
        "scores": _bars_or_trouble(pipeline, width - WIDE),
    }
    return {
        heading: rich_text.Text(cell) if isinstance(cell, str) else cell
        for heading, cell in cells.items()
    }


def _count(pipeline: PipelineSeen, outcome: Outcome) -> rich_text.Text:
    count = pipeline.outcomes[outcome]
    return rich_text.Text(str(count), STYLES[outcome] if count else "dim")


def _bars_or_trouble(pipeline: PipelineSeen, most: int) -> rich_text.Text:
    """Return what is wrong; else the last scores as bars, drawn to a scale that holds the limit."""
    if pipeline.state not in {RUNNING, ""}:
        said = f"{pipeline.state} {pipeline.detail}".strip()
        return rich_text.Text(brief(said, max(WORDS_LEAST, most)), "yellow")
    words = brief(pipeline.accelerator, max(WORDS_LEAST, most))
    room = max(0, min(BARS_MOST, most - len(words)))
    scores = list(pipeline.scores)[-room:] if room else []
    limit = pipeline.last.threshold if pipeline.last else None
    values = [score for score, _ in scores] + ([] if limit is None else [limit])
    lowest, span = min(values, default=0.0), max(values, default=0.0) - min(values, default=0.0)
    line = rich_text.Text()
    if words:
        line.append(f"{words}  ", "yellow" if ", not " in pipeline.accelerator else "dim")
    for score, outcome in scores:
        step = round((score - lowest) / span * (len(BARS) - 1)) if span else 0
        line.append(BARS[step], STYLES[outcome])
    return line


def _event_text(event: Event, width: int) -> rich_text.Text:
    line = rich_text.Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{event.subject:<12} ", "dim")
    if event.outcome is None:
        return line.append(brief(event.text, max(WORDS_LEAST, width - len(line))), STYLES[None])
    return line.append(f"{event.outcome:<10}", STYLES[event.outcome]).append(event.text)


@contextmanager
def _logs_as_events(overview: Overview) -> Iterator[None]:
    """Show what this process logs as events: lines of its own would tear the picture."""
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, [_EventHandler(overview.events.append)]
    try:
        yield
    finally:
        root.handlers = handlers


class _EventHandler(logging.Handler):
    def __init__(self, show: Callable[[Event], None]) -> None:
        super().__init__()
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        self._show(Event(record.levelname.lower(), record.getMessage()))
