"""Threads that the system's tools (`top -H`, `ps -L`) show under their own names."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from edge_agent.libc import libc

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_NAME, NAME_BYTES = 15, 15  # prctl(2)


def thread(
    target: Callable[..., None], name: str, args: tuple[object, ...] = ()
) -> threading.Thread:
    """Return a thread that is not waited for at the end of the process; not started yet."""

    def run() -> None:
        show_name(name)
        target(*args)

    return threading.Thread(target=run, name=name, daemon=True)


def show_name(name: str) -> None:
    """Name the calling thread; of the main thread that is the process."""
    if hasattr(libc(), "prctl"):
        libc().prctl(PR_SET_NAME, name.encode()[:NAME_BYTES])
