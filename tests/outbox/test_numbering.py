"""The outbox: what the broker does not take is kept, in order, by number."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from edge_agent.delivery.outbox import Outbox
from edge_agent.delivery.seq_floor import BLOCK
from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.delivery.outbox_types import Row
    from tests.conftest import WaitFor

from tests.outbox.conftest import ALL, PLENTY, Clock, Open, fill, seqs


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
    assert outbox.flush(60)
    outbox.close()
    assert [(row.seq, row.verdict.id) for row in told] == [
        (number + 1, str(number)) for number in range(len(told))
    ]
    assert len(told) >= 3 * BLOCK


def test_what_the_broker_takes_in_time_never_touches_the_disk(
    tmp_path: Path, open_outbox: Open
) -> None:
    outbox = open_outbox(**Clock().options())  # stands still: nobody's patience ends
    assert outbox.flush(60)
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
    assert outbox.flush(60)
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
    assert rows.flush(60)
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
    assert outbox.flush(60)
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
    assert outbox.flush(60)
    assert seqs(outbox) == [1, 3]
    assert (outbox.parked_depth, outbox.depth) == (1, 3)
    outbox.unpark()
    assert outbox.flush(60)
    assert seqs(outbox) == [1, 2, 3]
    assert outbox.parked_depth == 0


def test_bytes_and_depth_are_counted_again_at_a_start(open_outbox: Open) -> None:
    first = open_outbox()
    fill(first, 50)
    first.acked([1, 2])
    first.parked(3, "no")
    assert first.flush(60)
    stand = (first.depth, first.bytes, first.parked_depth)
    first.close()
    second = open_outbox()
    assert second.flush(60)
    assert (second.depth, second.bytes, second.parked_depth) == stand
    assert stand[0] == 48
