"""Processor, memory and clock."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import edge_agent
from edge_agent.commands.doctor_findings import Finding
from edge_agent.libc import libc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.commands.doctor_findings import Gateway

# What 8-bit models are fast with, as /proc/cpuinfo names it, best first: x86 and 64-bit Arm.
FAST_INT8 = ("amx_int8", "avx512_vnni", "avx_vnni", "avx2", "i8mm", "asimddp")
# Measured: agent and fork server, and what each worker adds (docs/performance.md).
BASE_MB, WORKER_MB, CAMERA_MB = 130, 30, 70
# adjtimex(2): the state of a clock that nobody keeps right.
TIME_ERROR = 5
TIMEX_BYTES = 256
DAY_S = 86_400


def check_cpu(gateway: Gateway) -> Iterator[Finding]:
    """Cores against the threads that the config asks for; instructions for 8-bit models."""
    cores = len(os.sched_getaffinity(0))
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError as error:
        advice = "int8 inference gets 33 times slower; never set ProcSubset=pid in the unit"
        yield Finding("fail", "cpu", f"the runtimes cannot see what it can do: {error}", advice)
        return
    words = set(text.split())
    fast = next((name for name in FAST_INT8 if name in words), "")
    if fast:
        yield Finding("ok", "cpu", f"{cores} cores, {fast} for 8-bit models")
    else:
        advice = "measure with `edge-agent bench`; prefer small models"
        yield Finding("warn", "cpu", f"{cores} cores, nothing that speeds up 8-bit models", advice)
    pipelines = gateway.config.pipelines.values() if gateway.config else ()
    threads = sum(pipeline.threads for pipeline in pipelines)
    if threads > cores:
        text = f"{len(pipelines)} pipelines with {threads} model threads on {cores} cores"
        yield Finding("warn", "cpu", text, "lower `threads`, or measure with `edge-agent bench`")


def check_memory(gateway: Gateway) -> Iterator[Finding]:
    """Free memory against what the pipelines usually take."""
    fields = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line
    )
    free_mb, total_mb = (int(fields[f].split()[0]) >> 10 for f in ("MemAvailable", "MemTotal"))
    pipelines = gateway.config.pipelines.values() if gateway.config else ()
    wanted_mb = BASE_MB + sum(
        WORKER_MB + CAMERA_MB * (pipeline.source.kind == "camera") for pipeline in pipelines
    )
    text = f"{free_mb} MB of {total_mb} MB free; the agent takes some {wanted_mb} MB"
    if free_mb < wanted_mb:
        yield Finding("warn", "memory", text, "unless it runs already: fewer or smaller pipelines")
    else:
        yield Finding("ok", "memory", text)


def check_clock(_: Gateway) -> Iterator[Finding]:
    """Whether the clock is set and kept right: verdicts carry its time."""
    installed_s = Path(edge_agent.__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    advice = "let systemd-timesyncd or chrony keep the clock: `timedatectl status`"
    if time.time() < installed_s - DAY_S:
        yield Finding("fail", "clock", f"{now} lies before this agent was made", advice)
        return
    state = _clock_state()
    if state == TIME_ERROR:
        yield Finding("warn", "clock", f"{now}; nobody keeps it right", advice)
    elif state < 0:
        yield Finding("warn", "clock", f"{now}; this user may not ask whether it is kept right")
    else:
        yield Finding("ok", "clock", f"{now}, kept right")


def _clock_state() -> int:
    """Return what adjtimex(2) says of the clock, which it is not asked to change; -1: refused."""
    nothing_to_change = ctypes.create_string_buffer(TIMEX_BYTES)
    return int(libc().adjtimex(nothing_to_change))
