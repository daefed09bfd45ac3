"""An outbox on a disk that is full, read-only or not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.delivery.outbox_waiting import WAITING_MOST
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WaitFor

from tests.outbox.conftest import ALL, Open, close_with, fill, fill_disk, gaps, named, remount, seqs


def test_a_full_disk_costs_passes_first_is_said_and_heals_by_itself(
    small_disk: Path, open_outbox: Open, wait_for: WaitFor
) -> None:
    outbox = open_outbox(small_disk, max_bytes=600_000)
    fill(outbox, 100)
    filler = small_disk / "filler"
    fill_disk(filler)
    appended = 100
    while not outbox.counters.totals().get("dropped_memory"):
        outbox.append(verdict(n, "fail" if n % 100 == 0 else "pass") for n in range(100))
        appended += 100
        assert appended < 20 * WAITING_MOST
    wait_for(lambda: "full" in outbox.detail)
    filler.unlink()
    assert outbox.flush(20)
    assert outbox.detail == ""
    lost = named(gaps(outbox))
    assert {gap.reason for gap in gaps(outbox)} == {"memory", "bytes"}
    assert len(lost) == sum(outbox.counters.totals().values())
    assert sum(gap.passes for gap in gaps(outbox)) == len(lost)
    outbox.append([verdict()])
    assert outbox.flush(10)
    assert set(seqs(outbox)) | lost == set(range(1, appended + 2))
    assert not set(seqs(outbox)) & lost


def test_acknowledged_rows_can_be_deleted_on_a_full_disk_and_new_ones_take_their_place(
    small_disk: Path, open_outbox: Open, wait_for: WaitFor
) -> None:
    outbox = open_outbox(small_disk, max_bytes=4_000_000)
    fill(outbox, 1000)
    fill_disk(small_disk / "filler")
    outbox.append(verdict(n) for n in range(1000))
    wait_for(lambda: "full" in outbox.detail)
    outbox.acked(range(1, 1001))
    assert outbox.flush(10)
    assert seqs(outbox) == list(range(1001, 2001))


def test_a_disk_that_is_read_only_is_waited_for(
    small_disk: Path, open_outbox: Open, wait_for: WaitFor
) -> None:
    close_with(open_outbox(small_disk), 3)
    remount(small_disk, "ro")
    outbox = open_outbox(small_disk)
    outbox.append([verdict(3), verdict(4)])
    wait_for(lambda: outbox.detail)
    assert outbox.depth == 2
    remount(small_disk, "rw")
    assert outbox.flush(10)
    assert seqs(outbox) == [1, 2, 3, 4, 5]
    assert gaps(outbox) == []


def test_an_outbox_starts_on_a_folder_that_is_not_there_yet(
    tmp_path: Path, open_outbox: Open, wait_for: WaitFor
) -> None:
    outbox = open_outbox(tmp_path / "later")
    outbox.append([verdict(0)])
    wait_for(lambda: outbox.detail)
    assert outbox.pending(0, ALL, 10) is None
    assert outbox.pending_gaps(0, 10) == []
    assert outbox.oldest_age_s == 0
    (tmp_path / "later").mkdir()
    assert outbox.flush(10)
    assert seqs(outbox) == [1]
