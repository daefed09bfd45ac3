"""The outbox: what the broker does not take is kept, in order; what cannot be is said exactly."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.delivery.gaps import RANGES_PER_GAP, Losses
from edge_agent.delivery.intake import Intake
from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.outbox_waiting import DROPPED_AT_ONCE, WAITING_MOST
from edge_agent.delivery.outbox_writer import FIRST_EXPIRY_S
from edge_agent.delivery.seq_floor import BLOCK
from tests.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.delivery.gaps import Gap
    from edge_agent.delivery.outbox_types import Row
    from tests.conftest import WaitFor

Open: TypeAlias = "Callable[..., Outbox]"
PLENTY = 100_000_000
ALL = 1 << 62


@pytest.fixture
def open_outbox(tmp_path: Path) -> Iterator[Open]:
    """Start outboxes; each is closed at the end of the test."""
    opened: list[Outbox] = []

    def start(folder: Path = tmp_path, **rest: object) -> Outbox:
        options = {"max_bytes": PLENTY, "max_age_s": 3600.0} | rest
        outbox = Outbox(folder / "outbox.db", **options)  # type: ignore[arg-type]
        opened.append(outbox)
        outbox.start()
        return outbox

    yield start
    for outbox in opened:
        outbox.close()


def seqs(outbox: Outbox) -> list[int]:
    rows = outbox.pending(0, ALL, 100_000)
    assert rows is not None
    return [row.seq for row in rows]


def gaps(outbox: Outbox) -> list[Gap]:
    return [gap for _, gap in outbox.pending_gaps(0, 1000)]


def fill(outbox: Outbox, count: int, first: int = 0) -> None:
    outbox.append(verdict(number) for number in range(first, first + count))
    assert outbox.flush(10)


def test_verdicts_are_numbered_in_the_order_of_append(open_outbox: Open) -> None:
    outbox = open_outbox()
    fill(outbox, 1000)
    rows = outbox.pending(0, ALL, 5000)
    assert rows is not None
    assert [(row.seq, row.verdict.id) for row in rows] == [(n + 1, str(n)) for n in range(1000)]


def test_every_verdict_is_told_with_its_number_once_and_in_order(tmp_path: Path) -> None:
    told: list[Row] = []
    outbox = Outbox(tmp_path / "outbox.db", max_bytes=PLENTY, max_age_s=60)
    outbox.append([verdict(0), verdict(1)])  # before there are numbers
    outbox.start(on_live=told.extend)
    for first in range(2, 3 * BLOCK, 50):
        outbox.append(verdict(number) for number in range(first, first + 50))
    assert outbox.flush(10)
    outbox.close()
    assert [(row.seq, row.verdict.id) for row in told] == [
        (number + 1, str(number)) for number in range(len(told))
    ]
    assert len(told) >= 3 * BLOCK


def test_what_the_broker_takes_in_time_never_touches_the_disk(
    tmp_path: Path, open_outbox: Open
) -> None:
    outbox = open_outbox()
    assert outbox.flush(5)
    outbox.patient(patient=True)
    for number in range(100):
        outbox.append([verdict(number)])
        outbox.acked([number + 1])
    assert outbox.depth == 0
    outbox.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
        assert db.execute("SELECT seq FROM counter").fetchall() == [(100,)]
    assert outbox.rows_written == 0


def test_what_the_broker_does_not_take_in_time_is_written(
    open_outbox: Open, wait_for: WaitFor
) -> None:
    outbox = open_outbox()
    outbox.patient(patient=True)
    outbox.append(verdict(number) for number in range(5))
    wait_for(lambda: outbox.rows_written == 5)
    outbox.acked([1, 2, 3])
    assert seqs(outbox) == [4, 5]
    assert outbox.depth == 2


def test_a_broker_that_goes_has_all_that_waits_for_it_written(
    open_outbox: Open, wait_for: WaitFor
) -> None:
    clock = Clock()  # stands still: nobody's patience ends
    outbox = open_outbox(**clock.options())
    assert outbox.flush(5)
    outbox.patient(patient=True)
    outbox.append([verdict(0)])
    outbox.acked([1])
    outbox.append([verdict(1)])
    assert seqs(outbox) == [2]
    assert outbox.rows_written == 0
    outbox.patient(patient=False)
    clock.mono += 1
    wait_for(lambda: outbox.rows_written == 1)
    assert seqs(outbox) == [2]


def test_a_verdict_that_is_refused_before_it_is_written_is_parked_all_the_same(
    open_outbox: Open, wait_for: WaitFor
) -> None:
    outbox = open_outbox()
    outbox.patient(patient=True)
    outbox.append([verdict(0), verdict(1)])
    outbox.parked(2, "not authorized")
    wait_for(lambda: outbox.parked_depth == 1)
    assert seqs(outbox) == [1]
    assert outbox.depth == 2


def test_a_verdict_comes_back_as_it_went_in(open_outbox: Open) -> None:
    before = open_outbox()
    whole = verdict(1, "fail", part_id="Teil 7 ü", reason="x", evidence="a/b.jpg", score=-1e-9)
    before.append([whole])
    before.close()
    rows = open_outbox()
    assert rows.flush(5)
    found = rows.pending(0, ALL, 1)
    assert found is not None
    assert found[0].verdict == whole


def test_seq_goes_on_after_a_restart_also_when_nothing_is_left(open_outbox: Open) -> None:
    first = open_outbox()
    fill(first, 5)
    first.acked(range(1, 6))
    first.close()
    second = open_outbox()
    fill(second, 2)
    assert second.depth == 2
    assert seqs(second) == [6, 7]


def test_acknowledged_rows_are_gone_and_the_rest_is_pending_in_order(open_outbox: Open) -> None:
    outbox = open_outbox()
    fill(outbox, 10)
    outbox.acked([2, 3, 9])
    assert seqs(outbox) == [1, 4, 5, 6, 7, 8, 10]
    assert outbox.depth == 7
    assert outbox.flush(5)
    assert outbox.depth == 7
    rows = outbox.pending(4, 8, 3)
    assert rows is not None
    assert [row.seq for row in rows] == [5, 6, 7]


def test_pending_looks_behind_rows_that_are_acknowledged_and_not_yet_deleted(
    open_outbox: Open,
) -> None:
    outbox = open_outbox()
    fill(outbox, 10)
    outbox.acked(range(1, 6))
    rows = outbox.pending(0, ALL, 3)
    assert rows is not None
    assert [row.seq for row in rows] == [6]


def test_a_refused_row_is_parked_until_it_is_offered_again(open_outbox: Open) -> None:
    outbox = open_outbox()
    fill(outbox, 3)
    outbox.parked(2, "not authorized")
    assert outbox.flush(5)
    assert seqs(outbox) == [1, 3]
    assert (outbox.parked_depth, outbox.depth) == (1, 3)
    outbox.unpark()
    assert outbox.flush(5)
    assert seqs(outbox) == [1, 2, 3]
    assert outbox.parked_depth == 0


def test_bytes_and_depth_are_counted_again_at_a_start(open_outbox: Open) -> None:
    first = open_outbox()
    fill(first, 50)
    first.acked([1, 2])
    first.parked(3, "no")
    assert first.flush(5)
    stand = (first.depth, first.bytes, first.parked_depth)
    first.close()
    second = open_outbox()
    assert second.flush(5)
    assert (second.depth, second.bytes, second.parked_depth) == stand
    assert stand[0] == 48


def test_a_full_outbox_gives_up_passes_before_fails_and_says_which(open_outbox: Open) -> None:
    outbox = open_outbox(max_bytes=100_000)
    outbox.append(verdict(n, "fail" if n % 10 == 0 else "pass") for n in range(400))
    assert outbox.flush(10)
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
    assert outbox.flush(10)
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
    assert second.flush(5)
    assert second.pending_gaps(0, 1000) == before
    second.gap_acked(before[0][0])
    assert second.flush(5)
    assert second.pending_gaps(0, 1000) == before[1:]


class Clock:
    """Two clocks that a test sets."""

    def __init__(self) -> None:
        self.utc = 1_700_000_000_000_000_000
        self.mono = 1000.0

    def options(self) -> dict[str, object]:
        return {"utc_ns": lambda: self.utc, "mono_s": lambda: self.mono}


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


# ---------------------------------------------------------------- death


APPENDER = """
import sys
from pathlib import Path
from edge_agent.delivery.outbox import Outbox
from tests.verdicts import verdict
outbox = Outbox(Path(sys.argv[1]), max_bytes=100_000_000, max_age_s=3600)
def say(kind, rows):
    sys.stdout.write("".join(f"{kind} {row.seq} {row.verdict.id}\\n" for row in rows))
    sys.stdout.flush()
