"""What a worker tells the agent of a pipeline's source, drift and alerts; part of its report."""

from __future__ import annotations

from typing import Literal

import msgspec

SourceKind = Literal["camera", "sensor"]
ReferenceOrigin = Literal["none", "learning", "learned", "bundle"]
WatchedKind = Literal["drift", "reject_rate"]


class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a camera or of sensors, since when (UTC), and of a picture its figures."""

    kind: SourceKind
    state: str
    detail: str
    since_ns: int
    brightness: float | None = None
    contrast: float | None = None
    sharpness: float | None = None


class FigureReport(msgspec.Struct, frozen=True):
    """How far one figure is from what is usual."""

    figure: str
    distance: float
    usual: float
    now: float


class DriftReport(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of a pipeline, the furthest first; none before a window is full."""

    origin: ReferenceOrigin
    items: int
    figures: list[FigureReport]


class AlertReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether there is reason for an alert; `raised` is None as long as that cannot be said."""

    kind: WatchedKind
    raised: bool | None
    message: str
    value: float
    limit: float


class WatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; `alerts` is None until a model has judged an item."""

    source: SourceReport
    drift: DriftReport
    alerts: list[AlertReport] | None
