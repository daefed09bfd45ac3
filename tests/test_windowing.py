"""Windows out of samples: size, hop, padding, and everything that ends a series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import BadInput
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.metrics import Counters
from edge_agent.sensing.windowing import LATE_NS, PAUSE_NS, Cut, Timing, Windower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.sensing.windowing import Clock

MS = 1_000_000
PERIOD = 100 * MS  # of the 10 Hz that most of these windows have


def shape(
    samples: int = 4,
    hop: int = 2,
    *,
    channels: tuple[str, ...] = ("x",),
    pad: Literal["none", "edge"] = "none",
) -> WindowPreprocess:
    return WindowPreprocess(
        kind="window", channels=channels, samples=samples, hop=hop, rate_hz=10.0, pad=pad
    )


class Bench:
    """A windower, and what it has said so far."""

    def __init__(self, options: WindowPreprocess, timing: Timing) -> None:
        self.counters = Counters()
        self.windower = Windower(options, timing, self.counters)
        self.said: list[Cut | BadInput] = []

    def row(self, value: float, time_ns: int) -> None:
        self.said += self.windower.push_row([value], time_ns)

    def rows(self, values: Sequence[float], last_ns: int) -> None:
        self.said += self.windower.push(np.array(values, np.float32)[:, None], last_ns)

    @property
    def cuts(self) -> list[Cut]:
        return [each for each in self.said if isinstance(each, Cut)]

    @property
    def refusals(self) -> list[BadInput]:
        return [each for each in self.said if isinstance(each, BadInput)]

    @property
    def values(self) -> list[list[float]]:
        return [cut.samples[:, 0].tolist() for cut in self.cuts]


def bench(clock: Clock = "event", options: WindowPreprocess | None = None, **timing: int) -> Bench:
    return Bench(options or shape(), Timing(clock, **timing))


def test_windows_have_the_size_and_follow_at_the_hop() -> None:
    b = bench()
    for i in range(9):
        b.row(i, i * PERIOD)
    assert b.values == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]
    assert [cut.newest_ns // PERIOD for cut in b.cuts] == [3, 5, 7]
    assert [cut.first_sample for cut in b.cuts] == [0, 2, 4]
    assert {cut.series for cut in b.cuts} == {0}


def test_a_hop_longer_than_the_window_leaves_samples_out() -> None:
    b = bench(options=shape(2, 5))
    b.rows(range(13), 12 * PERIOD)
    assert b.values == [[0, 1], [5, 6], [10, 11]]


def test_a_block_gives_the_windows_that_its_rows_one_by_one_would() -> None:
    single, block = bench(options=shape(3, 1)), bench(options=shape(3, 1))
    for i in range(600):
        single.row(i, i * PERIOD)
    block.rows(range(250), 249 * PERIOD)
    block.rows(range(250, 600), 599 * PERIOD)
    assert len(single.cuts) == 598
    assert single.values == block.values
    assert [c.newest_ns for c in single.cuts] == [c.newest_ns for c in block.cuts]


def test_channels_stay_in_their_columns() -> None:
    b = bench(options=shape(2, 2, channels=("x", "y")))
    b.said += b.windower.push_row([1, 10], 0)
    b.said += b.windower.push_row([2, 20], PERIOD)
    assert b.cuts[0].samples.tolist() == [[1, 10], [2, 20]]
    assert b.cuts[0].samples.dtype == np.float32


def test_a_window_keeps_its_samples_when_later_ones_come() -> None:
    b = bench(options=shape(2, 1))
    b.rows([1, 2], PERIOD)
    b.rows(range(1000), 1001 * PERIOD)
    assert b.values[0] == [1, 2]


def test_edge_padding_gives_windows_from_the_first_sample_on() -> None:
    b = bench("index", shape(4, 1, pad="edge"))
    for i in range(5):
        b.row(i, 0)
    assert b.values == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]]
    assert [cut.first_sample for cut in b.cuts] == [-3, -2, -1, 0, 1]


# ---------------------------------------------------------------------- gaps


def test_a_gap_begins_a_new_series_and_no_window_reaches_across() -> None:
    b = bench()
    for i in [0, 1, 2, 4, 5, 6, 7]:  # 3 is missing
        b.row(i, i * PERIOD)
    assert b.values == [[4, 5, 6, 7]]
    assert b.cuts[0].series == 1
    assert b.cuts[0].first_sample == 0
    assert b.counters.totals() == {"gaps": 1}


def test_a_missing_block_begins_a_new_series() -> None:
    b = bench(options=shape(10, 10))
    for block in (0, 1, 3):
        b.rows([block] * 10, (block * 10 + 9) * PERIOD)
    assert [cut.series for cut in b.cuts] == [0, 0, 1]


def test_jitter_within_half_a_period_is_no_gap() -> None:
    b = bench(options=shape(50, 50))
    rng = np.random.default_rng(0)
    for i in range(50):
        b.row(i, i * PERIOD + int(rng.uniform(-24, 24) * MS))
    assert len(b.cuts) == 1


def test_a_block_may_stray_by_half_of_what_it_spans() -> None:
    b = bench(options=shape(20, 20))
    b.rows(range(10), 9 * PERIOD)
    b.rows(range(10), 19 * PERIOD + 4 * PERIOD)
    assert len(b.cuts) == 1


def test_the_tolerance_can_allow_for_a_coarse_clock() -> None:
    b = bench(tolerance_ns=PERIOD + 1)
    for i in [0, 1, 2, 4]:
        b.row(i, i * PERIOD)
    assert b.values == [[0, 1, 2, 4]]


def test_a_new_series_can_be_asked_for() -> None:
    b = bench("index")
    for part in range(2):
        for i in range(5):
            b.row(part * 10 + i, 0)
        b.said += b.windower.new_series()
    assert b.values == [[0, 1, 2, 3], [10, 11, 12, 13]]
    assert [cut.series for cut in b.cuts] == [0, 1]


def test_a_series_without_samples_does_not_count() -> None:
    b = bench("index")
    for _ in range(3):
        b.said += b.windower.new_series()
    b.rows(range(4), 0)
    assert b.cuts[0].series == 0


# ---------------------------------------------------------------------- late and repeated


def test_late_and_repeated_samples_are_dropped_and_counted() -> None:
    b = bench()
    for i in [0, 1, 1, 0, 2, 3]:
        b.row(i, i * PERIOD)
    assert b.values == [[0, 1, 2, 3]]
    assert b.counters.totals() == {"samples_duplicate": 1, "samples_late": 1}


def test_a_repeated_block_counts_all_its_samples() -> None:
    b = bench(options=shape(10, 10))
    b.rows(range(10), 9 * PERIOD)
    b.rows(range(10), 9 * PERIOD)
    b.rows(range(10, 20), 19 * PERIOD)
    assert len(b.cuts) == 2
    assert b.counters.totals() == {"samples_duplicate": 10}


def test_a_clock_set_back_begins_a_new_series_instead_of_dropping_all_that_follows() -> None:
    b = bench()
    for i in range(4):
        b.row(i, 10 * LATE_NS + i * PERIOD)
    for i in range(4):
        b.row(i, i * PERIOD)
    assert [cut.series for cut in b.cuts] == [0, 1]


def test_one_absurd_time_costs_no_more_than_its_neighbourhood() -> None:
    b = bench()
    for i in range(12):
        b.row(i, i * PERIOD if i != 5 else 1 << 61)
    assert b.values == [[0, 1, 2, 3], [6, 7, 8, 9], [8, 9, 10, 11]]


# ---------------------------------------------------------------------- the other clocks


def test_by_arrival_a_burst_is_no_gap_but_a_pause_is() -> None:
    b = bench("arrival")
    for i in range(4):
        b.row(i, i)  # all at once after a stall of the network
    for i in range(4, 8):
        b.row(i, 2 * PAUSE_NS + i * PERIOD)
    assert b.values == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [cut.series for cut in b.cuts] == [0, 1]
    assert b.counters.totals() == {"gaps": 1}


def test_by_arrival_the_pause_can_be_set() -> None:
    b = bench("arrival", pause_ns=150 * MS)
    for i in [0, 1, 3, 4, 5, 6]:
        b.row(i, i * PERIOD)
    assert b.values == [[3, 4, 5, 6]]


def test_by_index_every_sample_is_the_next_step_whatever_its_time() -> None:
    b = bench("index", shape(3, 3))
    for time_ns in (0, 10**15, 5):
        b.row(1, time_ns)
    assert len(b.cuts) == 1
    assert b.counters.totals() == {}


# ---------------------------------------------------------------------- the wrong rate


@pytest.mark.parametrize("rate_hz", [1, 4, 25, 100])
def test_samples_at_a_far_off_rate_are_refused_with_both_rates(rate_hz: int) -> None:
    b = bench()
    for i in range(50):
        b.row(i, i * 1_000_000_000 // rate_hz)
    assert b.cuts == []
    assert [refusal.reason for refusal in b.refusals] == ["rate"]
    assert f"at {rate_hz} Hz, the model was made for 10" in str(b.refusals[0])


def test_samples_at_a_slightly_wrong_rate_are_refused_window_by_window() -> None:
    b = bench(options=shape(50, 50))
    for i in range(200):
        b.row(i, i * PERIOD * 9 // 10)
    assert b.cuts == []
    assert len(b.refusals) == 4
    assert "11.11 Hz" in str(b.refusals[0])


def test_a_rate_that_changes_after_an_hour_is_seen_within_two_windows() -> None:
    b = bench(options=shape(50, 50))
    time_ns = 0
    for i in range(36_000):
        b.row(i, time_ns := time_ns + PERIOD)
    assert b.refusals == []
    for i in range(100):
        b.row(i, time_ns := time_ns + PERIOD * 8 // 10)
    assert [refusal.reason for refusal in b.refusals] == ["rate", "rate"]


def test_two_lost_messages_are_not_taken_for_another_rate() -> None:
    b = bench()
    for i in [0, 2, 4, 5, 6, 7]:
        b.row(i, i * PERIOD)
    assert b.refusals == []
    assert b.values == [[4, 5, 6, 7]]


# ---------------------------------------------------------------------- not finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_a_number_that_is_not_finite_in_float32_ends_the_series_and_is_reported(
    bad: float,
) -> None:
    b = bench(options=shape(2, 2, channels=("x", "load")))
    for i in range(6):
        b.said += b.windower.push_row([i, bad if i == 2 else 0], i * PERIOD)
    assert [cut.samples[:, 0].tolist() for cut in b.cuts] == [[0, 1], [3, 4]]
    assert [cut.series for cut in b.cuts] == [0, 1]
    assert [str(refusal) for refusal in b.refusals] == ["nan: load: not a finite number"]
    assert b.counters.totals() == {"samples_nan": 1}


def test_a_sensor_that_stays_broken_is_reported_once_and_counted_throughout() -> None:
    b = bench(options=shape(2, 2))
    for i in range(1000):
        b.row(float("nan") if 2 <= i < 990 else i, i * PERIOD)
    assert len(b.refusals) == 1
    assert len(b.cuts) == 6
    assert b.counters.totals() == {"samples_nan": 988}


def test_bad_samples_in_a_block_cost_no_good_ones() -> None:
    b = bench(options=shape(2, 2))
    nan = float("nan")
    b.rows([0, 1, nan, 2, 3, 4, 5, nan, 6, 7], 9 * PERIOD)
    assert b.values == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [cut.series for cut in b.cuts] == [0, 1, 1, 2]
    assert [cut.newest_ns // PERIOD for cut in b.cuts] == [1, 4, 6, 9]


# ---------------------------------------------------------------------- whatever comes

steps = st.lists(
    st.tuples(
        st.integers(1, 7),  # rows in the message
        st.sampled_from([0, 0, 0, 0, 1, 3, -2, -1]),  # periods off
        st.booleans(),  # with a bad sample
    ),
    max_size=40,
)


@given(
    size=st.integers(1, 6), hop=st.integers(1, 8), pad=st.sampled_from(["none", "edge"]), plan=steps
)
def test_no_window_ever_holds_samples_that_were_not_one_period_apart(
    size: int, hop: int, pad: Literal["none", "edge"], plan: list[tuple[int, int, bool]]
) -> None:
    """Each sample's value is the number of its period, so neighbours must differ by 1."""
    b = bench(options=shape(size, hop, pad=pad))
    newest = 1000
    for count, off, bad in plan:
        values = [float(newest + off + 1 + i) for i in range(count)]
        newest += off + count
        last_ns = newest * PERIOD
        if bad:
            values[count // 2] = float("nan")
        if count == 1:
            b.row(values[0], last_ns)
        else:
            b.rows(values, last_ns)
    seen: dict[tuple[int, int], float] = {}
    for cut in b.cuts:
        column = cut.samples[:, 0]
        real = column[max(0, -cut.first_sample) :]
        assert len(column) == size
        if len(real) == size or pad == "edge":
            assert (np.diff(real) % 1 == 0).all()
        assert cut.newest_ns == int(real[-1]) * PERIOD
        for offset, value in enumerate(real.tolist()):
            place = (cut.series, max(0, cut.first_sample) + offset)
            assert seen.setdefault(place, value) == value
