"""The table of states, whole: nothing decides twice, nothing is a trap."""

from __future__ import annotations

from typing import get_args

import pytest

from edge_agent.modelstore import states
from edge_agent.reporting.model_messages import SlotState

ALL = get_args(states.State)
EVENTS = get_args(states.Event)
ORDER = (
    ("offered", "available"),
    ("waits", "deferred"),
    ("due", "downloading"),
    ("fetched", "verified"),
    ("tested", "selftesting"),
    ("passed", "staged"),
    ("loaded", "shadow"),
    ("agreed", "trial"),
    ("well", "confirmed"),
)


def test_what_is_published_are_these_states_and_no_others() -> None:
    assert get_args(SlotState) == ALL


def test_every_entry_names_a_state_an_event_and_an_action_that_exist() -> None:
    for (state, event), (after, action) in states.TABLE.items():
        assert {state, after} <= set(ALL)
        assert event in EVENTS
        assert action in get_args(states.Action)


def test_every_event_means_something_and_every_state_is_reached_and_left() -> None:
    assert {event for _, event in states.TABLE} == set(EVENTS)
    assert {state for state, _ in states.TABLE} == set(ALL)
    assert {after for after, _ in states.TABLE.values()} == set(ALL)


def test_a_good_model_goes_from_idle_to_confirmed_by_way_of_all() -> None:
    state: states.State = "idle"
    for event, after in ORDER:
        found = states.step(state, event)  # type: ignore[arg-type]
        assert found is not None
        assert found.state == after
        state = found.state


@pytest.mark.parametrize("state", ALL)
def test_a_next_model_decides_only_after_the_shadow_agreed(state: states.State) -> None:
    swaps = [event for event in EVENTS if (s := states.step(state, event)) and s.action == "swap"]
    assert swaps == (["agreed"] if state == "shadow" else [])


@pytest.mark.parametrize("state", ALL)
def test_the_old_model_is_let_go_only_after_the_trial(state: states.State) -> None:
    keeps = [event for event in EVENTS if (s := states.step(state, event)) and s.action == "keep"]
    assert keeps == (["well"] if state == "trial" else [])


@pytest.mark.parametrize("state", states.UNDER_WAY)
def test_what_breaks_before_the_trial_fails_and_in_it_rolls_back(state: states.State) -> None:
    found = states.step(state, "broke")
    assert found is not None
    assert found.state == ("rolling_back" if state == "trial" else "failed")


@pytest.mark.parametrize("state", [*states.UNDER_WAY, "rolling_back"])
def test_an_agent_that_ended_in_the_midst_begins_anew_or_has_rolled_back(
    state: states.State,
) -> None:
    found = states.step(state, "interrupted")
    assert found is not None
    assert found.state == ("rolled_back" if state == "rolling_back" else "available")


@pytest.mark.parametrize("state", ALL)
def test_from_every_state_some_events_lead_back_to_one_that_can_stay(state: states.State) -> None:
    reached, new = {state}, {state}
    while new:
        new = {after for (before, _), (after, _) in states.TABLE.items() if before in new} - reached
        reached |= new
    assert not reached.isdisjoint({"idle", "confirmed"})


@pytest.mark.parametrize("state", ALL)
def test_an_event_without_an_entry_changes_nothing(state: states.State) -> None:
    missing = [event for event in EVENTS if (state, event) not in states.TABLE]
    assert all(states.step(state, event) is None for event in missing)
