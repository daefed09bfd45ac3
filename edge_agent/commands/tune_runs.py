"""Settings of a bundle against the present one: a child each, in rounds that take turns.

Whatever else the machine does then meets both. A child that fails, hangs, crashes or answers
wrongly costs its own row.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from edge_agent.commands.tune_child import Answer, Failure, Ready, Round
from edge_agent.errors import EdgeAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge_agent.inference.accelerator import AcceleratorOptions

CHILD = (sys.executable, "-m", "edge_agent.commands.tune_child")
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured; `batch`: items in one run."""

    accelerator: AcceleratorOptions
    threads: int = 1
    batch: int = 1


@dataclass(frozen=True, slots=True)
class Measured:
    """What a setting did: run times in ms, items a second, CPU time in ms for an item.

    `against`: how many times as fast as the present setting it takes an item: by the median runs
    of two rounds that follow each other, the median of those. What runs beside, on a machine that
    is not quiet, cuts into few of the runs, and for long.
    """

    effective: str
    share: float | None
    p50_ms: float
    p95_ms: float
    rate_hz: float
    cpu_ms: float
    against: float


@dataclass(frozen=True, slots=True)
class Bench:
    """How to measure: the bundle, seconds for all rounds of a setting, and when it is hung."""

    bundle: Path
    seconds: float
    load_s: float
    run_s: float
    child: Sequence[str]

    def open(self, setting: Setting) -> Candidate:
        """Return the setting, in a child that begins to load it."""
        accelerator = setting.accelerator.model_dump_json()
        order = (str(self.bundle), str(setting.threads), str(setting.batch), accelerator)
        return Candidate(self, (*self.child, *order), setting)


class Refused(EdgeAgentError):
    """A setting does not run: the row says why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.detail}")
        self.failure = failure


class Candidate:
    """One setting, in a child of its own."""

    def __init__(self, bench: Bench, command: Sequence[str], setting: Setting) -> None:
        self.setting = setting
        self._bench = bench
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        self._unread = b""
        self._ready: Ready | None = None
        self._child = subprocess.Popen(  # noqa: S603  our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            bufsize=0,
            start_new_session=True,  # what it starts ends with it
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout, self._said):
            if pipe is not None:
                pipe.close()

    def ready(self) -> Ready:
        """Return once it is loaded and answered its golden samples. Raises Refused."""
        if self._ready is None:
            answer = self._answer(self._bench.load_s, "loading")
            if not isinstance(answer, Ready):
                raise Refused(_failure(answer))
            self._ready = answer
        return self._ready

    def round(self, seconds: float) -> Round:
        """Run it for `seconds`. Raises Refused."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it said comes below
            assert self._child.stdin is not None  # noqa: S101  for mypy
            self._child.stdin.write(f"{seconds}\n".encode())
        answer = self._answer(seconds + self._bench.run_s, "running")
        if isinstance(answer, Round):
            return answer
        raise Refused(_failure(answer))

    def cpu_s(self) -> float:
        """Return the CPU time that it has taken so far, with all processes that it started."""
        found = 0
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                # proc(5): behind the name, which may hold anything, fields 3 and following.
                fields = entry.read_text().rpartition(")")[2].split()
                if int(fields[6 - 3]) == self._child.pid:  # its session
                    found += int(fields[14 - 3]) + int(fields[15 - 3])
        return found / os.sysconf("SC_CLK_TCK")

    def _answer(self, limit_s: float, doing: str) -> Answer:
        assert self._child.stdout is not None  # noqa: S101  for mypy
        until_s = time.monotonic() + limit_s
        while b"\n" not in self._unread:
            left_s = max(0.0, until_s - time.monotonic())
            if not select.select([self._child.stdout], [], [], left_s)[0]:
                return Failure("hung", f"no answer after {limit_s:g} s, while {doing}")
            read = os.read(self._child.stdout.fileno(), 1 << 16)
            if not read:
                return Failure("crashed", self._ending(doing))
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        answer: Answer = msgspec.json.decode(line, type=Answer)
        return answer

    def _ending(self, doing: str) -> str:
        status = self._child.wait()
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        last = f" ({lines[-1][:200]})" if lines else ""
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return f"ended with {how} while {doing}{last}"


def measure(bench: Bench, candidate: Candidate, present: Candidate | None) -> Measured:
    """Time a candidate that is ready against the present setting, or itself alone.

    Raises Refused where the candidate does not run, EdgeAgentError where the present one stops.
    """
    ready = candidate.ready()
    length_s = bench.seconds / ROUNDS
    own: list[Round] = []
    ratios: list[float] = []
    cpu_s = candidate.cpu_s()  # while the other one runs, it waits
    for _ in range(ROUNDS):
        beside = _beside(present, length_s) if present else None
        own.append(candidate.round(length_s))
        if beside:
            taken_ms = statistics.median(own[-1].times_ms) / candidate.setting.batch
            ratios.append(statistics.median(beside.times_ms) / taken_ms)
    times_ms = sorted(time_ms for each in own for time_ms in each.times_ms)
    items = len(times_ms) * candidate.setting.batch
    return Measured(
        effective=ready.effective,
        share=ready.share,
        p50_ms=times_ms[len(times_ms) // 2],
        p95_ms=times_ms[int(0.95 * len(times_ms))],
        rate_hz=1e3 * items / sum(times_ms),
        cpu_ms=1e3 * (candidate.cpu_s() - cpu_s) / items,
        against=statistics.median(ratios) if ratios else 1.0,
    )


def _beside(present: Candidate, seconds: float) -> Round:
    try:
        return present.round(seconds)
    except Refused as refused:
        text = f"the present setting ran, and does not any more: {refused}"
        raise EdgeAgentError(text) from None


def _failure(answer: Answer) -> Failure:
    return answer if isinstance(answer, Failure) else Failure("crashed", "it spoke out of turn")
