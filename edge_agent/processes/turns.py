"""How the kernel shares out the processor to the threads of agent and workers."""

from __future__ import annotations

import contextlib
import os


def finish_turns() -> None:
    """Have a thread that wakes up not take the core from one that inspects.

    Each picture that arrives wakes the network's thread of a worker, each verdict the agent. By
    default they may then stop the thread that decodes another picture: nothing is won, and caches
    are cold afterwards. SCHED_BATCH (sched(7)) gives up that right. An idle core is taken as fast
    as before. For the calling thread and all that it starts.
    """
    # Sandboxes forbid the call, Python for other systems lacks it; then the unit's file says it.
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
