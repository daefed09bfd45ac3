"""What the soak calls growth: what a process has for minutes, and not now and then."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.soak import EVERY_S, MOST_MB_PER_H, Sample, growth, line_through

if TYPE_CHECKING:
    from tests.conftest import WaitFor

MINUTES = 30.0


def samples(mb_per_h: float, *, sawtooth_mb: float = 7.0, restart: bool = False) -> list[Sample]:
    """Return 30 minutes of a process that fills up each minute, and gives that back."""
    times_s = [number * EVERY_S for number in range(int(MINUTES * 60 / EVERY_S))]
    return [
        Sample(
            at_s=at_s,
            pid=2 if restart and at_s > 1500 else 1,
            rss_mb=100 + sawtooth_mb * (at_s % 60) / 60 + mb_per_h * at_s / 3600,
            descriptors=10,
            threads=5,
        )
        for at_s in times_s
    ]


@pytest.mark.parametrize("mb_per_h", [0.0, 0.9, 1.1, 5.0, -3.0])
def test_growth_is_seen_through_what_comes_and_goes(mb_per_h: float) -> None:
    row = growth("agent", samples(mb_per_h), MINUTES)
    assert row.mb_per_h == pytest.approx(mb_per_h, abs=0.05)
    assert row.holds == (mb_per_h < MOST_MB_PER_H)


@pytest.mark.parametrize("mb_per_h", [0.0, 2.0])
def test_pictures_that_are_under_way_at_some_samples_hide_no_growth(mb_per_h: float) -> None:
    rng = np.random.default_rng(1)
    noisy = [replace(one, rss_mb=one.rss_mb + rng.uniform(0, 2)) for one in samples(mb_per_h)]
    row = growth("left", noisy, MINUTES)
    assert row.mb_per_h == pytest.approx(mb_per_h, abs=0.9)
    assert row.holds == (mb_per_h < MOST_MB_PER_H)


@given(st.lists(st.floats(-100, 100), min_size=5, max_size=30))
def test_slope_and_its_error_are_those_of_least_squares(values: list[float]) -> None:
    slope, error = line_through(values)
    fitted, covariance = np.polyfit(range(len(values)), values, 1, cov=True)
    assert slope == pytest.approx(fitted[0], abs=1e-6)
    assert error == pytest.approx(math.sqrt(covariance[0][0]), abs=1e-6)


def test_a_moment_without_a_core_is_no_growth() -> None:
    """A worker that stood still for a while had given back more than it needs to work."""
    starved = samples(0.0)
    for index in range(len(starved) // 2, len(starved) // 2 + round(30 / EVERY_S)):
        starved[index] = replace(starved[index], rss_mb=60)
    assert growth("left", starved, MINUTES).holds


def test_a_process_that_began_anew_is_not_judged_by_its_memory() -> None:
    row = growth("sacrificed", samples(5.0, restart=True), MINUTES)
    assert row.mb_per_h is None
    assert row.holds


def test_one_more_descriptor_in_the_middle_of_each_half_is_growth() -> None:
    late = samples(0.0)
    half = 3 * len(late) // 4
    leaking = late[:half] + [replace(one, descriptors=one.descriptors + 1) for one in late[half:]]
    row = growth("agent", leaking, MINUTES)
    assert (row.more_descriptors, row.holds) == (1, False)


def test_a_soak_that_is_terminated_leaves_nothing_running(wait_for: WaitFor) -> None:
    soak = subprocess.Popen([sys.executable, "-m", "tools.soak", "--minutes", "5"])
    try:

        def started() -> list[psutil.Process]:
            there = psutil.Process(soak.pid).children(recursive=True)
            return there if any(each.name().startswith("ea:") for each in there) else []

        there = wait_for(started)
        soak.terminate()
        assert soak.wait(60) != 0
        _, alive = psutil.wait_procs(there, timeout=30)
        assert alive == []
    finally:
        soak.kill()
