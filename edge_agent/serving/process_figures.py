"""What the system says of a process: proc(5)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Fields of proc_pid_stat(5), counted from the state, the first after the name: the name may hold
# blanks and brackets.
UTIME, STIME, THREADS = 11, 12, 17


@dataclass(frozen=True, slots=True)
class ProcessFigures:
    """Memory as the system counts it: pages that processes share count in each."""

    resident_bytes: int
    descriptors: int
    threads: int
    cpu_s: float


def process_figures(pid: int, proc: Path = Path("/proc")) -> ProcessFigures | None:
    """Return the figures of a process; None when it is gone, or none of ours."""
    folder = proc / str(pid)
    try:
        resident = int((folder / "statm").read_text().split()[1]) * PAGE_BYTES
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        descriptors = len(os.listdir(folder / "fd"))  # noqa: PTH208  only how many there are
    except (OSError, IndexError, ValueError):
        return None
    cpu_s = (int(fields[UTIME]) + int(fields[STIME])) / TICKS_PER_S
    return ProcessFigures(resident, descriptors, int(fields[THREADS]), cpu_s)