outbox.start(on_live=lambda rows: say("told", rows))
outbox.flush(10)
outbox.patient(patient=True)
number = 0
while True:
    number += 1
    outbox.append([verdict(f"{sys.argv[2]}-{number}")])
    if number % 3 == 0:
        outbox.acked([outbox.last_seq])
    if number % 50 == 0:
        outbox.flush(10)
        say("kept", outbox.pending(0, 1 << 62, 1_000_000))
"""


def test_what_is_on_the_disk_survives_kills_and_no_number_comes_twice(
    tmp_path: Path, open_outbox: Open
) -> None:
    path = tmp_path / "outbox.db"
    rng = random.Random(7)
    told: dict[int, str] = {}
    kept: dict[int, str] = {}
    for run in range(6):
        lines = run_and_kill([str(path), str(run)], after_lines=rng.randrange(50, 900))
        for kind, seq, name in (line.split() for line in lines):
            if kind == "told":
                assert told.setdefault(int(seq), name) == name, "a seq came twice"
            else:
                kept[int(seq)] = name
    outbox = open_outbox()
    assert outbox.flush(10)
    rows = outbox.pending(0, ALL, 1_000_000)
    assert rows is not None
    there = {row.seq: row.verdict.id for row in rows}
    assert list(there) == sorted(there)
    assert kept
    assert kept.items() <= there.items()
    lost = {seq for seq, name in told.items() if int(name.split("-")[1]) % 3} - set(there)
    assert lost <= named(gaps(outbox))
    assert {(gap.reason, gap.exact) for gap in gaps(outbox)} == {("crash", False)}


def test_after_a_stop_in_order_numbers_go_on_without_a_hole(open_outbox: Open) -> None:
    first = open_outbox()
    first.patient(patient=True)
    first.append([verdict(0), verdict(1)])
    first.acked([1, 2])
    first.close()
    second = open_outbox()
    fill(second, 1)
    assert seqs(second) == [3]
    assert gaps(second) == []


def run_and_kill(arguments: list[str], *, after_lines: int) -> list[str]:
    """Run the appender, kill it, and return all that it told."""
    with subprocess.Popen(
        [sys.executable, "-c", APPENDER, *arguments], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        text = b""
        while text.count(b"\n") < after_lines:
            assert select.select([process.stdout], [], [], 20)[0], "it tells nothing"
            text += os.read(process.stdout.fileno(), 1 << 16)
        os.kill(process.pid, signal.SIGKILL)
        text += process.stdout.read()
    return text[: text.rindex(b"\n")].decode().splitlines()


def test_a_second_agent_waits_for_the_first_to_end(open_outbox: Open, wait_for: WaitFor) -> None:
    first = open_outbox()
    fill(first, 1)
    second = open_outbox()
    second.append([verdict(1)])
    wait_for(lambda: "locked" in second.detail)
    first.close()
    wait_for(lambda: not second.detail and second.depth == 2)
    assert seqs(second) == [1, 2]


# ---------------------------------------------------------------- a disk that refuses


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


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


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


def fill_disk(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


# ---------------------------------------------------------------- damage


def close_with(outbox: Outbox, count: int) -> None:
    fill(outbox, count)
    outbox.close()


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
    assert outbox.flush(10)
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
    assert outbox.flush(5)
    assert seqs(outbox) == [2, 3, 5]
    assert outbox.flush(5)
    assert [(gap.reason, gap.ranges) for gap in gaps(outbox)] == [("unreadable", ((1, 1), (4, 4)))]
    assert outbox.depth == 3


# ---------------------------------------------------------------- the pure parts


def named(records: list[Gap]) -> set[int]:
    return {seq for gap in records for first, last in gap.ranges for seq in range(first, last + 1)}


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
