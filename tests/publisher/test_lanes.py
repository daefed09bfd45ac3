"""Which row goes next: live ones and a backlog."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from edge_agent.delivery.lanes import FETCH_ROWS, LIVE_MOST, SHORT_BACKLOG, Lanes
from tests.publisher.conftest import rows

if TYPE_CHECKING:
    from edge_agent.delivery.outbox_types import Row


def stored(kept: list[Row]) -> Lanes:
    def fetch(after_seq: int, up_to: int, limit: int) -> list[Row]:
        return [row for row in kept if after_seq < row.seq <= up_to][:limit]

    return Lanes(fetch)


def take_all(lanes: Lanes, *, backlog_allowed: bool = True) -> list[tuple[int, bool]]:
    taken = iter(lambda: lanes.next(backlog_allowed=backlog_allowed), None)
    return [(one.row.seq, one.replay) for one in taken if one]


def test_a_short_backlog_goes_first_so_that_the_order_is_whole() -> None:
    lanes = stored(rows(1, 2, 3))
    lanes.begin(last_seq=3, depth=3)
    lanes.live(rows(4, 5))
    assert take_all(lanes) == [(1, True), (2, True), (3, True), (4, False), (5, False)]
    assert lanes.empty()


def test_a_long_backlog_waits_for_live_rows_and_for_its_share_of_the_window() -> None:
    kept = rows(*range(1, 301))
    lanes = stored(kept)
    lanes.begin(last_seq=300, depth=SHORT_BACKLOG + 200)
    lanes.live(rows(301, 302))
    assert take_all(lanes, backlog_allowed=False) == [(301, False), (302, False)]
    assert not lanes.empty()
    assert take_all(lanes) == [(number, True) for number in range(1, 301)]


def test_a_row_that_is_backlog_already_is_not_live_too() -> None:
    lanes = stored(rows(1, 2, 3))
    lanes.begin(last_seq=3, depth=3)
    lanes.live(rows(2, 3, 4))
    assert [seq for seq, _ in take_all(lanes)] == [1, 2, 3, 4]


def test_too_many_live_rows_become_backlog_and_none_is_skipped() -> None:
    kept = rows(*range(1, LIVE_MOST + 12))
    lanes = stored(kept)
    lanes.begin(last_seq=0, depth=0)
    lanes.live(kept[:5])
    assert [seq for seq, _ in itertools.islice(take_all(lanes), 5)] == [1, 2, 3, 4, 5]
    lanes.live(kept[5 : LIVE_MOST + 10])
    lanes.live(kept[LIVE_MOST + 10 :])
    taken = take_all(lanes)
    assert sorted(seq for seq, _ in taken) == list(range(6, LIVE_MOST + 12))
    assert [seq for seq, replay in taken if replay] == list(range(6, LIVE_MOST + 11))


def test_a_disk_that_cannot_say_is_asked_again() -> None:
    answers: list[list[Row] | None] = [None, rows(1), []]
    lanes = Lanes(lambda *_: answers.pop(0))
    lanes.begin(last_seq=FETCH_ROWS, depth=1)
    assert lanes.next(backlog_allowed=True) is None
    assert not lanes.empty()
    assert take_all(lanes) == [(1, True)]
    assert lanes.empty()
