"""Times as sensors and recordings write them, in nanoseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from edge_agent.errors import BadInput

TimeUnit = Literal["s", "ms", "us", "ns", "iso8601"]

NS_PER_UNIT = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
# Beyond the year 2116: not a time of this plant, and sums with it would leave 64 bits.
LATEST_NS = 1 << 62

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(value: object, unit: TimeUnit) -> int:
    """Return nanoseconds since 1970 (UTC) of a number in `unit`, a text or a MessagePack time.

    A text without an offset is taken for UTC. Raises BadInput (`time`).
    """
    try:
        if isinstance(value, datetime):
            time_ns = _nanoseconds(value)
        elif unit == "iso8601":
            time_ns = _nanoseconds(_iso8601(value))
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise BadInput("time", f"not a number of {unit}: {value!r:.40}")
        else:
            # Whole units apart from the fraction: their product would not fit a float's 53 bits.
            whole = int(value)
            time_ns = whole * NS_PER_UNIT[unit] + round((value - whole) * NS_PER_UNIT[unit])
    except (ValueError, OverflowError) as error:
        raise BadInput("time", str(error)) from None
    if not 0 <= time_ns < LATEST_NS:
        raise BadInput("time", f"{value!r:.40} {unit} is out of range")
    return time_ns


def _iso8601(value: object) -> datetime:
    if not isinstance(value, str):
        raise BadInput("time", f"not an ISO 8601 text: {value!r:.40}")
    return datetime.fromisoformat(value)


def _nanoseconds(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1) * 1000
