"""What an outbox gives up when it is full or when rows are old, and how exactly it says so."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.delivery.gaps import RANGES_PER_GAP, Losses
from edge_agent.delivery.intake import Intake
from edge_agent.delivery.outbox_waiting import DROPPED_AT_ONCE, WAITING_MOST
from edge_agent.delivery.outbox_writer import FIRST_EXPIRY_S
from tests.verdicts import verdict

if TYPE_CHECKING:
    from tests.conftest import WaitFor

from tests.outbox.conftest import Clock, Open, fill, gaps, named, seqs


def test_a_full_outbox_gives_up_passes_before_fails_and_says_which(open_outbox: Open) -> None:
    outbox = open_outbox(max_bytes=100_000)
    outbox.append(verdict(n, "fail" if n % 10 == 0 else "pass") for n in range(400))
    assert outbox.flush(60)
    kept = set(seqs(outbox))
    lost = set(range(1, 401)) - kept
    assert outbox.bytes <= 100_000
    assert lost
    assert not any((seq - 1) % 10 == 0 for seq in lost)
    assert max(lost) < max(seq for seq in kept if (seq - 1) % 10)
    assert {gap.reason for gap in gaps(outbox)} == {"bytes"}
    assert named(gaps(outbox)) == lost
    assert sum(gap.passes for gap in gaps(outbox)) == len(lost)
    assert outbox.counters.totals() == {"given_up": len(lost)}


def test_when_no_passes_are_left_the_oldest_of_the_rest_go(open_outbox: Open) -> None:
    outbox = open_outbox(max_bytes=100_000)
    outbox.append(verdict(n, "fail" if n % 2 else "error") for n in range(400))
    assert outbox.flush(60)
    kept = seqs(outbox)
    assert kept == list(range(kept[0], 401))
    assert named(gaps(outbox)) == set(range(1, kept[0]))
    counts = [(gap.fails, gap.errors) for gap in gaps(outbox)]
    assert sum(map(sum, counts)) == kept[0] - 1


def test_a_gap_record_stays_until_it_is_acknowledged(open_outbox: Open) -> None:
    first = open_outbox(max_bytes=50_000)
    fill(first, 300)
    before = first.pending_gaps(0, 1000)
    first.close()
    second = open_outbox(max_bytes=50_000)
    assert second.flush(60)
    assert second.pending_gaps(0, 1000) == before
    second.gap_acked(before[0][0])
    assert second.flush(60)
    assert second.pending_gaps(0, 1000) == before[1:]


def test_rows_that_are_too_old_are_given_up_with_a_gap_record(
    open_outbox: Open, wait_for: WaitFor
) -> None:
    clock = Clock()
    outbox = open_outbox(max_age_s=3600, **clock.options())
    fill(outbox, 3)
    clock.mono += 3000
    fill(outbox, 2)
    assert seqs(outbox) == [1, 2, 3, 4, 5]
    assert outbox.oldest_age_s == 3000
    clock.mono += 700
    outbox.append([verdict(5)])
    wait_for(lambda: gaps(outbox))
    assert seqs(outbox) == [4, 5, 6]
    assert [(gap.reason, gap.ranges, gap.passes) for gap in gaps(outbox)] == [("age", ((1, 3),), 3)]


def test_a_clock_that_is_set_makes_nothing_old(open_outbox: Open) -> None:
    clock = Clock()
    outbox = open_outbox(max_age_s=3600, **clock.options())
    fill(outbox, 3)
    clock.utc += 2 * 365 * 24 * 3600 * 10**9
    clock.mono += FIRST_EXPIRY_S + 1
    fill(outbox, 1)
    assert len(seqs(outbox)) == 4
    assert outbox.oldest_age_s == FIRST_EXPIRY_S + 1


def test_a_clock_that_is_wrong_at_the_start_leaves_time_to_send_a_backlog(
    open_outbox: Open, wait_for: WaitFor
) -> None:
    clock = Clock()
    first = open_outbox(**clock.options())
    fill(first, 3)
    first.close()
    clock.utc += 2 * 365 * 24 * 3600 * 10**9
    second = open_outbox(**clock.options())
    fill(second, 1)
    clock.mono += FIRST_EXPIRY_S - 1
    fill(second, 1)
    assert seqs(second) == [1, 2, 3, 4, 5]
    clock.mono += 61
    second.append([verdict()])
    wait_for(lambda: seqs(second) == [4, 5, 6])


@given(
    lost=st.dictionaries(
        st.integers(1, 3000), st.sampled_from(["pass", "fail", "uncertain", "error"]), min_size=1
    ),
    split=st.integers(0, 3000),
)
def test_gap_records_name_each_loss_once_with_the_right_counts(
    lost: dict[int, str], split: int
) -> None:
    losses, later = Losses(), Losses()
    for index, (seq, outcome) in enumerate(lost.items()):
        (losses if index < split else later).add(seq, outcome)  # type: ignore[arg-type]
    losses.merge(later)
    records = losses.gaps("bytes", at_ns=1, offset=10)
    ranges = [pair for gap in records for pair in gap.ranges]
    assert named(records) == {seq + 10 for seq in lost}
    assert ranges == sorted(ranges)
    assert all(first > last + 1 for (_, last), (first, _) in pairwise(ranges))
    assert all(len(gap.ranges) <= RANGES_PER_GAP for gap in records)
    outcomes = list(lost.values())
    assert sum(gap.passes for gap in records) == outcomes.count("pass")
    assert sum(gap.fails for gap in records) == outcomes.count("fail")
    assert sum(gap.uncertain for gap in records) == outcomes.count("uncertain")
    assert sum(gap.errors for gap in records) == outcomes.count("error")


def test_scattered_losses_are_split_into_records_of_bounded_size() -> None:
    losses = Losses()
    for seq in range(0, 40_000, 2):
        losses.add(seq, "pass")
    records = losses.gaps("bytes", at_ns=1)
    assert [len(gap.ranges) for gap in records] == [RANGES_PER_GAP] * 40
    assert sum(gap.passes for gap in records) == 20_000


def test_what_is_being_written_is_never_dropped_from_memory() -> None:
    intake = Intake(most=100, dropped_at_once=30)
    for number in range(100):
        intake.put(verdict(number), 0)
    taken = intake.take(20)
    for number in range(100, 400):
        intake.put(verdict(number), 0)
    intake.done()
    assert [one.ordinal for one in taken] == list(range(1, 21))
    assert not named(intake.lost.gaps("memory", at_ns=0)) & set(range(1, 21))
    left = [one.ordinal for one in intake.take(1000)]
    assert len(left) <= 80
    assert named(intake.lost.gaps("memory", at_ns=0)) | set(left) == set(range(21, 401))


def test_memory_holds_fails_longer_than_passes() -> None:
    intake = Intake(most=WAITING_MOST, dropped_at_once=DROPPED_AT_ONCE)
    for number in range(3 * WAITING_MOST):
        intake.put(verdict(number, "fail" if number % 10 == 0 else "pass"), 0)
    records = intake.lost.gaps("memory", at_ns=0)
    assert sum(gap.passes for gap in records) > WAITING_MOST
    assert sum(gap.fails for gap in records) == 0
