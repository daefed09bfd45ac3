"""When an item is due, and how long it is waited for."""

from __future__ import annotations

import threading
import time

import pytest

from edge_agent.line.pacing import Schedule, is_due, next_due_s


def test_what_is_due_is_due_at_once_and_what_is_far_off_is_not_waited_for() -> None:
    closed = threading.Event()
    assert is_due(time.monotonic() - 1, 0, closed)
    assert not is_due(time.monotonic() + 1000, 0, closed)


def test_what_is_due_soon_is_waited_for_until_then() -> None:
    due_s = time.monotonic() + 0.05
    assert is_due(due_s, 1000, threading.Event())
    assert time.monotonic() >= due_s


def test_once_closed_nothing_is_due() -> None:
    closed = threading.Event()
    closed.set()
    assert not is_due(time.monotonic() - 1, 1000, closed)
    assert not is_due(time.monotonic() + 1000, 1000, closed)


def test_a_reader_in_time_gets_the_next_item_one_period_later() -> None:
    due_s = time.monotonic()
    assert next_due_s(due_s, 1000) == due_s + 1000


def test_a_reader_that_fell_behind_is_not_flooded_to_catch_up() -> None:
    assert next_due_s(time.monotonic() - 1000, 0.01) >= time.monotonic() - 0.01


def test_a_schedule_keeps_the_spacing_divided_by_the_speed() -> None:
    schedule = Schedule(10)
    schedule.start_at(5_000_000_000)
    assert schedule.due_s(7_000_000_000) - schedule.due_s(5_000_000_000) == pytest.approx(0.2)


def test_a_schedule_without_speed_holds_nothing_back() -> None:
    schedule = Schedule(0)
    schedule.start_at(0)
    assert schedule.due_s(10**18) <= time.monotonic()


def test_a_recording_that_goes_back_or_begins_anew_is_due_from_then_on() -> None:
    schedule = Schedule(1)
    schedule.start_at(10**12)
    schedule.start_at(0)
    assert schedule.due_s(0) <= time.monotonic()
    schedule.restart()
    schedule.start_at(10**18)
    assert schedule.due_s(10**18) <= time.monotonic()
