"""What is published, field by field; docs/schemas/ holds the same as JSON Schema.

Flat scalars at the top, because Grafana and historians need a transform for anything nested, and
at most one array. A number keeps its kind: a float is written with its point (70.0), because
Ignition makes an integer tag of 70. Readers must ignore fields that they do not know: more may
come within the same `v`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.reporting.topics import Family
from edge_agent.types import Outcome

Version = Annotated[Literal[1], Meta(description="Version of this message's format.")]
Utc = Annotated[
    str,
    Meta(
        description="UTC, ISO 8601 with milliseconds.",
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        examples=["2026-01-02T03:04:05.678Z"],
    ),
]
Count = Annotated[int, Meta(ge=0)]
Seq = Annotated[
    int,
    Meta(ge=1, description="Counts the device's verdicts; after a crash of the agent it jumps."),
]
Device = Annotated[str, Meta(description="Name of the gateway.")]
Milliseconds = Annotated[float, Meta(ge=0.0)]


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """One defect: where it is, in pixels of the original picture, from its top left corner.

    Null: the model gave no finite number.
    """

    label: str
    score: float | None
    x: float | None
    y: float | None
    w: float | None
    h: float | None


class VerdictMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One inspected item. Drop repeats by (device, seq)."""

    v: Version = 1
    id: Annotated[str, Meta(description="Unique; the same when it is sent again.")]
    seq: Seq
    ts: Annotated[Utc, Meta(description="When it was decided.")]
    device: Device
    pipeline: str
    part_id: str | None
    verdict: Outcome
    score: Annotated[
        float | None,
        Meta(description="The higher the worse; for a regression the value. Null: no number."),
    ]
    threshold: Annotated[float | None, Meta(description="What decided, in the score's unit.")]
    unit: str
    label: Annotated[
        str,
        Meta(
            description="The most likely class, or empty; of a fail or uncertain verdict the most "
            "likely one that is not good."
        ),
    ]
    defect_class: Annotated[
        str, Meta(description="The label of a fail or uncertain verdict, else empty.")
    ]
    defect_count: Count
    model: str
    model_version: str
    model_sha256: str
    config_rev: int
    recipe: Annotated[
        str, Meta(description="The product variant; empty: the pipeline's own model.")
    ] = ""
    capture_ts: Annotated[Utc, Meta(description="When the picture or newest sample was taken.")]
    latency_ms: Annotated[Milliseconds, Meta(description="From capture to decision.")]
    accelerator: str
    reason: Annotated[str, Meta(description="Why the verdict is `error`, else empty.")]
    evidence: Annotated[str, Meta(description="File kept on the gateway, or empty.")]
    replay: Annotated[
        bool, Meta(description="Not live: sent later than when it was decided, or sent again.")
    ]
    defects: list[Region]


class LastMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest verdict of a quality pipeline, for displays: flat, and some may be left out."""

    v: Version = 1
    id: str
    seq: Seq
    ts: Utc
    device: Device
    pipeline: str
    part_id: str | None
    verdict: Outcome
    score: float | None
    threshold: float | None
    unit: str
    label: str
    defect_class: str
    defect_count: Count
    latency_ms: Milliseconds
    reason: str
    evidence: str


class StatsMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one pipeline. Totals count since the agent started."""

    v: Version = 1
    ts: Utc
    device: Device
    pipeline: str
    family: Family
    state: Annotated[
        str,
        Meta(
            description="running, waiting (for its source), blocked, failed, degraded; loading, "
            "starting, restarting; ended: its source has no more; stopped: it was told to stop."
        ),
    ]
    detail: Annotated[str, Meta(description="Why the state is not running, else empty.")] = ""
    items: Annotated[Count, Meta(description="Verdicts of all kinds.")]
    passes: Count
    fails: Count
    uncertain: Count
    errors: Count
    dropped: Annotated[Count, Meta(description="Items that were captured and not inspected.")] = 0
    rate_hz: Annotated[float, Meta(ge=0.0, description="Verdicts a second since the last message.")]
    p50_ms: Annotated[
        Milliseconds | None,
        Meta(description="Median from capture to decision; null: no verdict since the last one."),
    ]
    p99_ms: Annotated[
        Milliseconds | None, Meta(description="One in a hundred took longer; null as p50_ms.")
    ]
    worker_restarts: Count = 0
    model: str = ""
    model_version: str = ""
    model_sha256: str = ""
    accelerator: Annotated[str, Meta(description="What ran the model last.")] = ""
    accelerator_requested: Annotated[str, Meta(description="By the config; empty: the CPU.")] = ""
    accelerator_reason: Annotated[
        str,
        Meta(description="Why the model does not run on it (docs/accelerators.md), else empty."),
    ] = ""
    accelerator_share: Annotated[
        float | None, Meta(description="Of the model's operators, on it, 0..1; null: not known.")
    ] = None
    accelerator_fallbacks: Annotated[
        Count, Meta(description="How often the model came to run without it.")
    ] = 0
    config_rev: int = 0
    recipe: Annotated[
        str, Meta(description="The product variant; empty: the model of its own.")
    ] = ""


