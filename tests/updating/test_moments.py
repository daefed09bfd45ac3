"""When a model may change."""

from __future__ import annotations

import time

import pytest

from edge_agent.modelstore.desired import ModelRef, Rollout, Stage
from edge_agent.modelstore.moments import delay_s, why_not_now


def local(text: str) -> float:
    """Return when it is this local time on one day."""
    return time.mktime(time.strptime(f"2026-06-01 {text}", "%Y-%m-%d %H:%M"))


@pytest.mark.parametrize(
    ("window", "clock", "is_open"),
    [
        ("22:00-06:00", "21:59", False),
        ("22:00-06:00", "22:00", True),
        ("22:00-06:00", "05:59", True),
        ("22:00-06:00", "06:00", False),
        ("12:00-12:30", "12:15", True),
        ("12:00-12:30", "12:30", False),
        ("00:00-00:00", "17:00", True),
    ],
)
def test_a_window_is_open_from_its_first_minute_to_its_last(
    window: str, clock: str, *, is_open: bool
) -> None:
    why = why_not_now((window,), 0.0, None, local(clock))
    assert (why == "") == is_open
    assert is_open or window in why


def test_all_windows_must_be_open() -> None:
    assert why_not_now(("08:00-18:00", "12:00-13:00"), 0.0, None, local("12:30")) == ""
    assert why_not_now(("08:00-18:00", "12:00-13:00"), 0.0, None, local("14:00"))


def test_after_the_deadline_nothing_is_waited_for() -> None:
    at = local("14:00")
    past, future = "2026-01-01T00:00:00Z", "2027-01-01T00:00:00+00:00"
    assert why_not_now(("22:00-06:00",), at + 99, past, at) == ""
    assert why_not_now(("22:00-06:00",), at + 99, future, at)
    assert why_not_now(("22:00-06:00",), at + 99, "soon", at)


def test_each_gateway_waits_its_turn_always_the_same_and_spread_over_the_jitter() -> None:
    rollout = Rollout("r", ModelRef("wear", "2"), (Stage(100.0),), jitter_s=600.0)
    waits = [delay_s(rollout, f"gw-{number}") for number in range(1000)]
    assert waits == [delay_s(rollout, f"gw-{number}") for number in range(1000)]
    assert 0 <= min(waits) < 6
    assert 594 < max(waits) <= 600
    assert 280 < sum(waits) / 1000 < 320
    assert delay_s(None, "gw-1") == 0.0


def test_the_turn_is_named_by_its_time_so_that_the_retained_status_stays_true() -> None:
    says = {why_not_now((None,), 90_000.0, None, clock_s) for clock_s in (40.0, 41.0, 80_000.0)}
    assert says == {"waits for its turn at 1970-01-02 01:00:00 UTC"}
