"""A part is known until as many others have come as there is room for, in memory of one size."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_agent.production.line import LineState
from edge_agent.production.recent_parts import OUTCOMES, RECENT_PARTS, RecentParts

if TYPE_CHECKING:
    from edge_agent.types import Outcome


def read(parts: RecentParts) -> RecentParts:
    return msgspec.json.decode(msgspec.json.encode(parts), type=RecentParts)


def test_a_part_is_known_until_there_were_so_many_others() -> None:
    parts = RecentParts()
    assert parts.put("first", "fail") is None
    for number in range(RECENT_PARTS - 1):
        assert parts.put(f"P{number}", "pass") is None
    assert parts.put("first", "uncertain") == "fail"
    assert parts.put("first", "uncertain") == "uncertain"
    assert parts.put("one more", "pass") is None
    assert parts.put("first", "pass") is None
    assert parts.put("P0", "pass") is None, "the next oldest made room for it"


def test_it_answers_as_a_dict_of_the_same_parts_does_also_when_read_from_disk() -> None:
    draw = random.Random(3)
    parts, known = RecentParts(), dict[str, "Outcome"]()
    for step in range(6 * RECENT_PARTS):
        name, outcome = f"P{draw.randrange(2 * RECENT_PARTS)}", draw.choice(OUTCOMES)
        assert parts.put(name, outcome) == known.get(name)
        known[name] = outcome
        if len(known) > RECENT_PARTS:
            del known[next(iter(known))]
        if step % 7777 == 0:
            parts = read(parts)


def test_what_is_kept_has_one_size_from_the_start() -> None:
    parts = RecentParts()
    empty = len(msgspec.json.encode(parts))
    for number in range(RECENT_PARTS):
        parts.put(f"plate-{number}", "pass")
    digits = len(str(RECENT_PARTS)) - len("0")
    assert len(msgspec.json.encode(parts)) == empty + digits


@pytest.mark.parametrize(
    "change",
    [
        {"keys": bytearray(7)},
        {"outcomes": bytearray(RECENT_PARTS - 1)},
        {"outcomes": bytearray([len(OUTCOMES)] * RECENT_PARTS)},
        {"count": -1},
    ],
)
def test_a_list_that_was_not_written_so_is_refused(change: dict[str, object]) -> None:
    written = msgspec.json.decode(msgspec.json.encode(RecentParts()))
    text = msgspec.json.encode(written | change)
    with pytest.raises(msgspec.ValidationError, match="no list of recent parts"):
        msgspec.json.decode(text, type=RecentParts)


def test_figures_of_an_agent_that_kept_parts_in_another_way_go_on() -> None:
    tally = {"outcomes": {"pass": 3}, "recent": {"00ff00ff00ff": "pass"}}
    shift = {"start_ns": 1, "from_ns": 1, "tally": tally, "downtime": {"since_ns": 1}}
    state = msgspec.json.decode(msgspec.json.encode({"shift": shift}), type=LineState)
    assert state.shift is not None
    assert state.shift.tally.parts == 3
