"""When a model may change: windows, deadlines and the spreading of a herd. Pure functions."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.modelstore.desired import Rollout

MINUTES_A_DAY = 24 * 60


def delay_s(rollout: Rollout | None, device: str) -> float:
    """Return how long this gateway lets others go first: always the same of one rollout."""
    if rollout is None:
        return 0.0
    digest = hashlib.sha256(f"{rollout.id}\0{device}\0delay".encode()).digest()
    return rollout.jitter_s * int.from_bytes(digest[:4], "big") / 2**32


def why_not_now(
    windows: tuple[str | None, ...], due_s: float, deadline: str | None, clock_s: float
) -> str:
    """Return what a change waits for at `clock_s` (seconds since 1970), or "" where for nothing."""
    if deadline is not None and clock_s >= _utc_s(deadline):
        return ""
    local = time.localtime(clock_s)
    minute = local.tm_hour * 60 + local.tm_min
    for window in windows:
        if window is not None and not _is_open(window, minute):
            return f"waits for the window {window}"
    if clock_s < due_s:
        turn = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(due_s))
        return f"waits for its turn at {turn} UTC"  # what is retained must be true later, too
    return ""


def _is_open(window: str, minute: int) -> bool:
    begin, end = (_minute(text) for text in window.split("-"))
    length = (end - begin) % MINUTES_A_DAY or MINUTES_A_DAY
    return (minute - begin) % MINUTES_A_DAY < length


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _utc_s(text: str) -> float:
    """Return seconds since 1970; a deadline that cannot be read has never passed."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return float("inf")
    return moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()
