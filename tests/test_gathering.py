"""When verdicts may wait for each other."""

from __future__ import annotations

import pytest

from edge_agent.processes.gathering import Gathering


def after(gathering: Gathering, per_s: int, began_s: float = 100.0) -> bool:
    for number in range(per_s):
        gathering.came()
        gathering.look(began_s + number / per_s)
    return gathering.pays


@pytest.mark.parametrize(("per_s", "pays"), [(20, False), (140, False), (160, True), (1000, True)])
def test_it_pays_where_messages_come_fast(per_s: int, *, pays: bool) -> None:
    assert after(Gathering(), per_s) == pays


def test_the_first_look_after_a_pause_ends_it() -> None:
    gathering = Gathering()
    assert after(gathering, 1000)
    gathering.came()
    gathering.look(105.0)
    assert not gathering.pays


def test_what_was_taken_together_counts_for_the_time_it_came_in() -> None:
    gathering = Gathering()
    for number in range(20):
        for _ in range(20):
            gathering.came()
        gathering.look(100 + number / 8)
        assert gathering.pays or number == 0
