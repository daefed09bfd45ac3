"""The latest lines of the log, for whoever asks from afar."""

from __future__ import annotations

import logging
import time
from collections import deque

from edge_agent.clock import utc_text

LINES_MOST = 500


class LatestLog(logging.Handler):
    """Takes the agent's own lines as a handler, and its workers' by `add`; any thread may."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[str] = deque(maxlen=LINES_MOST)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of this process."""
        self.add(record.levelno, record.getMessage())

    def add(self, level: int, text: str) -> None:
        """Take a line."""
        self._lines.append(f"{utc_text(time.time_ns())} {logging.getLevelName(level)} {text}")

    def latest(self, count: int) -> list[str]:
        """Return the latest lines, in order."""
        return list(self._lines)[-count:]
