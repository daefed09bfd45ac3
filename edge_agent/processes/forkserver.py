"""The process that workers are forked from, with numpy, OpenCV and LiteRT already imported."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver


def start() -> None:
    """Start it; returns at once, the imports go on beside the caller."""
    # Threads would not survive the fork, and each worker's share of cores is set by its config.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["edge_agent.processes.preload"]
    )
    forkserver.ensure_running()
