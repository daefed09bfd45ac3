"""Formulas of ISO 22400-2 on numbers computed by hand, and what is where nothing is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.production.oee import Oee, oee, pareto
from edge_agent.production.tally import MOST_CLASSES, Tally
from tests.verdicts import verdict


def test_the_three_ratios_and_their_product() -> None:
    # APT 27,000 - 3,000 = 24,000: 24/27; 2 * 10,800 / 24,000 = 0.9; 10,260 / 10,800 = 0.95.
    found = oee(planned_s=27_000, down_s=3_000, parts=10_800, good=10_260, ideal_cycle_s=2.0)
    assert found.availability == pytest.approx(0.888889, abs=1e-6)
    assert found.performance == pytest.approx(0.9)
    assert found.quality == pytest.approx(0.95)
    assert found.oee == pytest.approx(0.76)


def test_without_an_ideal_cycle_there_is_neither_performance_nor_oee() -> None:
    found = oee(planned_s=100, down_s=25, parts=10, good=9, ideal_cycle_s=None)
    assert found == Oee(0.75, None, 0.9, None)


def test_before_any_planned_time_there_is_nothing() -> None:
    assert oee(planned_s=0, down_s=0, parts=0, good=0, ideal_cycle_s=1.0) == Oee(*[None] * 4)


def test_a_line_that_made_nothing_has_an_oee_of_0_and_no_quality() -> None:
    found = oee(planned_s=100, down_s=100, parts=0, good=0, ideal_cycle_s=1.0)
    assert found == Oee(0.0, None, None, 0.0)


@given(
    planned_s=st.floats(0, 1e6),
    down_s=st.floats(0, 1e6),
    parts=st.integers(0, 10**6),
    bad=st.integers(0, 10**6),
    ideal_cycle_s=st.none() | st.floats(1e-3, 1e4),
)
def test_ratios_are_never_negative(
    planned_s: float, down_s: float, parts: int, bad: int, ideal_cycle_s: float | None
) -> None:
    found = oee(
        planned_s=planned_s,
        down_s=down_s,
        parts=parts,
        good=max(0, parts - bad),
        ideal_cycle_s=ideal_cycle_s,
    )
    assert found.availability is None or 0 <= found.availability <= 1
    assert found.quality is None or 0 <= found.quality <= 1
    assert found.oee is None or found.oee >= 0


def test_a_pareto_of_nothing_is_empty() -> None:
    assert pareto({}) == ()


def test_equal_bars_are_sorted_by_name() -> None:
    assert [bar.label for bar in pareto({"b": 1, "a": 1, "c": 2})] == ["c", "a", "b"]


def test_a_part_that_is_inspected_again_counts_by_its_first_and_its_last_verdict() -> None:
    tally = Tally()
    tally.add(verdict(1, "fail", part_id="P1", label="dent"))
    assert not tally.add(verdict(2, "uncertain", part_id="P1"))
    tally.add(verdict(3, "pass", part_id="P1"))
    assert (tally.parts, tally.good, tally.first_good, tally.repeats) == (1, 1, 0, 2)
    assert tally.defects == {"dent": 1}


def test_an_error_is_no_part_and_its_part_is_counted_when_it_is_inspected() -> None:
    tally = Tally()
    assert not tally.add(verdict(1, "error", part_id="P1"))
    assert tally.add(verdict(2, "pass", part_id="P1"))
    assert (tally.parts, tally.first_good, tally.errors, tally.repeats) == (1, 1, 1, 0)


def test_parts_without_an_id_are_each_their_own() -> None:
    tally = Tally()
    for number in range(3):
        tally.add(verdict(number, "pass", part_id=None))
    assert tally.parts == 3


def test_memory_of_classes_has_an_end() -> None:
    tally = Tally()
    made = 2 * MOST_CLASSES
    for number in range(made):
        tally.add(verdict(number, "fail", part_id=f"P{number}", label=f"class {number}"))
    assert len(tally.defects) == MOST_CLASSES + 1
    assert sum(tally.defects.values()) == tally.parts == made
