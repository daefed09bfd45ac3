"""What is published of a pipeline's source and of drift, field by field; see messages.py."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from edge_agent.reporting.messages import Count, Device, Utc, Version
from edge_agent.reporting.topics import Family

Grey = Annotated[float, Meta(ge=0.0, le=255.0)]
Distance = Annotated[float, Meta(ge=0.0, le=1.0)]


class SourceMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a camera or sensors can be trusted. In any state but connected items are `error`."""

    v: Version = 1
    ts: Utc
    device: Device
    pipeline: str
    family: Family
    source: Literal["camera", "sensor"]
    state: Annotated[
        str,
        Meta(
            description="connected, away or late; of a camera frozen, dark, bright, blurred, "
            "wrong_size or dropped; of sensors missing_channel, stuck, out_of_range, skewed or gap."
        ),
    ]
    detail: Annotated[str, Meta(description="Why it is so, in words, or empty.")]
    since_ts: Annotated[Utc, Meta(description="When it became so.")]
    brightness: Annotated[Grey | None, Meta(description="Mean grey value of the picture.")]
    contrast: Annotated[Grey | None, Meta(description="Deviation of its grey values.")]
    sharpness: Annotated[
        float | None, Meta(description="About 0.1 for a soft picture, 1 for noise.")
    ]


class FigureMessage(msgspec.Struct, frozen=True):
    """One figure beside what is usual."""

    figure: str
    distance: Distance
    usual: Annotated[float, Meta(description="Median of the reference.")]
    now: Annotated[float, Meta(description="Median of the newest items.")]


class DriftMessage(msgspec.Struct, frozen=True, kw_only=True):
    """How far scores and inputs are from what is usual."""

    v: Version = 1
    ts: Utc
    device: Device
    pipeline: str
    family: Family
    reference: Annotated[
        Literal["none", "learning", "learned", "bundle"],
        Meta(description="Where what is usual is known from."),
    ]
    items: Annotated[Count, Meta(description="Items of the reference, so far.")]
    figure: Annotated[str, Meta(description="The one furthest from usual, or empty.")]
    distance: Annotated[
        Distance | None, Meta(description="Of that one; null: too few items to say.")
    ]
    figures: list[FigureMessage]
