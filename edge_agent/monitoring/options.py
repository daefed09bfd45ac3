"""When a camera or sensor is not to be trusted, and what counts as drift: tables of the config."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edge_agent.options import StrictOptions

Seconds = Annotated[float, Field(ge=0.1, le=86_400)]
Grey = Annotated[float, Field(ge=0, le=255)]
Share = Annotated[float, Field(ge=0, le=1)]
Pixels = Annotated[int, Field(ge=1, le=16_384)]
Range = tuple[float, float]


class CameraLimits(StrictOptions):
    """When pictures are not to be trusted: items are then answered by `error`."""

    on: bool = True
    """Off: every picture is inspected, whatever it looks like."""
    late_after_s: Seconds | None = None
    """No picture for this long: `late`. Left out: 1.5 s for a live camera, never for others."""
    frozen_after_s: Seconds | None = None
    """Three or more pictures, the same in every pixel looked at, over this time: `frozen`. Left
    out: 1 s for a live camera, never for others."""
    dark_below: Grey = 8.0
    """Mean grey value: `dark`. 0 turns it off."""
    bright_above: Grey = 247.0
    """Mean grey value: `bright`. 255 turns it off."""
    blurred_below: Share = 0.5
    """Sharpness, as a share of what is usual: `blurred`. Usual is the median of the drift
    reference; as long as there is none, nothing is blurred. 0 turns it off."""
    size: tuple[Pixels, Pixels] | None = None
    """Width and height; others: `wrong_size`. Left out: for a live camera, that of its first
    picture; for others any size will do."""
    dropped_above: Share | None = None
    """Share of pictures that are overtaken before they are inspected: `dropped`. Left out: never,
    since many a camera is faster than its model."""
    hold_s: Annotated[float, Field(ge=0, le=60)] = 0.5
    """How long dark, bright, blurred, wrong_size or dropped must last to become the state, and
    how long it must be gone to leave it. Light and sharpness are looked at once a picture is
    answered, so that no verdict waits for them: they count from the next picture on."""


class SensorLimits(StrictOptions):
    """When samples are not to be trusted: their windows are then answered by `error`."""

    on: bool = True
    """Off: every window is inspected, whatever it holds."""
    late_after_s: Seconds | None = None
    """No sample for this long: `late`. Left out: three windows' steps, and at least 3 s."""
    missing_after_s: Seconds | None = None
    """One topic silent for this long while others speak: `missing_channel`. As late_after_s."""
    stuck_after_s: Annotated[float, Field(gt=0)] | None = None
    """A channel's value has not changed for so long: `stuck`. Left out: 10 s for signals of 10 Hz
    and more, which noise never lets rest; never for slower ones."""
    may_rest: tuple[str, ...] = ()
    """Channels that may stand still: they are never stuck."""
    ranges: dict[str, Range] = {}  # noqa: RUF012  pydantic copies it
    """Lowest and highest value of a channel; beyond: `out_of_range`."""
    skew_s: Seconds = 60.0
    """How far the time that samples carry may be from the gateway's: beyond it `skewed`."""

    @model_validator(mode="after")
    def _ranges_rise(self) -> SensorLimits:
        for channel, (low, high) in self.ranges.items():
            if low >= high:
                raise ValueError(f"ranges: {channel} must have the lower value first")
        return self


class DriftOptions(StrictOptions):
    """When scores and inputs have left what they were: an alert; verdicts go on."""

    on: bool = True
    window: Annotated[int, Field(ge=20, le=10_000)] = 100
    """Newest items that are held against the reference."""
    raise_at: Share = 0.8
    """Distance of the distributions (Kolmogorov-Smirnov, 0 to 1) at which the alert is raised.
    0.8: four of five items lie beyond what was usual."""
    clear_at: Share = 0.6
    """Distance below which it is cleared."""
    learn_items: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Where the bundle brings no reference, or the pipeline was calibrated: the first items to
    learn one from. 0: none is learned. Left out: 500 for `qc`, 0 for `pdm`."""
    figures_hz: Annotated[float, Field(gt=0, le=1000)] = 25.0
    """At most so many items a second are measured; all of them, unless they come faster."""

    @model_validator(mode="after")
    def _hysteresis(self) -> DriftOptions:
        if self.clear_at >= self.raise_at:
            raise ValueError("clear_at must be below raise_at")
        return self


class RejectOptions(StrictOptions):
    """When fails come more often than they should: an alert; verdicts go on."""

    on: bool | None = None
    """Left out: for `qc`."""
    expected: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of fails to expect. Left out: as many as there were while the drift reference was
    learned, or as the bundle says."""
    window: Annotated[int, Field(ge=20, le=10_000)] = 200
    """Newest items that are counted."""
    raise_below: Annotated[float, Field(gt=0, lt=0.5)] = 1e-4
    """Raised where so many fails, or more, would come with less than this probability."""
    clear_above: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Cleared where they would come with more than this."""
