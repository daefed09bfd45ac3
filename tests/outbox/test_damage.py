"""An outbox whose file is damaged, lost, or an old copy."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from edge_agent.delivery.seq_floor import BLOCK
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WaitFor

from tests.outbox.conftest import ALL, Open, close_with, fill, gaps, named, run_and_kill, seqs


@pytest.mark.parametrize("damage", [b"", b"no database, by far" * 1000, b"SQLite format 3\x00xx"])
def test_a_damaged_file_is_set_aside_and_no_number_comes_twice(
    damage: bytes, tmp_path: Path, open_outbox: Open
) -> None:
    close_with(open_outbox(), 10)
    (tmp_path / "outbox.db").write_bytes(damage)
    outbox = open_outbox()
    fill(outbox, 2)
    assert seqs(outbox) == [11, 12]
    assert [(gap.reason, gap.exact, gap.ranges) for gap in gaps(outbox)] == [
        ("new_file", False, ((1, 10),))
    ]
    if damage:
        assert [path.read_bytes() for path in tmp_path.glob("outbox.db.damaged-*")] == [damage]


def test_after_a_kill_and_a_lost_file_counting_goes_on_above_all_that_was_used(
    tmp_path: Path, open_outbox: Open
) -> None:
    lines = run_and_kill([str(tmp_path / "outbox.db"), "0"], after_lines=100)
    for ending in ("", "-wal"):
        (tmp_path / f"outbox.db{ending}").unlink(missing_ok=True)
    outbox = open_outbox()
    fill(outbox, 1)
    used = int(lines[-1].split()[1])
    assert used < seqs(outbox)[0] <= used + 2 * BLOCK
    assert named(gaps(outbox)) >= set(range(1, used + 1))


def test_an_old_copy_of_the_file_does_not_bring_old_numbers_back(
    tmp_path: Path, open_outbox: Open
) -> None:
    close_with(open_outbox(), 10)
    copy = (tmp_path / "outbox.db").read_bytes()
    close_with(open_outbox(), 10)
    (tmp_path / "outbox.db").write_bytes(copy)
    outbox = open_outbox()
    fill(outbox, 1)
    assert seqs(outbox) == [*range(1, 11), 21]


def test_without_file_and_floor_numbers_start_above_any_that_can_have_been(
    tmp_path: Path, open_outbox: Open
) -> None:
    close_with(open_outbox(), 10)
    (tmp_path / "outbox.db").write_bytes(b"damaged" * 1000)
    (tmp_path / "outbox.db.floor").write_bytes(b"\x00" * 128)
    outbox = open_outbox()
    fill(outbox, 1)
    assert 1_600_000_000_000 < seqs(outbox)[0] < 1 << 53


def test_damage_that_shows_while_running_costs_no_number_and_no_later_verdict(
    tmp_path: Path, open_outbox: Open, wait_for: WaitFor
) -> None:
    outbox = open_outbox()
    for first in range(0, 3000, 200):
        fill(outbox, 200, first)
    outbox._file._store.work_in_log()
    with (tmp_path / "outbox.db").open("r+b") as file:
        for page in range(2, file.seek(0, os.SEEK_END) // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    outbox._file._store._db.execute("PRAGMA shrink_memory")  # type: ignore[union-attr]
    outbox.pending(0, ALL, 3000)
    outbox.append([verdict(3000)])
    wait_for(lambda: any(tmp_path.glob("outbox.db.damaged-*")))
    assert outbox.flush(60)
    assert seqs(outbox) == [3001]
    assert [gap.ranges for gap in gaps(outbox)] == [((1, 3000),)]


def test_only_the_newest_damaged_file_is_kept(tmp_path: Path, open_outbox: Open) -> None:
    for text in (b"first" * 1000, b"second" * 1000):
        (tmp_path / "outbox.db").write_bytes(text)
        close_with(open_outbox(), 1)
    assert [path.read_bytes() for path in tmp_path.glob("outbox.db.damaged-*")] == [
        b"second" * 1000
    ]


def test_a_row_that_cannot_be_read_is_given_up_and_the_rest_goes_on(
    tmp_path: Path, open_outbox: Open
) -> None:
    close_with(open_outbox(), 5)
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db")) as db, db:
        db.execute("UPDATE verdicts SET body = x'c1ff' WHERE seq IN (1, 4)")
    outbox = open_outbox()
    assert outbox.flush(60)
    assert seqs(outbox) == [2, 3, 5]
    assert outbox.flush(60)
    assert [(gap.reason, gap.ranges) for gap in gaps(outbox)] == [("unreadable", ((1, 1), (4, 4)))]
    assert outbox.depth == 3
