"""What became of it: verdicts that came, are kept or are lost; their order; times; memory."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.plant import until

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tests.faults.plant import Arrival, Consumer, Gateway


def peak_mb(pid: int) -> float:
    """Return the most memory that a process ever held at a time (VmHWM of proc(5))."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def outbox(state: Path) -> tuple[int, set[int]]:
    """Return the last number in a closed outbox, and those the broker has not acknowledged."""
    with closing(sqlite3.connect(state / "outbox.db")) as db:
        ((last_seq,),) = db.execute("SELECT seq FROM counter").fetchall()
        return last_seq, {seq for (seq,) in db.execute("SELECT seq FROM verdicts")}


def looked_at(state: Path, into: Path) -> set[int]:
    """Return what is in the outbox of a dead agent; in a copy: to open a database is to mend it."""
    shutil.copytree(state, into)
    _, found = outbox(into)
    shutil.rmtree(into)
    return found


def live_again_s(consumer: Consumer, since_s: float) -> float:
    """Wait for a live verdict that was decided after `since_s` (UTC); return how long that took.

    What lay in a socket's buffer when the line broke is not live any more.
    """
    until(lambda: any(not a.replay and a.decided_s > since_s for a in consumer.arrivals[-200:]))
    return time.time() - since_s


def without_repeats(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Return the first arrival of each seq; a repeat must be the same verdict."""
    first: dict[int, Arrival] = {}
    for arrival in arrivals:
        known = first.setdefault(arrival.seq, arrival)
        assert known.id == arrival.id, f"seq {arrival.seq} belongs to two verdicts"
    return list(first.values())


def missing(consumer: Consumer, last_seq: int, kept: Collection[int] = ()) -> set[int]:
    """Return the numbers up to `last_seq` that neither came nor are `kept`, and should have.

    An agent that was killed leaves the rest of a block of numbers unused, and says so in a gap
    record: of a block that ended so, all must be there up to the last number that is.
    """
    there = {arrival.seq for arrival in consumer.arrivals} | set(kept)
    gone: set[int] = set()
    begin = 1
    for end in [*sorted(gap["last_seq"] for gap in consumer.crashes()), last_seq]:
        numbers = set(range(begin, end + 1))
        newest = max(numbers & there, default=0) if end < last_seq else end
        gone |= {number for number in numbers - there if number <= newest}
        begin = end + 1
    return gone


def lost(consumer: Consumer, stopped: Gateway, timeout_s: float = 5) -> set[int]:
    """Return what neither came to the consumer nor waits in the outbox of an agent that stopped."""
    last_seq, kept = outbox(stopped.state)
    deadline_s = time.monotonic() + timeout_s
    while gone := missing(consumer, last_seq, kept):
        if time.monotonic() > deadline_s:
            return gone
        time.sleep(0.1)
    return set()


def catch_up(consumer: Consumer, timeout_s: float) -> bool:
    """Wait until nothing is missing before the newest verdict; return whether it came to that."""
    newest = max(arrival.seq for arrival in consumer.arrivals)
    deadline_s = time.monotonic() + timeout_s
    while missing(consumer, newest):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def out_of_order(arrivals: Iterable[Arrival]) -> int:
    """Count the verdicts that came after a later one of their own lane, live or replay."""
    wrong, newest = 0, {False: 0, True: 0}
    for arrival in without_repeats(arrivals):
        wrong += arrival.seq < newest[arrival.replay]
        newest[arrival.replay] = max(newest[arrival.replay], arrival.seq)
    return wrong


def longest_silence_s(arrivals: list[Arrival], begin_s: float, end_s: float) -> float:
    """Return the longest time between two verdicts, or between one and either end."""
    times = [a.at_s for a in arrivals if begin_s <= a.at_s <= end_s]
    edges = [begin_s, *times, end_s]
    return max(after - before for before, after in pairwise(edges))
