"""Brings one blob into the store: resumes where a link broke, and ends whatever the server does.

    while bytes are missing:  ask from the first missing one on, append what comes
    all there:                hash it from the disk, give it its name

No byte is fetched twice: what came stays on the disk across requests, polls and restarts. The
exception are bytes that turn out wrong as a whole, and a server that will not serve ranges; both
are given up after a few attempts, so that a bad server costs little and keeps nobody busy.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.backoff import full_jitter
from edge_agent.durable import write_all
from edge_agent.errors import SyncError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from edge_agent.modelstore.blobs import BlobStore
    from edge_agent.modelstore.origin import Origin

# A request that brings next to nothing: the next one may bring more. After these in a row, the next
# poll may.
MAX_BARREN_REQUESTS = 5
# A request costs about as much by itself: a link that breaks after fewer bytes is no link.
MIN_USEFUL_BYTES = 1024
# Wrong bytes at full length: a flip on the way heals, a wrong file on the server does not.
MAX_WRONG_CONTENTS = 2
# Answers after which what was fetched so far may be the reason: a server that ignores ranges, a
# file that was exchanged. Starting over then is better than asking the same for ever.
STARTS_OVER = {"bad_answer"}
# It will not come by asking again now.
NOT_AGAIN = {"not_found", "no_room", "stopped"}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a fetch may take.

    `deadline_s`: of one call, all requests and waits together. `min_bytes_per_s`: the least that
    must come, on average over `rate_window_s`. `wait_s`, `max_wait_s`: bounds of the waits between
    requests, which double.
    """

    deadline_s: float = 4 * 3600.0
    min_bytes_per_s: float = 512.0
    rate_window_s: float = 60.0
    wait_s: float = 1.0
    max_wait_s: float = 60.0


@dataclass(slots=True)
class Progress:
    """What a fetch has cost so far: `fetched` bytes of `length`, `requests` made."""

    length: int
    fetched: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches blobs from one origin into one store. One thread uses it.

    `wait`: waits so many seconds, true where the agent is ending (threading.Event.wait). `say`
    hears each step of progress; it must return soon.
    """

    origin: Origin
    store: BlobStore
    limits: Limits
    rng: random.Random
    wait: Callable[[float], bool]
    mono_s: Callable[[], float] = time.monotonic
    say: Callable[[Progress], None] = lambda _: None

    def fetch(self, sha256: str, length: int) -> Progress:
        """Return once the blob is in the store. Raises SyncError; OSError where the disk fails.

        Whatever it raises, calling it again later goes on where it ended.
        """
        progress = Progress(length)
        if self.store.holds(sha256, length):
            return progress
        deadline = self.mono_s() + self.limits.deadline_s
        for attempt in range(MAX_WRONG_CONTENTS):
            self._fill(sha256, progress, deadline)
            try:
                self.store.adopt(sha256, length)
            except SyncError:
                if attempt == MAX_WRONG_CONTENTS - 1:
                    raise
            else:
                break
        return progress

    def _fill(self, sha256: str, progress: Progress, deadline: float) -> None:
        """Ask until the partial file is complete."""
        if self.store.part_length(sha256) > progress.length:
            self.store.drop_part(sha256)  # of another time: it cannot be right
        os.close(self.store.open_part(sha256))
        waits = full_jitter(self.limits.wait_s, self.limits.max_wait_s, self.rng)
        barren = 0
        while (have := self.store.part_length(sha256)) < progress.length:
            failure = self._append(sha256, have, progress, deadline)
            gained = self.store.part_length(sha256) - have
            if have + gained == progress.length:
                return
            if failure is None and gained >= MIN_USEFUL_BYTES:
                barren = 0
                waits = full_jitter(self.limits.wait_s, self.limits.max_wait_s, self.rng)
                continue
            barren += 1
            self._judge(sha256, failure, barren)
            self._pause(next(waits), deadline)

    def _append(
        self, sha256: str, start: int, progress: Progress, deadline: float
    ) -> SyncError | None:
        """Make one request; return what ended it before its time, None for the end of data."""
        progress.requests += 1
        path = f"blobs/sha256/{sha256}"
        descriptor = self.store.open_part(sha256)
        floor = _RateFloor(self.limits, self.mono_s, deadline)
        try:
            for chunk in self.origin.stream(path, start, progress.length):
                write_all(descriptor, chunk)
                progress.fetched += len(chunk)
                self.say(progress)
                floor.check(len(chunk))
        except SyncError as failure:
            return failure
        finally:
            os.close(descriptor)
        return None

    def _judge(self, sha256: str, failure: SyncError | None, barren: int) -> None:
        """Raise where asking again now is of no use."""
        if failure is not None and failure.code in NOT_AGAIN:
            raise failure
        if barren < MAX_BARREN_REQUESTS:
            return
        if failure is not None and failure.code in STARTS_OVER:
            self.store.drop_part(sha256)
        raise failure or SyncError("offline", f"{sha256[:12]}: the connection breaks at once")

    def _pause(self, wait_s: float, deadline: float) -> None:
        if self.mono_s() + wait_s > deadline:
            raise SyncError("too_slow", f"not complete after {self.limits.deadline_s:g} s")
        if self.wait(wait_s):
            raise SyncError("stopped", "the agent is ending")


class _RateFloor:
    """Watches one answer: enough bytes in each window, and all before the deadline."""

    def __init__(self, limits: Limits, mono_s: Callable[[], float], deadline: float) -> None:
        self._limits = limits
        self._mono_s = mono_s
        self._deadline = deadline
        self._began = mono_s()
        self._bytes = 0

    def check(self, received: int) -> None:
        """Count what came. Raises SyncError `too_slow`."""
        self._bytes += received
        now = self._mono_s()
        if now > self._deadline:
            text = f"not complete after {self._limits.deadline_s:g} s"
            raise SyncError("too_slow", text)
        passed_s = now - self._began
        if passed_s < self._limits.rate_window_s:
            return
        if self._bytes < passed_s * self._limits.min_bytes_per_s:
            raise SyncError("too_slow", f"{self._bytes} bytes in {passed_s:.0f} s")
        self._began, self._bytes = now, 0
