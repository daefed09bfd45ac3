"""Sends what workers put aside, one file after the other, in a thread with the lowest claims.

Theory of operation. What lies in the spool was not sent; so a restart, or a kill, goes on by
itself. An item is removed when the server has said 2xx to both of its files, and never before: a
kill between the two sends them again under the same names. Whatever goes wrong is tried again ever
later; an item that the server wants in no case stays, and the next ones go before it.

Nothing here decodes a picture: workers have cut it already.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.backoff import full_jitter
from edge_agent.errors import SyncError
from edge_agent.metrics import Counters
from edge_agent.upload import spool
from edge_agent.upload.allowance import Allowance
from edge_agent.upload.figures import Figures
from edge_agent.upload.sending import Destination, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.upload.options import UploadOptions
    from edge_agent.upload.spool import Waiting

log = logging.getLogger(__name__)

IDLE_S = 1.0
RETRY_BASE_S, RETRY_CAP_S = 1.0, 300.0
STOP_S = 2.0
# nice(2): inspection and verdicts go first wherever there is not enough for all.
LEAST_CLAIM = 19
ENDED = "a bug ended the upload; it comes back with the next start of the agent"
DAY_IS_FULL = "what may be sent in a day has been"


class Uploader:
    """`start`, `stop`, `figures`: any thread."""

    def __init__(
        self,
        options: UploadOptions,
        device: str,
        folder: Path,
        root: Path,
        retry_s: float = RETRY_BASE_S,
    ) -> None:
        """`folder`: where relative paths of the config start; `root`: the spool."""
        self._device = device
        self._root = root
        self._destination = Destination(options, folder)
        self._allowance = Allowance(
            root / "sent.json", options.kb_per_s * 1e3, options.mb_per_day * 1e6
        )
        self._retry_s = retry_s
        self._counters = Counters()
        self._waiting = 0
        self._trouble = ""
        self._set_aside: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threads.thread(self._run, "upload")

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Break off what is under way: it is sent again at the next start."""
        self._stopping.set()
        self._thread.join(STOP_S)

    @property
    def alive(self) -> bool:
        """Whether its thread runs. One that a bug ended is no reason to restart an inspection."""
        return self._thread.is_alive()

    def figures(self) -> Figures:
        """Return how it goes."""
        begun = self._thread.ident is not None
        trouble = ENDED if begun and not self.alive else self._trouble
        today_bytes = self._allowance.today_bytes
        return Figures(self._waiting, today_bytes, trouble, self._counters.totals())

    def _run(self) -> None:
        waits: Iterator[float] | None = None
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LEAST_CLAIM)
        with contextlib.suppress(OSError):
            spool.drop_orphans(self._root)
        while not self._stopping.is_set():
            try:
                sent = self._send_some()
            except (SyncError, OSError) as error:
                if self._stopping.is_set():
                    return
                self._counters.add("failed")
                self._note(str(error))
                waits = waits or full_jitter(self._retry_s, RETRY_CAP_S, random.Random())  # noqa: S311  spreads retries
                self._stopping.wait(next(waits))
                continue
            waits = None
            if not sent:
                self._stopping.wait(IDLE_S)

    def _send_some(self) -> bool:
        """Send what waits, as far as one look goes; return whether anything went."""
        self._waiting = spool.count(self._root)
        # Those whose worker needed the room are refused no more.
        self._set_aside = {key for key in self._set_aside if spool.is_there(self._root, key)}
        sent = False
        for folder in spool.folders(self._root):
            for item in spool.oldest_in(folder, self._set_aside):
                if self._stopping.is_set():
                    return False
                if not self._send(item):
                    return sent
                sent = True
        self._well()
        return sent

    def _send(self, item: Waiting) -> bool:
        """Send both files of an item; return False where this day has no room for it."""
        try:
            files = [(path.name, path.read_bytes()) for path in (item.content, item.sidecar)]
        except FileNotFoundError:
            return True  # its worker needed the room
        if not self._allowance.enter(sum(len(content) for _, content in files)):
            self._note(DAY_IS_FULL)
            return False
        pipeline = item.sidecar.parent.name
        try:
            for name, content in files:
                self._destination.put(f"{self._device}/{pipeline}/{name}", content, self._pace)
                self._counters.add("bytes", len(content))
        except Refused as error:
            self._counters.add("refused")
            self._set_aside.add(item.key)
            log.warning("upload: set aside until the next start: %s", error)
            return True
        item.remove()
        self._waiting = max(0, self._waiting - 1)
        self._counters.add("items")
        self._well()
        return True

    def _pace(self, count: int) -> None:
        if self._stopping.wait(self._allowance.wait_s(count)):
            raise InterruptedError("the agent is ending")

    def _well(self) -> None:
        aside = len(self._set_aside)
        self._note(f"the server refuses {aside} items; the log names them" if aside else "")

    def _note(self, trouble: str) -> None:
        if bool(trouble) != bool(self._trouble):
            if trouble:
                log.warning("upload: evidence waits: %s", trouble)
            else:
                log.info("upload: evidence is sent again")
        self._trouble = trouble
