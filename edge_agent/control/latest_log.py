"""The latest lines of the log, for whoever asks from afar."""

from __future__ import annotations

import logging
import threading
import time

from edge_agent.clock import utc_text

LINES_MOST = 500
# Room for as many of a usual length. Taken at once: an agent with little to say would fill it for
# days, and whoever watches its memory would see it grow.
ROOM_BYTES = LINES_MOST * 256
LINE_MOST_BYTES = ROOM_BYTES // 8
END = b"\0"  # a line may hold others: a traceback


class LatestLog(logging.Handler):
    """Takes the agent's own lines as a handler, and its workers' by `add`; any thread may."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._room = bytearray(ROOM_BYTES)
        self._at = 0  # where the next line begins; what follows there is the oldest
        self._lock = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line of this process."""
        self.add(record.levelno, record.getMessage())

    def add(self, level: int, text: str) -> None:
        """Take a line; of a very long one the beginning."""
        line = f"{utc_text(time.time_ns())} {logging.getLevelName(level)} {text}"
        content = line.replace("\0", " ").encode(errors="replace")[:LINE_MOST_BYTES] + END
        with self._lock:
            to_end = content[: ROOM_BYTES - self._at]
            self._room[self._at : self._at + len(to_end)] = to_end
            rest = content[len(to_end) :]
            self._room[: len(rest)] = rest
            self._at = (self._at + len(content)) % ROOM_BYTES

    def latest(self, count: int) -> list[str]:
        """Return the latest lines, in order, as far as there was room."""
        with self._lock:
            content = bytes(self._room[self._at :] + self._room[: self._at])
        # Before the first end there is nothing, or what is left of a line that made way.
        lines = content.decode(errors="replace").split("\0")[1:]
        return [line for line in lines if line][-min(count, LINES_MOST) :]
