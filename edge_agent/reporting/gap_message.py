"""What is published of verdicts that will never come; see messages.py."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.reporting.messages import Count, Device, Seq, Utc, Version


class GapMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Which verdicts will never come, and why; not `exact`: among which some may be missing.

    A missing seq that no gap names may still come. Not `exact`, a range may hold numbers that have
    come, or will come as replays; `count` and the counts of each kind are then 0.
    """

    v: Version = 1
    ts: Annotated[Utc, Meta(description="When they were given up.")]
    device: Device
    id: Annotated[str, Meta(description="The same when the record is sent again.")]
    reason: Annotated[
        Literal["bytes", "age", "memory", "unreadable", "new_file", "crash"],
        Meta(
            description="bytes: the outbox was full; age: too old; memory: the disk refused them "
            "for too long; unreadable: the disk gave them back damaged; new_file: the outbox was "
            "lost and begun again; crash: the agent ended without notice, with verdicts under "
            "way, or began on a disk that refused, and left these numbers out."
        ),
    ]
    exact: Annotated[
        bool,
        Meta(
            description="False: some numbers in the ranges may have come, and some may never have "
            "been given to a verdict; the counts are 0."
        ),
    ]
    first_seq: Seq
    last_seq: Seq
    count: Count
    passes: Count
    fails: Count
    uncertain: Count
    errors: Count
    ranges: Annotated[
        list[tuple[int, int]], Meta(description="First and last missing seq of each run.")
    ]
