"""Each check by what was seen: when it is ok, and when and why it fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_agent.serving.checks import (
    CHECKS_OF_A_PIPELINE,
    CHECKS_OF_THE_GATEWAY,
    EARLIEST_NS,
    Finding,
    GatewayFacts,
    PipelineFacts,
    findings,
)
from edge_agent.serving.options import HealthOptions
from edge_agent.serving.readiness import Seen

NOW_S = 1000.0
WELL = PipelineFacts(
    name="camera",
    state="running",
    detail="",
    triggered=False,
    model="parts",
    reported_s=NOW_S - 1,
    busy_since_s=None,
    source_state="connected",
    source_detail="",
    judged_s=NOW_S - 0.5,
    first_error_s=None,
    error_s=None,
)
GATEWAY = GatewayFacts(
    looped_s=NOW_S,
    dead_threads=(),
    connected=True,
    broker_detail="",
    acked_s=NOW_S - 1,
    parked=0,
    disk_free_bytes=10**9,
    disk_detail="",
    utc_ns=EARLIEST_NS + 1,
    clock_step_s=0.0,
    clock_stepped_s=None,
)


def of_pipeline(check: str, **facts: Any) -> Finding:
    found = findings(GATEWAY, [replace(WELL, **facts)], HealthOptions(), NOW_S)
    return next(each for each in found if (each.name, each.pipeline) == (check, "camera"))


def of_gateway(check: str, **facts: Any) -> Finding:
    found = findings(replace(GATEWAY, **facts), [], HealthOptions(), NOW_S)
    return next(each for each in found if each.name == check)


def test_every_check_is_made_and_none_fails_where_all_is_well() -> None:
    found = findings(GATEWAY, [WELL], HealthOptions(), NOW_S)
    assert [(each.name, each.pipeline) for each in found] == [
        *((name, "") for name in CHECKS_OF_THE_GATEWAY),
        *((name, "camera") for name in CHECKS_OF_A_PIPELINE),
    ]
    assert {each.state for each in found} == {"ok"}


@pytest.mark.parametrize(
    ("check", "facts", "reason"),
    [
        ("worker_alive", {"reported_s": NOW_S - 4}, "its worker has been silent for 4 s"),
        ("worker_alive", {"reported_s": None}, "its worker is being started"),
        ("worker_alive", {"state": "restarting", "detail": "killed"}, "killed"),
        ("model_warm", {"state": "loading"}, "its model is not loaded"),
        ("model_warm", {"state": "failed", "detail": "hash differs"}, "hash differs"),
        ("model_warm", {"model": ""}, "its model is not loaded"),
        ("frame_fresh", {"state": "waiting", "detail": "no such device"}, "no such device"),
        ("frame_fresh", {"source_state": "frozen", "source_detail": ""}, "frozen"),
        ("frame_fresh", {"source_state": "late", "source_detail": "3 s"}, "late: 3 s"),
        ("verdict_produced", {"judged_s": None}, "no verdict yet"),
        ("verdict_produced", {"judged_s": None, "error_s": 1.0}, "nothing but errors so far"),
        (
            "verdict_produced",
            {"judged_s": NOW_S - 15, "first_error_s": NOW_S - 11, "error_s": NOW_S},
            "nothing but errors for 11 s",
        ),
        (
            "verdict_produced",
            {"busy_since_s": NOW_S - 12},
            "an item has been under way for 12 s",
        ),
    ],
)
def test_a_pipeline_fails(check: str, facts: dict[str, Any], reason: str) -> None:
    found = of_pipeline(check, **facts)
    assert (found.state, found.reason) == ("fail", reason)


def test_a_model_that_its_maker_doubts_is_warm_and_warned_of() -> None:
    found = of_pipeline("model_warm", doubts=("it only guesses", "it is slow"))
    reason = "the maker of its model doubts it: it only guesses; it is slow"
    assert (found.state, found.reason) == ("warn", reason)
    assert of_pipeline("model_warm", doubts=("it only guesses",), model="").state == "fail"


@pytest.mark.parametrize("error_s", [NOW_S, NOW_S - 300])
def test_one_error_is_no_reason_to_fail_however_slow_the_source_is(error_s: float) -> None:
    found = of_pipeline(
        "verdict_produced", judged_s=NOW_S - 600, first_error_s=error_s, error_s=error_s
    )
    assert found.state == "ok"


def test_errors_count_from_the_first_since_something_was_judged() -> None:
    seen = Seen()
    for outcome, at_s in (("error", 1.0), ("pass", 2.0), ("error", 3.0), ("error", 9.0)):
        seen = seen.after(outcome, at_s)  # type: ignore[arg-type]
    assert seen == Seen(judged_s=2.0, first_error_s=3.0, error_s=9.0)
    assert seen.after("fail", 10.0) == Seen(judged_s=10.0)


def test_a_slow_pipeline_that_waits_for_its_next_window_is_ok() -> None:
    assert of_pipeline("verdict_produced", judged_s=NOW_S - 600).state == "ok"


def test_nobody_has_to_ask_a_triggered_pipeline() -> None:
    assert of_pipeline("verdict_produced", triggered=True, judged_s=None).state == "ok"


def test_a_pipeline_that_has_ended_has_nothing_to_fail() -> None:
    found = findings(
        GATEWAY,
        [replace(WELL, state="ended", judged_s=None, source_state="late", reported_s=1.0)],
        HealthOptions(),
        NOW_S,
    )
    assert {each.state for each in found} == {"ok"}


def test_a_pipeline_that_was_told_to_stop_has_nothing_to_fail_either() -> None:
    assert {of_pipeline(check, state="stopped").state for check in CHECKS_OF_A_PIPELINE} == {"ok"}


@pytest.mark.parametrize("check", ["model_warm", "frame_fresh"])
def test_what_fails_while_a_pipeline_begins_anew_as_it_was_told_was_asked_for(check: str) -> None:
    found = of_pipeline(check, state="loading", model="", begins_anew=True)
    assert (found.state, found.asked_for) == ("fail", True)
    assert not of_pipeline(check, state="loading", model="").asked_for, "its worker died"
    assert not of_pipeline(check, state="running", begins_anew=True).asked_for
    silent = of_pipeline("worker_alive", state="loading", begins_anew=True, reported_s=NOW_S - 4)
    assert (silent.state, silent.asked_for) == ("fail", False)


@pytest.mark.parametrize(
    ("check", "facts", "reason"),
    [
        ("agent_alive", {"looped_s": NOW_S - 6}, "its loop has not turned for 6 s"),
        ("agent_alive", {"dead_threads": ("outbox",)}, "a bug ended: outbox"),
        (
            "broker_acknowledging",
            {"connected": False, "broker_detail": "refused"},
            "refused",
        ),
        ("broker_acknowledging", {"acked_s": None}, "nothing acknowledged yet"),
        (
            "broker_acknowledging",
            {"acked_s": NOW_S - 13},
            "connected, nothing acknowledged for 13 s",
        ),
        ("broker_acknowledging", {"parked": 3}, "it refuses 3 verdicts"),
        ("disk_room", {"disk_free_bytes": 19 * 10**6}, "19.0 MB left, less than 20"),
        ("disk_room", {"disk_free_bytes": None}, "the state folder cannot be looked at"),
        ("disk_room", {"disk_detail": "full"}, "full"),
        ("clock_sane", {"utc_ns": 10**9}, "it was never set: is there a time server?"),
    ],
)
def test_the_gateway_fails(check: str, facts: dict[str, Any], reason: str) -> None:
    found = of_gateway(check, **facts)
    assert (found.state, found.reason) == ("fail", reason)


def test_what_a_broker_refuses_beside_verdicts_is_a_warning() -> None:
    found = of_gateway("broker_acknowledging", broker_detail="refused: plc/part")
    assert (found.state, found.reason) == ("warn", "refused: plc/part")


def test_a_clock_that_was_set_is_a_warning_for_a_minute() -> None:
    found = of_gateway("clock_sane", clock_step_s=-3600.0, clock_stepped_s=NOW_S - 59)
    assert (found.state, found.reason) == ("warn", "it was set by -3600 s")
    assert of_gateway("clock_sane", clock_stepped_s=NOW_S - 61).state == "ok"
