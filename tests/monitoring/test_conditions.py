"""Conditions of a source: held before they count, held before they are over, the first one told."""

from __future__ import annotations

from edge_agent.monitoring.conditions import CONNECTED, HOLDS, NEXT, Conditions, Rule


def test_a_condition_counts_once_it_has_lasted_its_time() -> None:
    conditions = Conditions([Rule("dark", enter_s=0.5, leave_s=0.5)])
    conditions.see("dark", 10.0, "grey 2")
    conditions.see("dark", 10.4)
    assert conditions.state.name == CONNECTED
    conditions.see("dark", 10.5)
    assert (conditions.state.name, conditions.state.detail) == ("dark", "grey 2")


def test_a_condition_that_comes_for_a_moment_does_not_count() -> None:
    conditions = Conditions([Rule("dark", enter_s=0.5)])
    conditions.see("dark", 10.0)
    conditions.see("dark", 10.1, seen=False)
    conditions.see("dark", 10.6)
    assert conditions.state.good


def test_a_condition_is_over_once_it_was_gone_for_its_time() -> None:
    conditions = Conditions([Rule("dark", leave_s=0.5)])
    conditions.see("dark", 10.0)
    conditions.see("dark", 11.0, seen=False)
    conditions.see("dark", 11.4, seen=False)
    assert conditions.state.name == "dark"
    conditions.see("dark", 11.5, seen=False)
    assert conditions.state.good


def test_a_condition_that_flickers_while_it_holds_goes_on_holding() -> None:
    conditions = Conditions([Rule("dark", leave_s=0.5)])
    for step in range(20):
        conditions.see("dark", 10.0 + 0.3 * step, seen=step % 2 == 0)
        assert conditions.state.name == "dark"


def test_of_several_conditions_the_most_telling_is_the_state() -> None:
    conditions = Conditions([Rule("away"), Rule("dark")])
    conditions.see("dark", 10.0)
    conditions.see("away", 10.0)
    assert conditions.state.name == "away"
    conditions.see("away", 11.0, seen=False)
    assert conditions.state.name == "dark"


def test_without_times_a_condition_comes_and_goes_at_once() -> None:
    conditions = Conditions([Rule("late")])
    conditions.see("late", 10.0)
    assert conditions.state.name == "late"
    conditions.see("late", 10.0, seen=False)
    assert conditions.state.good


def test_every_phase_of_the_table_is_reached_from_another_and_left_for_another() -> None:
    phases = {phase for phase, _, _ in NEXT}
    assert set(NEXT.values()) == phases
    assert phases > HOLDS
    assert all(before != after for (before, _, _), after in NEXT.items())
