"""A pipeline that loads: because it was told to begin anew, or because its worker died."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from edge_agent.reporting.board import Board
from edge_agent.reporting.topics import topics
from tests.alerts import Told
from tests.test_config import good, parse
from tests.test_figures import report

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def board(tmp_path: Path) -> Board:
    config = parse(good() | {"pipelines": {"camera": good()["pipelines"]["camera-1"]}})
    return Board(
        config, topics(config.device), lambda _topic, _text: None, 1, Told(tmp_path).alerts
    )


def enter(board: Board, *states: str) -> list[bool]:
    """Return after each state whether what fails then was asked for."""
    found = []
    for state in states:
        board.report(msgspec.structs.replace(report(1, []), state=state))
        (view,) = board.views()
        found.append(view.begins_anew)
    return found


def test_what_loads_after_a_stop_begins_anew_until_it_runs(board: Board) -> None:
    assert enter(board, "running", "stopped", "loading", "loading", "running", "loading") == [
        *(False, True, True, True),
        *(False, False),
    ]


def test_what_loads_after_the_death_of_its_worker_was_not_told_to(board: Board) -> None:
    enter(board, "stopped", "loading")
    board.worker_lost("camera", "killed by SIGSEGV")
    assert enter(board, "loading") == [False]
