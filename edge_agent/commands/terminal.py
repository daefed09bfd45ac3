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
from typing import TYPE_CHECKING

from edge_agent.brief import brief
from edge_agent.commands.overview import (
    ROOT_LEVELS,
    TOPICS_BELOW,
    Event,
    GatewaySeen,
    Overview,
)
from edge_agent.commands.pipeline_table import STYLES, WORDS_LEAST, pipeline_table
from edge_agent.lazy import lazy_module
from edge_agent.mqtt.broker import Connection, Message, Subscription

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    import rich.console as rich_console
    import rich.live as rich_live
    import rich.text as rich_text

    from edge_agent.mqtt.broker import BrokerOptions
else:
    rich_console = lazy_module("rich.console")
    rich_live = lazy_module("rich.live")
    rich_text = lazy_module("rich.text")

# Below `enterprise/site/area/line/cell`, of every gateway.
ANY_ROOT = "/".join(["+"] * (ROOT_LEVELS - 2) + ["edge", "+"])
# Fast enough to look alive, slow enough to cost little on a gateway.
REFRESH_S = 0.125
# More messages than come between two refreshes; the oldest go first.
HEARD_MOST = 20_000
# Younger verdicts in the outbox are on their way.
OLD_S = 2.0
LOG_LINES_MOST = 16
# A terminal with room for a gateway's whole root beside its figures.
WIDE = 100


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
    table = pipeline_table(overview, size.width, mono_s)
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
