"""One agent for each state folder."""

from __future__ import annotations

import fcntl
from typing import IO, TYPE_CHECKING

from edge_agent.errors import EdgeAgentError

if TYPE_CHECKING:
    from pathlib import Path


def only_agent_of(state_folder: Path) -> IO[bytes]:
    """Return an open file that is locked for as long as this process lives.

    Raises EdgeAgentError where another agent holds it: two would send each other's verdicts.
    """
    state_folder.mkdir(parents=True, exist_ok=True)
    file = state_folder / "lock"
    try:
        lock: IO[bytes] = file.open("ab")
    except OSError:
        # A disk that became read-only must not keep the agent from inspecting.
        lock = file.open("rb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise EdgeAgentError(
            f"another edge-agent runs with the state folder {state_folder}; --state names another"
        ) from None
    return lock
