"""A signal stops the program whatever it is doing at that moment."""

from __future__ import annotations

import subprocess
import sys

# The main thread is inside of `wait` nearly all the time, as that of a live view is, and each
# signal comes at another moment of it. (An Event's lock is not for signal handlers: when they set
# it themselves, one in some ten thousand never returned.)
SIGNALS = """
import random, signal
from edge_agent.cli import stop_on_signals
rng = random.Random(1)
for _ in range(30_000):
    stopping = stop_on_signals()
    signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGTERM))
    signal.setitimer(signal.ITIMER_REAL, rng.uniform(5e-5, 2e-4))
    while not stopping.wait(1e-7):
        pass
"""


def test_a_signal_that_comes_in_the_middle_of_a_wait_stops_the_program() -> None:
    done = subprocess.run([sys.executable, "-c", SIGNALS], timeout=250, check=False)
    assert done.returncode == 0
