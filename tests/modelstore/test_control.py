"""When a rollout goes on and when it stops, by what gateways say of themselves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.modelstore.desired import Match
from tests.modelstore.statuses import (
    GATEWAYS,
    OLD,
    RING,
    ROLLOUT,
    SLOT,
    document,
    fleet_with,
    seen,
    status,
)
from tools.repo import rollouts
from tools.repo.control import Tally, Thresholds, decide, tally

if TYPE_CHECKING:
    from edge_agent.reporting.model_messages import ModelStatusMessage


def counted(messages: list[ModelStatusMessage], **match: Any) -> tuple[int, int, int]:
    """Return ring, confirmed, failed."""
    wanted = document(**match)
    found = tally(wanted, wanted.rules[0], ROLLOUT, [seen(message) for message in messages])
    return found.ring, found.confirmed, found.failed


def verb(messages: list[ModelStatusMessage], *, complete: bool = True, **limits: Any) -> str:
    wanted = document()
    found = tally(wanted, wanted.rules[0], ROLLOUT, [seen(message) for message in messages])
    return decide(ROLLOUT, found, Thresholds(**limits), complete=complete).verb


# ---------------------------------------------------------------------- who counts


def test_the_ring_is_who_should_have_it_by_hash_and_who_says_to_have_it() -> None:
    idle = [status(name, "idle") for name in GATEWAYS]
    assert 2 <= len(RING) <= 10
    assert counted(idle) == (len(RING), 0, 0)
    outside = next(name for name in GATEWAYS if name not in RING)
    assert counted([*idle, status(outside, "trial")]) == (len(RING) + 1, 0, 0)


def test_only_gateways_of_the_rules_place_are_waited_for() -> None:
    idle = [status(name, "idle") for name in GATEWAYS]
    assert counted(idle, site=["graz"]) == (len(RING), 0, 0)
    assert counted(idle, site=["linz"]) == (0, 0, 0)
    assert counted(idle, line=["2"]) == (0, 0, 0)


def test_of_a_rule_for_some_hardware_those_count_that_name_the_rollout() -> None:
    idle = [status(name, "idle") for name in GATEWAYS]
    assert counted(idle, hw=["edgetpu"]) == (0, 0, 0)
    assert counted([*idle[1:], status(GATEWAYS[0], "shadow")], hw=["edgetpu"]) == (1, 0, 0)


def test_a_narrower_rule_before_takes_its_gateways_out_of_the_ring() -> None:
    wanted = rollouts.with_default(document(), SLOT, Match(site=("graz",)), OLD)
    rule = next(rule for rule in wanted.rules if rule.rollout)
    slots = [seen(status(name, "idle"), site) for name in GATEWAYS for site in ("graz", "linz")]
    assert tally(wanted, rule, ROLLOUT, slots).ring == len(RING)


def test_another_slot_and_another_rollout_count_nothing() -> None:
    other = [status(name, "failed", "errs", slot="bearing") for name in RING]
    assert counted(other) == (0, 0, 0)
    before = [status(name, "failed", "errs", rollout_id="r0", to=str(OLD)) for name in RING]
    assert counted(before) == (len(RING), 0, 0)


def test_a_pinned_gateway_is_not_waited_for() -> None:
    pinned = [status(name, "idle", pinned=True) for name in RING]
    assert counted(pinned) == (0, 0, 0)


def test_a_model_that_was_confirmed_and_taken_back_later_counts_as_failed() -> None:
    back = [status(name, "rolled_back", "recalled", rollout_id="") for name in RING]
    assert counted(back) == (len(RING), 0, len(RING))


@pytest.mark.parametrize("code", ["offline", "no_room", "withdrawn"])
def test_what_is_not_the_models_fault_is_no_failure(code: str) -> None:
    assert verb(fleet_with("failed", code, len(RING)), failures=1) == "wait"


# ---------------------------------------------------------------------- what follows


def test_it_goes_on_only_when_enough_of_the_ring_confirmed() -> None:
    assert verb(fleet_with("confirmed")) == "promote"
    assert verb(fleet_with("trial")) == "wait"
    assert verb(fleet_with("trial"), share=0.5) == "promote"
    assert verb(fleet_with("confirmed"), least=len(RING) + 1) == "wait"


def test_it_does_not_go_on_before_all_that_the_broker_keeps_was_heard() -> None:
    assert verb(fleet_with("confirmed"), complete=False) == "wait"
    assert verb(fleet_with("rolled_back", "errs"), complete=False, failures=1) == "halt"


def test_an_empty_ring_never_goes_on() -> None:
    outside = [status(name, "idle") for name in GATEWAYS if name not in RING]
    assert verb(outside, share=0.0, least=0) == "wait"
    assert verb([], share=0.0, least=0) == "wait"


def test_it_halts_at_so_many_failures_and_such_a_share_of_them() -> None:
    assert verb(fleet_with("failed", "model", 2), failures=2) == "halt"
    assert verb(fleet_with("failed", "model", 1), failures=2) == "wait"
    # Of a large fleet some gateways fail for reasons of their own.
    confirmed = [status(f"more-{number}", "confirmed") for number in range(200)]
    large = [*confirmed, *fleet_with("failed", "model", 2)]
    assert verb(large, failures=2, failed_share=0.05) == "promote"
    assert verb(large, failures=2, failed_share=0.005) == "halt"


def test_a_share_that_is_just_reached_counts() -> None:
    for ring in range(1, 101):
        for confirmed in range(1, ring + 1):
            found = Tally(ring, confirmed, 0, Counter())
            limits = Thresholds(share=confirmed / ring)
            assert decide(ROLLOUT, found, limits, complete=True).verb == "promote"


def test_no_threshold_makes_a_rollout_halt_without_a_failure() -> None:
    assert verb(fleet_with("trial"), failures=0, failed_share=0.0) == "wait"
