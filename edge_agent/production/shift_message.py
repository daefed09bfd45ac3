"""What is published of a shift: flat, with the Pareto chart as its one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from edge_agent.clock import utc_text
from edge_agent.reporting.messages import Count, Device, Utc, Version

if TYPE_CHECKING:
    from edge_agent.production.line import ShiftFigures

# Of the commonest classes; a display shows no more.
MOST_BARS = 20
DIGITS = 6

Seconds = Annotated[float, Meta(ge=0.0)]
Ratio = Annotated[float, Meta(ge=0.0)]


class ParetoBar(msgspec.Struct, frozen=True, kw_only=True):
    """A class of defects, by the first verdicts that were `fail`; shares of all such, 0..1."""

    defect_class: str
    count: Count
    share: Ratio
    cumulative: Ratio


class ShiftMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One pipeline's shift so far, or as it ended. Null: there is nothing to divide by."""

    v: Version = 1
    ts: Annotated[Utc, Meta(description="The figures are as of this time.")]
    device: Device
    pipeline: str
    shift: str
    shift_date: Annotated[
        str, Meta(description="Local date of its start.", examples=["2026-01-14"])
    ]
    start_ts: Utc
    end_ts: Utc
    from_ts: Annotated[Utc, Meta(description="Watched since then; later than start_ts: not all.")]
    closed: Annotated[bool, Meta(description="True: the shift is over, and these are final.")]
    parts: Annotated[Count, Meta(description="Produced quantity: parts that were judged.")]
    good: Annotated[Count, Meta(description="Good quantity: those whose last verdict is a pass.")]
    rejects: Annotated[Count, Meta(description="Those whose last verdict is a fail.")]
    uncertain: Annotated[Count, Meta(description="Those whose last verdict is uncertain.")]
    first_good: Annotated[Count, Meta(description="Those whose first verdict is a pass.")]
    repeats: Annotated[Count, Meta(description="Verdicts on parts that had one already.")]
    errors: Annotated[Count, Meta(description="Verdicts `error`: they count as no parts.")]
    yield_ratio: Annotated[Ratio | None, Meta(description="good / parts")]
    first_pass_yield: Annotated[Ratio | None, Meta(description="first_good / parts")]
    planned_s: Annotated[Seconds, Meta(description="Planned busy time so far, without breaks.")]
    down_s: Annotated[Seconds, Meta(description="Of it, how long the line stood.")]
    run_s: Annotated[Seconds, Meta(description="Actual production time: planned_s - down_s.")]
    stops: Annotated[Count, Meta(description="How often it stood.")]
    down: Annotated[bool, Meta(description="Whether it stands now.")]
    cycle_s: Annotated[Seconds | None, Meta(description="Mean from part to part, stops aside.")]
    availability: Annotated[Ratio | None, Meta(description="run_s / planned_s")]
    performance: Annotated[
        Ratio | None,
        Meta(description="ideal_cycle_s * parts / run_s; above 1: ideal_cycle_s is too long."),
    ]
    quality: Annotated[Ratio | None, Meta(description="good / parts")]
    oee: Annotated[Ratio | None, Meta(description="availability * performance * quality")]
    top_defect: Annotated[str, Meta(description="The commonest class of defects, or empty.")]
    top_defect_count: Count
    pareto: list[ParetoBar]


def shift_message(figures: ShiftFigures, *, device: str, pipeline: str) -> ShiftMessage:
    """Return what is published of a shift."""
    tally, oee, shift = figures.tally, figures.oee, figures.shift
    bars = _bars(figures)
    return ShiftMessage(
        ts=utc_text(figures.at_ns),
        device=device,
        pipeline=pipeline,
        shift=shift.name,
        shift_date=shift.date,
        start_ts=utc_text(shift.start_ns),
        end_ts=utc_text(shift.end_ns),
        from_ts=utc_text(figures.from_ns),
        closed=figures.closed,
        parts=tally.parts,
        good=tally.good,
        rejects=tally.outcomes.get("fail", 0),
        uncertain=tally.outcomes.get("uncertain", 0),
        first_good=tally.first_good,
        repeats=tally.repeats,
        errors=tally.errors,
        yield_ratio=_rounded(oee.quality),
        first_pass_yield=_rounded(figures.first_pass_yield),
        planned_s=round(figures.planned_s, 3),
        down_s=round(figures.down_s, 3),
        run_s=round(figures.planned_s - figures.down_s, 3),
        stops=figures.stops,
        down=figures.is_down,
        cycle_s=_rounded(figures.cycle_s),
        availability=_rounded(oee.availability),
        performance=_rounded(oee.performance),
        quality=_rounded(oee.quality),
        oee=_rounded(oee.oee),
        top_defect=bars[0].defect_class if bars else "",
        top_defect_count=bars[0].count if bars else 0,
        pareto=bars,
    )


def _bars(figures: ShiftFigures) -> list[ParetoBar]:
    return [
        ParetoBar(
            defect_class=bar.label,
            count=bar.count,
            share=round(bar.share, DIGITS),
            cumulative=round(bar.cumulative, DIGITS),
        )
        for bar in figures.pareto[:MOST_BARS]
    ]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
