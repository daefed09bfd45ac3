"""An outbox whose process is killed, and one that two agents want."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.verdicts import verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WaitFor

from tests.outbox.conftest import ALL, Open, fill, gaps, named, run_and_kill, seqs


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
    assert outbox.flush(60)
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


def test_a_second_agent_waits_for_the_first_to_end(open_outbox: Open, wait_for: WaitFor) -> None:
    first = open_outbox()
    fill(first, 1)
    second = open_outbox()
    second.append([verdict(1)])
    wait_for(lambda: "locked" in second.detail)
    first.close()
    wait_for(lambda: not second.detail and second.depth == 2)
    assert seqs(second) == [1, 2]