class CheckState(msgspec.Struct, frozen=True, kw_only=True):
    """One check of health (docs/metrics.md); `pipeline` is empty for the gateway's own."""

    name: str
    pipeline: str
    state: Literal["ok", "warn", "fail"]
    reason: str
    since_ts: Annotated[Utc, Meta(description="When it came to this state.")]


class StatusMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the agent is there. The broker publishes `offline` for it when the line breaks."""

    v: Version = 1
    ts: Annotated[Utc, Meta(description="Of the broker's `offline`: when the agent started.")]
    device: Device
    status: Literal["online", "offline"]
    reason: Annotated[str, Meta(description="Why offline, else empty.")] = ""
    started_ts: Utc
    outbox_depth: Annotated[
        Count, Meta(description="Verdicts that the broker has yet to acknowledge.")
    ] = 0
    outbox_age_s: Annotated[float, Meta(ge=0.0, description="Age of the oldest of them.")] = 0.0
    outbox_parked: Annotated[Count, Meta(description="Those that the broker refused.")] = 0
    outbox_detail: Annotated[str, Meta(description="What is wrong with the disk, or empty.")] = ""
    ready: Annotated[bool, Meta(description="Whether no check fails.")] = False
    not_ready: Annotated[str, Meta(description="The checks that fail, in words; or empty.")] = ""
    checks: Annotated[list[CheckState], Meta(description="Those that are not ok.")] = []


class AcceleratorState(msgspec.Struct, frozen=True, kw_only=True):
    """What runs the model of a pipeline for which the config names an accelerator."""

    pipeline: str
    requested: str
    effective: Annotated[
        str, Meta(description="The same while it is well; else `cpu`, or `none` (on_failure).")
    ]
    reason: Annotated[str, Meta(description="Why they differ: a stable word; else empty.")]
    detail: str
    since_ts: Annotated[Utc, Meta(description="When `effective` became so.")]
    share: Annotated[
        float | None, Meta(description="Of the model's operators, on it, 0..1; null: not known.")
    ]
    fallbacks: Count


class InfoMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What runs here."""

    v: Version = 1
    ts: Utc
    device: Device
    agent_version: str
    python: str
    os: str
    machine: Annotated[str, Meta(examples=["x86_64", "aarch64"])]
    cpus: Count
    hostname: str
    config_rev: int
    pipelines: Annotated[str, Meta(description="Names, separated by commas.")]
    accelerators: Annotated[
        list[AcceleratorState], Meta(description="Of the pipelines that ask for one.")
    ] = []


class HealthMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The condition of a machine, by the newest verdict of its pipeline."""

    v: Version = 1
    ts: Utc
    device: Device
    pipeline: str
    health: Literal["good", "uncertain", "bad", "unknown"]
    since_ts: Annotated[Utc, Meta(description="When it became so.")]
    score: float | None
    threshold: float | None
    unit: str
    label: str = ""
    seq: Annotated[Count, Meta(description="The verdict behind it; 0: none.")] = 0
    model: str = ""
    model_version: str = ""


AlertKind = Literal["condition", "drift", "reject_rate", "chart", "product", "accelerator"]


class AlertMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was raised or cleared; retained is one that is raised, if any is."""

    v: Version = 1
    ts: Utc
    device: Device
    pipeline: str
    id: Annotated[str, Meta(description="The same when raised and when cleared.")]
    kind: Annotated[
        AlertKind,
        Meta(
            description="What it is about: a machine's condition, figures of a pipeline, or the "
            "accelerator that its model does not run on."
        ),
    ] = "condition"
    alert: Literal["raised", "cleared"]
    message: str
    raised_ts: Utc
    cleared_ts: Utc | None = None
    score: float | None = None
    threshold: Annotated[
        float | None,
        Meta(
            description="What the score is held against: a limit, the expected reject rate, or the "
            "line of a chart that its rule names, which may be the centre line. Null: nothing."
        ),
    ] = None
    unit: str = ""
    seq: Annotated[Count, Meta(description="The verdict that changed it; 0: none.")] = 0


def encode(message: msgspec.Struct) -> bytes:
    """Return the payload of a message."""
    return _encoder.encode(message)


_encoder = msgspec.json.Encoder()
