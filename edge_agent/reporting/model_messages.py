"""What a slot's status says: which model runs there, which one is on its way, and how far it is."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.reporting.messages import Count, Device, Milliseconds, Utc, Version

SlotState = Literal[
    "idle",
    "available",
    "deferred",
    "downloading",
    "verified",
    "selftesting",
    "staged",
    "shadow",
    "trial",
    "confirmed",
    "failed",
    "rolling_back",
    "rolled_back",
]


class SlotError(msgspec.Struct, frozen=True):
    """Why something did not become; the codes stand in docs/model-sync.md."""

    code: str
    detail: str


class SelfTestFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The self-test of the next model on this gateway."""

    cases: Count
    p50_ms: Milliseconds
    p95_ms: Milliseconds
    ram_mb: Annotated[float, Meta(ge=0.0)]


class LiveFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The next model on live items: beside the one that runs (shadow), or deciding (trial)."""

    items: Count
    errors: Count
    disagreements: Annotated[Count, Meta(description="In the shadow: other outcomes.")] = 0
    skipped: Annotated[Count, Meta(description="In the shadow: items it had no time for.")] = 0
    p50_ms: Annotated[Milliseconds, Meta(description="Median of its runs.")] = 0.0


class ModelStatusMessage(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """How far a slot is with its next model. Success is `confirmed`, and nothing before it."""

    v: Version = 1
    ts: Utc
    device: Device
    slot: str
    state: SlotState
    stale: Annotated[bool, Meta(description="Metadata has expired; what runs keeps running.")]
    pinned: Annotated[bool, Meta(description="No other model is taken: `edge-agent models pin`.")]
    rollout_id: Annotated[str, Meta(description="The rollout it belongs to, or empty.")] = ""
    from_: Annotated[str, Meta(description="model_id@version that runs, until `confirmed`.")]
    to: Annotated[str, Meta(description="model_id@version on its way or given up, or empty.")] = ""
    digest: Annotated[str, Meta(description="sha256 of the model file of `to`.")] = ""
    attempt: Annotated[Count, Meta(description="How often it was begun.")] = 0
    bytes: Annotated[Count, Meta(description="Fetched so far.")] = 0
    bytes_total: Count = 0
    detail: Annotated[str, Meta(description="What it waits for, or empty.")] = ""
    error: SlotError | None = None
    selftest: SelfTestFigures | None = None
    shadow: LiveFigures | None = None
    trial: LiveFigures | None = None
    boot_id: Annotated[str, Meta(description="Of this start of the gateway's system.")] = ""
