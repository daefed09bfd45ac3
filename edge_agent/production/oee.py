"""Ratios of production, by ISO 22400-2:2014; every function is pure, and None where nothing is.

ISO 22400-2 calls what is known as performance "effectiveness". Its letters, as used here:

    PQ   produced quantity: parts that were judged
    GQ   good quantity: parts whose last verdict is a pass
    PBT  planned busy time: of the shift so far, without its breaks
    APT  actual production time: PBT without the time the line stood
    PRI  planned run time per item: `ideal_cycle_s`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Oee:
    """The three ratios and their product, 0..1, performance above 1 where the plan is too slow."""

    availability: float | None
    performance: float | None
    quality: float | None
    oee: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a Pareto chart; `cumulative`: the share of it and all larger ones, 0..1."""

    label: str
    count: int
    share: float
    cumulative: float


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole; None where there is no whole."""
    return part / whole if whole > 0 else None


def oee(
    *, planned_s: float, down_s: float, parts: int, good: int, ideal_cycle_s: float | None
) -> Oee:
    """Return availability APT/PBT, effectiveness PRI*PQ/APT, quality ratio GQ/PQ, their product.

    OEE index = availability * effectiveness * quality ratio (ISO 22400-2). Where no part was made
    there is no quality ratio, and OEE is 0.
    """
    run_s = max(0.0, planned_s - down_s)
    availability = ratio(run_s, planned_s)
    performance = ratio(ideal_cycle_s * parts, run_s) if ideal_cycle_s is not None else None
    quality = ratio(good, parts)
    if availability is None or ideal_cycle_s is None:
        return Oee(availability, performance, quality, None)
    if not parts:
        return Oee(availability, performance, quality, 0.0)
    if performance is None or quality is None:
        return Oee(availability, performance, quality, None)
    return Oee(availability, performance, quality, availability * performance * quality)


def pareto(counts: Mapping[str, int]) -> tuple[Bar, ...]:
    """Return defect classes, the commonest first, equal ones by name (Juran's vital few)."""
    total = sum(counts.values())
    bars: list[Bar] = []
    seen = 0
    for label, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        seen += count
        bars.append(Bar(label, count, count / total, seen / total))
    return tuple(bars)
