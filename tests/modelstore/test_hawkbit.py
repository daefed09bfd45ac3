from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.errors import SyncError
from edge_agent.modelstore.desired import Choice, Gateway, ModelRef
from edge_agent.modelstore.desired_source import SlotReport
from edge_agent.modelstore.hawkbit import HawkbitAddress, HawkbitSource
from edge_agent.modelstore.http_origin import HttpOrigin, HttpSettings
from tests.modelstore.hawkbit_stand_in import Hawkbit, server
from tests.modelstore.plant import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.modelstore.plant import Owner, Site

WEAR, SOUND = ModelRef("wear", "1.0.0"), ModelRef("sound", "4")
ADDRESS = HawkbitAddress(url="", tenant="plant", controller="gw-1", token_file="")
GATEWAY = Gateway("gw-1", "plant-7", "line-a", frozenset({"cpu"}), frozenset({"pilot"}))


@pytest.fixture
def hawkbit() -> Hawkbit:
    return Hawkbit()


@pytest.fixture
def source(hawkbit: Hawkbit) -> Iterator[HawkbitSource]:
    """Return a gateway's source at a running stand-in."""
    with serving(server(hawkbit)) as url:
        origin = HttpOrigin(url, HttpSettings(authorization="TargetToken secret"))
        yield HawkbitSource(origin, ADDRESS, GATEWAY, lambda: 0)
        origin.close()


def said(state: str, model: ModelRef = WEAR, slot: str = "spindle", code: str = "") -> SlotReport:
    return SlotReport(slot=slot, state=state, model=model, code=code)


def test_an_action_goes_from_its_choice_to_closed_with_every_step_reported(
    hawkbit: Hawkbit, source: HawkbitSource, owner: Owner, gateway: Site
) -> None:
    owner.add()
    view = gateway.refresh()
    assert source.get(view, {}) == {}
    hawkbit.deploy("31", ("spindle", "wear", "1.0.0"))
    chosen = source.get(view, {})
    assert chosen == {"spindle": Choice("spindle", WEAR)}
    gateway.take(chosen["spindle"].model)
    for state in ("available", "downloading", "verified", "selftesting", "trial", "confirmed"):
        source.report(said(state))
    assert [(execution, finished) for execution, finished, _ in hawkbit.heard] == [
        ("scheduled", "none"),
        ("download", "none"),
        ("downloaded", "none"),
        ("proceeding", "none"),
        ("proceeding", "none"),
        ("closed", "success"),
    ]
    assert source.get(view, {}) == {}


def test_an_action_for_two_slots_is_a_success_once_both_are_confirmed(
    hawkbit: Hawkbit, source: HawkbitSource, gateway: Site
) -> None:
    hawkbit.deploy("32", ("spindle", "wear", "1.0.0"), ("motor", "sound", "4"))
    assert set(source.get(gateway.refresh(), {})) == {"spindle", "motor"}
    source.report(said("confirmed"))
    assert hawkbit.action
    source.report(said("confirmed", SOUND, "motor"))
    assert not hawkbit.action


@pytest.mark.parametrize("state", ["failed", "rolled_back"])
def test_a_model_that_failed_closes_the_action_with_the_reason(
    hawkbit: Hawkbit, source: HawkbitSource, gateway: Site, state: str
) -> None:
    hawkbit.deploy("33", ("spindle", "wear", "1.0.0"))
    source.get(gateway.refresh(), {})
    source.report(said(state, code="golden_mismatch"))
    assert hawkbit.heard == [
        ("closed", "failure", [f"spindle: wear@1.0.0 {state}", "golden_mismatch"])
    ]


def test_a_cancelled_action_is_agreed_to_and_forgotten(
    hawkbit: Hawkbit, source: HawkbitSource, gateway: Site
) -> None:
    hawkbit.deploy("34", ("spindle", "wear", "1.0.0"))
    view = gateway.refresh()
    source.get(view, {})
    hawkbit.cancel = "34"
    assert source.get(view, {}) == {}
    assert (hawkbit.action, hawkbit.heard[-1][:2]) == ("", ("closed", "success"))
    source.report(said("trial"))
    assert len(hawkbit.heard) == 1


@pytest.mark.parametrize(("update", "window"), [("skip", None), ("forced", "unavailable")])
def test_outside_its_maintenance_window_nothing_is_changed(
    hawkbit: Hawkbit, source: HawkbitSource, gateway: Site, update: str, window: str | None
) -> None:
    hawkbit.deploy("35", ("spindle", "wear", "1.0.0"))
    hawkbit.update, hawkbit.window = update, window
    assert source.get(gateway.refresh(), {}) == {}


def test_hawkbit_may_group_gateways_by_their_attributes(
    hawkbit: Hawkbit, source: HawkbitSource, gateway: Site
) -> None:
    hawkbit.wants_attributes = True
    source.get(gateway.refresh(), {})
    assert hawkbit.attributes == {
        "site": "plant-7",
        "line": "line-a",
        "hw": "cpu",
        "tags": "pilot",
    }


def test_whatever_hawkbit_chooses_must_be_signed(
    hawkbit: Hawkbit, source: HawkbitSource, owner: Owner, gateway: Site
) -> None:
    owner.add()
    hawkbit.deploy("36", ("spindle", "wear", "6.6.6"))
    chosen = source.get(gateway.refresh(), {})["spindle"]
    with pytest.raises(SyncError, match="not_signed"):
        gateway.take(chosen.model)


def test_a_wrong_token_and_a_wrong_answer_are_told(hawkbit: Hawkbit, gateway: Site) -> None:
    hawkbit.deploy("37", ("spindle", "no/name", "1"))
    view = gateway.refresh()
    with serving(server(hawkbit)) as url:
        for token, code in (("TargetToken wrong", "401"), ("TargetToken secret", "bad_answer")):
            origin = HttpOrigin(url, HttpSettings(authorization=token))
            with pytest.raises(SyncError, match=code):
                HawkbitSource(origin, ADDRESS, GATEWAY, lambda: 0).get(view, {})
            origin.close()
