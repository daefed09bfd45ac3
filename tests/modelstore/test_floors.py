from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import SyncError
from edge_agent.modelstore import floors
from edge_agent.modelstore.floors import FIRST_S, MAX_DARK_S, FloorFile, Floors

if TYPE_CHECKING:
    from pathlib import Path

DAY_S = 86_400.0
SEEN = Floors(time_s=FIRST_S + 100 * DAY_S)


@pytest.mark.parametrize(
    ("known", "clock_s", "believed_s"),
    [
        (Floors(), 0.0, FIRST_S),
        (Floors(), FIRST_S + 9000 * DAY_S, FIRST_S + 9000 * DAY_S),
        (SEEN, 0.0, SEEN.time_s),
        (SEEN, SEEN.time_s - 1, SEEN.time_s),
        (SEEN, SEEN.time_s + DAY_S, SEEN.time_s + DAY_S),
        (SEEN, SEEN.time_s + MAX_DARK_S, SEEN.time_s + MAX_DARK_S),
        (SEEN, SEEN.time_s + MAX_DARK_S + 1, SEEN.time_s),
    ],
)
def test_a_clock_is_believed_where_it_can_be_right(
    known: Floors, clock_s: float, believed_s: float
) -> None:
    assert floors.believed_time_s(clock_s, known) == believed_s


@given(st.floats(0, 1e10), st.lists(st.tuples(st.floats(0, 1e10), st.floats(0, 1e10)), max_size=9))
def test_the_time_floor_never_goes_back_and_never_past_a_clock_or_an_expiry(
    start_s: float, polls: list[tuple[float, float]]
) -> None:
    known = Floors(time_s=start_s)
    for clock_s, expires_s in polls:
        raised = floors.after_refresh(known, clock_s, expires_s)
        assert raised.time_s >= known.time_s
        assert raised.time_s <= max(known.time_s, min(clock_s, expires_s))
        known = raised


def test_an_online_key_may_allow_a_downgrade_down_to_what_the_makers_allow() -> None:
    known = floors.with_min_seq(floors.with_confirmed(Floors(), "wear", 9), "wear", 5)
    floors.admit(known, "wear", 9, allow_downgrade=False)
    with pytest.raises(SyncError, match="no downgrade"):
        floors.admit(known, "wear", 8, allow_downgrade=False)
    floors.admit(known, "wear", 5, allow_downgrade=True)
    with pytest.raises(SyncError, match="makers"):
        floors.admit(known, "wear", 4, allow_downgrade=True)
    floors.admit(known, "another", 0, allow_downgrade=False)


def test_a_lower_min_seq_lowers_nothing() -> None:
    known = floors.with_min_seq(floors.with_min_seq(Floors(), "wear", 5), "wear", 2)
    assert known.min_seqs == {"wear": 5}


def test_floors_survive_a_restart_and_a_damaged_file_is_not_taken_for_none(
    tmp_path: Path,
) -> None:
    file = FloorFile(tmp_path / "floor.json")
    assert file.read() == Floors()
    file.write(floors.with_epoch(SEEN, "f", 4))
    assert FloorFile(tmp_path / "floor.json").read().epochs == {"f": 4}
    (tmp_path / "floor.json").write_bytes(b'{"schema": 1')
    with pytest.raises(SyncError, match=r"floor\.json"):
        file.read()
