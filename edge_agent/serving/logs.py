"""The log: plain text for people, JSON for collectors, fields for systemd's journal.

Under systemd (JOURNAL_STREAM names our stderr, systemd.exec(5)) records go to the journal itself,
with PRIORITY and, where a record is of a pipeline or worker, PIPELINE or WORKER:

    journalctl -u edge-agent PIPELINE=camera

Records are worded "pipeline: what happened: detail"; from that the field is taken.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Form = Literal["text", "json"]
FORMS: tuple[Form, ...] = ("text", "json")

JOURNAL = "/run/systemd/journal/socket"
TEXT = "%(levelname)s %(message)s"
# A datagram of the journal's socket may be larger; nobody reads such a line.
MOST_BYTES = 32_000
WORKER = "worker "

# The levels of syslog(3) for ours, and for those between.
PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.DEBUG, 7),
)


def set_up(
    level: int | str, form: Form, environ: Mapping[str, str], journal: str = JOURNAL
) -> None:
    """Send all records where they belong; once in each process."""
    if form == "text" and _stderr_is_the_journal(environ) and os.path.exists(journal):  # noqa: PTH110
        handler: logging.Handler = JournalHandler(journal)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(TEXT))
    handler.addFilter(Whose())
    root = logging.getLogger()
    if not root.handlers:  # whoever embeds the agent may have one already
        root.addHandler(handler)
        root.setLevel(level)


def form_in_use() -> Form:
    """Return what `set_up` was told in this process, for those that it starts."""
    formatters = [handler.formatter for handler in logging.getLogger().handlers]
    return "json" if any(isinstance(each, JsonFormatter) for each in formatters) else "text"


def name_pipelines(names: Iterable[str], worker: str = "") -> None:
    """Tell the log which words at the beginning of a record name a pipeline, and whose it is."""
    for handler in logging.getLogger().handlers:
        for each in handler.filters:
            if isinstance(each, Whose):
                each.pipelines, each.worker = frozenset(names), worker


class Whose(logging.Filter):
    """Gives every record `pipeline` and `worker`, "" where it is of none."""

    def __init__(self) -> None:
        super().__init__()
        self.pipelines: frozenset[str] = frozenset()
        self.worker = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        subject = record.getMessage().partition(": ")[0]
        # A worker may be given more pipelines later; their threads bear their names.
        named = subject in self.pipelines or (self.worker and subject == record.threadName)
        record.pipeline = subject if named else ""
        lost = subject.removeprefix(WORKER) if subject.startswith(WORKER) else ""
        record.worker = lost or self.worker
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "ts": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        for name in ("pipeline", "worker"):
            if value := getattr(record, name, ""):
                line[name] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class JournalHandler(logging.Handler):
    """Sends records with fields, as https://systemd.io/JOURNAL_NATIVE_PROTOCOL/ says."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; where the journal does not take it, it goes to stderr."""
        message = self.format(record)
        fields = {
            "MESSAGE": message,
            "PRIORITY": str(_priority(record.levelno)),
            "SYSLOG_IDENTIFIER": "edge-agent",
            "LOGGER": record.name,
            "PIPELINE": getattr(record, "pipeline", ""),
            "WORKER": getattr(record, "worker", ""),
            "CODE_FILE": record.pathname,
            "CODE_LINE": str(record.lineno),
            "CODE_FUNC": record.funcName or "",
        }
        payload = b"".join(_field(name, value) for name, value in fields.items() if value)
        try:
            self._socket.sendto(payload, self._path)
        except OSError:
            sys.stderr.write(f"<{_priority(record.levelno)}>{message}\n")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def _field(name: str, value: str) -> bytes:
    text = value.encode(errors="replace")[:MOST_BYTES]
    if b"\n" not in text:
        return name.encode() + b"=" + text + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(text)) + text + b"\n"


def _priority(level: int) -> int:
    return next((priority for least, priority in PRIORITIES if level >= least), 7)


def _stderr_is_the_journal(environ: Mapping[str, str]) -> bool:
    # Not only set: it is inherited by children whose stderr goes elsewhere.
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))
