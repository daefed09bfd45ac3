"""Standard output that nobody reads any more, as in `edge-agent watch | head`."""

from __future__ import annotations

import os
import select
import sys


def nobody_reads() -> bool:
    """Say whether standard output is a pipe whose reader has gone; then write nowhere instead."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    # What is left unwritten is tried once more when Python ends, which would complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
