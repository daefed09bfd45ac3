"""A capture thread for sources that block: the newest item wins, what it overtakes is counted."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.errors import EdgeAgentError, EndOfStream
from edge_agent.leaky import LeakyQueue

if TYPE_CHECKING:
    from edge_agent.metrics import Counters, Histogram
    from edge_agent.sources.base import Capture, Source
    from edge_agent.types import Item

# How long one read may wait before the thread looks whether it should end.
READ_S = 1.0


class TimedSource:
    """Counts how long the reads take that bring an item.

    The wait for it counts, as far as one read waits.
    """

    def __init__(self, source: Source, histogram: Histogram) -> None:
        self.capture = source.capture
        self._source = source
        self._histogram = histogram

    def connect(self) -> None:
        """Connect the source. Raises NotConnected."""
        self._source.connect()

    def read(self, timeout_s: float) -> Item | None:
        """Return the next item. Raises as the source."""
        began_ns = time.monotonic_ns()
        item = self._source.read(timeout_s)
        if item is not None:
            self._histogram.observe_ns(time.monotonic_ns() - began_ns)
        return item

    def close(self) -> None:
        """Accept nothing more."""
        self._source.close()


class NewestCapture:
    """Makes a source with `capture == "newest"` look like one with "inline".

    A read that fails ends the thread; the reason is raised to whoever reads next, and `connect`
    begins anew. So retrying stays in one place, the pipeline.
    """

    capture: Capture = "inline"

    def __init__(self, source: Source, counters: Counters) -> None:
        self._source = source
        self._counters = counters
        self._closed = threading.Event()
        self._queue = self._new_queue()

    def connect(self) -> None:
        """Connect the source and start reading from it. Raises NotConnected."""
        self._source.connect()
        self._queue = self._new_queue()
        threads.thread(self._read_on, "capture", (self._queue,)).start()

    def read(self, timeout_s: float) -> Item | None:
        """Return the newest item that was not handed out yet, or None."""
        if self._closed.is_set():
            self._queue.close()
        entry = self._queue.get(timeout_s)
        if isinstance(entry, EdgeAgentError):
            raise entry
        return entry

    def close(self) -> None:
        """Read no more from the source; the newest item is still handed out."""
        self._closed.set()
        self._source.close()

    def _new_queue(self) -> LeakyQueue[Item | EdgeAgentError]:
        counters = self._counters  # not by way of `self`: each would hold the other, and the source
        return LeakyQueue(1, lambda dropped: counters.add("dropped_overtaken", dropped))

    def _read_on(self, queue: LeakyQueue[Item | EdgeAgentError]) -> None:
        while not self._closed.is_set():
            try:
                item = self._source.read(READ_S)
            except EndOfStream:
                queue.close()
                return
            except EdgeAgentError as error:
                queue.put(error)
                return
            if item is not None:
                queue.put(item)
