"""SIGHUP, which `systemctl reload` sends: the config file is read again, and what it says begins.

Theory of operation. A file that is wrong, or that says what runs already, changes nothing. What the
agent can go over to (pipelines, above all) it does, as with a config over MQTT: only what differs
notices. For the rest (who it is, where the broker is) the agent stops as it always does (what was
accepted is inspected and on the disk) and becomes a new program in the same process, which systemd
has seen neither stop nor start. `systemctl reload` returns when all that has happened.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.errors import EdgeAgentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config import Config
    from edge_agent.sdnotify import Systemd

log = logging.getLogger(__name__)

# They wait while the program is exchanged, and are the new one's.
KEPT_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# For a signal that Python has taken and not passed on yet.
PASSED_ON_S = 0.1


class Reloading:
    """Answers SIGHUP from `listen` on; `due` is set when the agent shall stop and begin anew."""

    def __init__(
        self,
        read: Callable[[], Config],
        systemd: Systemd,
        take: Callable[[Config], str],
        refused: Callable[[str], None],
    ) -> None:
        """Take what the agent offers.

        `read`: the file as it is now; raises ConfigError, EdgeAgentError, OSError. `take`: go over
        to a config and say what was done, "" where that needs a new start. `refused`: note why not.
        """
        self.due = threading.Event()
        self._read = read
        self._systemd = systemd
        self._take = take
        self._refused = refused
        self._heard: queue.SimpleQueue[None] = queue.SimpleQueue()

    def listen(self) -> None:
        """Take SIGHUP; call it from the main thread, once the other signals have their handlers."""
        threads.thread(self._answer, "reload").start()
        # `put` may be called anywhere, also in the middle of a wait for an event.
        signal.signal(signal.SIGHUP, lambda *_: self._heard.put(None))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, KEPT_SIGNALS)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def reload(self) -> None:
        """Read the file again and go over to it, or set `due` where that needs a new start."""
        self._systemd.reloading(time.monotonic_ns() // 1000)
        try:
            new = self._read()
        except (EdgeAgentError, OSError) as error:
            self._refused(str(error))
            self._stay(f"reload refused, what ran goes on: {error}", logging.ERROR)
            return
        if done := self._take(new):
            self._stay(f"reload: {done}", logging.INFO)
            return
        log.info("reload: the config has changed; stopping in order to begin with it")
        self.due.set()

    def begin_anew(self, stopping: threading.Event) -> None:
        """Become a new program, if that is due; return if not, or if a stop was asked for."""
        if not self.due.is_set():
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, KEPT_SIGNALS)
        if not stopping.wait(PASSED_ON_S):
            # The fork server leaves when we do; nobody in the new program waits for it.
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  ourselves

    def _answer(self) -> None:
        while True:
            self._heard.get()
            if not self.due.is_set():
                self.reload()

    def _stay(self, text: str, level: int) -> None:
        log.log(level, "%s", text)
        self._systemd.ready()
        self._systemd.status(text)


def keep_waiting() -> None:
    """Have a SIGHUP wait for `listen`: from the start to there a small gateway needs seconds."""
    if is_wanted():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def is_wanted() -> bool:
    """Return whether SIGHUP means a reload; in a terminal it means that the terminal is gone."""
    return not (sys.stdin is not None and sys.stdin.isatty())
