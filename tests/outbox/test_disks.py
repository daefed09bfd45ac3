"""An outbox on a disk that is full, read-only or not there yet."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edge_agent.delivery.outbox_waiting import WAITING_MOST
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WaitFor

from tests.outbox.conftest import (
    ALL,
    Open,
    close_with,
    fill,
    fill_disk,
    gaps,
    named,
    remount,
    run_and_kill,
    seqs,
)


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
    assert outbox.flush(60)
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
    assert outbox.flush(60)
    assert seqs(outbox) == list(range(1001, 2001))


def test_on_a_disk_that_is_read_only_verdicts_go_out_and_no_number_twice(
    small_disk: Path, open_outbox: Open, wait_for: WaitFor
) -> None:
    close_with(open_outbox(small_disk), 3)
    remount(small_disk, "ro")
    told: list[int] = []
    for run in (1, 2):
        outbox = open_outbox(small_disk, told)
        outbox.append([verdict(3), verdict(4)])
        wait_for(lambda run=run: len(told) == 2 * run)  # type: ignore[misc]
        assert "read" in outbox.detail or "I/O" in outbox.detail
        assert outbox.depth == 2
        if run == 1:
            outbox.close()
    assert told == [told[0], told[0] + 1, told[2], told[2] + 1]
    assert 3 < told[0] < told[1] < told[2]
    remount(small_disk, "rw")
    assert outbox.flush(60)
    assert outbox.detail == ""
    assert seqs(outbox) == [1, 2, 3, *told[2:]]
    assert named(gaps(outbox)) == set(range(4, told[2]))


@pytest.mark.parametrize("reserve", [True, False])
def test_after_a_crash_and_on_a_full_disk_verdicts_go_out_and_no_number_twice(
    small_disk: Path, open_outbox: Open, wait_for: WaitFor, *, reserve: bool
) -> None:
    lines = run_and_kill([str(small_disk / "outbox.db"), "a"], after_lines=300)
    highest = max(int(line.split()[1]) for line in lines)
    if not reserve:
        (small_disk / "outbox.db.reserve").unlink()
    fill_disk(small_disk / "filler")
    told: list[int] = []
    for run in (1, 2):
        outbox = open_outbox(small_disk, told)
        outbox.patient(patient=True)
        for number in range(2000):
            outbox.append([verdict(number)])
            outbox.acked(told[-1:])
        wait_for(lambda run=run: len(told) == 2000 * run)  # type: ignore[misc]
        outbox.close()
    (small_disk / "filler").unlink()
    outbox = open_outbox(small_disk, told)
    outbox.append([verdict(1)])
    assert outbox.flush(60)
    assert told == sorted(set(told))
    assert told[0] > highest
    skipped = set(range(1, told[-1])) - set(told) - set(range(1, highest + 1))
    assert skipped <= named(gaps(outbox))


def test_a_gap_record_that_cannot_be_read_is_given_up_and_the_others_are_told(
    tmp_path: Path, open_outbox: Open
) -> None:
    run_and_kill([str(tmp_path / "outbox.db"), "a"], after_lines=100)
    open_outbox().close()
    run_and_kill([str(tmp_path / "outbox.db"), "b"], after_lines=100)
    open_outbox().close()
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db")) as file, file:
        before = file.execute("SELECT id FROM gaps ORDER BY id").fetchall()
        file.execute("UPDATE gaps SET body = x'00' WHERE id = ?", before[0])
    outbox = open_outbox()
    assert outbox.flush(60)
    assert [(gap_id,) for gap_id, _ in outbox.pending_gaps(0, 10)] == before[1:]
    assert outbox.flush(60)
    outbox.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db")) as file:
        assert file.execute("SELECT id FROM gaps ORDER BY id").fetchall() == before[1:]


def test_gaps_of_a_new_file_come_after_those_of_the_damaged_one(
    tmp_path: Path, open_outbox: Open
) -> None:
    run_and_kill([str(tmp_path / "outbox.db"), "a"], after_lines=100)
    outbox = open_outbox()
    assert outbox.flush(60)
    known = outbox.pending_gaps(0, 10)[-1][0]
    outbox.close()
    (tmp_path / "outbox.db").write_bytes(b"no database" * 1000)
    outbox = open_outbox()
    assert outbox.flush(60)
    assert [gap.reason for _, gap in outbox.pending_gaps(known, 10)] == ["new_file"]


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
    assert outbox.flush(60)
    assert seqs(outbox) == [1]
