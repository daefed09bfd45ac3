"""What SQLite keeps of a backlog that is gone."""

from __future__ import annotations

import _sqlite3
import ctypes
from typing import TYPE_CHECKING

from tests.outbox.conftest import Open, fill

if TYPE_CHECKING:
    from tests.conftest import WaitFor

# Where SQLite is part of Python itself, its module is no file.
SQLITE = ctypes.CDLL(getattr(_sqlite3, "__file__", None))


def sqlite_kb() -> int:
    """Return what it holds (sqlite3_memory_used)."""
    used: int = SQLITE.sqlite3_memory_used()
    return used // 1000


def test_pages_of_a_backlog_are_let_go_with_its_last_row(
    open_outbox: Open, wait_for: WaitFor
) -> None:
    outbox = open_outbox()
    fill(outbox, 1)
    before = sqlite_kb()
    fill(outbox, 3000, first=1)
    outbox.pending(0, 3001, 3001)
    assert sqlite_kb() > before + 300
    outbox.acked(range(1, 3002))
    wait_for(lambda: outbox.depth == 0)
    wait_for(lambda: sqlite_kb() < before + 50)
