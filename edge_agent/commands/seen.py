"""What the live view reads of an agent's messages: only the fields that it shows.

So it works beside agents that are newer than itself.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from edge_agent.types import Outcome


class VerdictSeen(msgspec.Struct):
    """The fields of a verdict that are shown (messages.VerdictMessage)."""

    pipeline: str
    seq: int
    verdict: Outcome
    latency_ms: float
    score: float | None = None
    threshold: float | None = None
    unit: str = ""
    label: str = ""
    defect_class: str = ""
    defect_count: int = 0
    part_id: str | None = None
    reason: str = ""
    replay: bool = False


class StatsSeen(msgspec.Struct):
    """The fields of a stats message that are shown."""

    state: str
    passes: int
    fails: int
    uncertain: int
    errors: int
    detail: str = ""
    accelerator: str = ""
    accelerator_requested: str = ""
    accelerator_reason: str = ""
    recipe: str = ""


class StatusSeen(msgspec.Struct):
    """The fields of a status message that are shown."""

    status: Literal["online", "offline"]
    reason: str = ""
    outbox_depth: int = 0
    outbox_age_s: float = 0.0
    outbox_detail: str = ""


class InfoSeen(msgspec.Struct):
    """The fields of a info message that are shown."""

    agent_version: str


class AlertSeen(msgspec.Struct):
    """The fields of a alert message that are shown."""

    alert: Literal["raised", "cleared"]
    message: str


class GapSeen(msgspec.Struct):
    """The fields of a gap message that are shown."""

    reason: str
    count: int
    exact: bool
    ranges: list[tuple[int, int]]
