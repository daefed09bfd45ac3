"""The disk that state lies on: rights, room, and how long a commit takes."""

from __future__ import annotations

import os
import tempfile
import time
from statistics import median
from typing import TYPE_CHECKING

from edge_agent.commands.doctor_findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.commands.doctor_findings import Gateway
    from edge_agent.config import Config

BLOCK_BYTES = 1 << 20
BLOCKS = 8
SYNCS = 20
# A verdict is on its way only once it is on the disk: a trigger with a deadline feels this.
SLOW_SYNC_MS = 50.0
FEW_INODES = 1000


def check_disk(gateway: Gateway) -> Iterator[Finding]:
    """Write into the state folder, and compare its room with what the config allows."""
    folder = _existing(gateway.state)
    try:
        rate_mb_s, sync_ms = _speed(folder)
    except OSError as error:
        advice = f"run this as {gateway.user} or root; is the disk full or mounted read-only?"
        yield Finding("fail", "disk", f"{folder} cannot be written to: {error.strerror}", advice)
        return
    text = f"{folder}: {rate_mb_s:.0f} MB/s, a commit takes {sync_ms:.1f} ms"
    if sync_ms > SLOW_SYNC_MS:
        advice = "verdicts are late by that much: a better card or disk, an SSD at best"
        yield Finding("warn", "disk", text, advice)
    else:
        yield Finding("ok", "disk", text)
    if gateway.config is not None:
        yield from _room(folder, gateway, _limits_mb(gateway.config))


def _room(folder: Path, gateway: Gateway, wanted_mb: float) -> Iterator[Finding]:
    disk = os.statvfs(folder)
    free_mb = disk.f_bavail * disk.f_frsize / 1e6
    taken_mb = sum(f.stat().st_size for f in gateway.state.rglob("*") if f.is_file()) / 1e6
    text = f"{free_mb:.0f} MB free; outbox and evidence may grow to {wanted_mb:.0f} MB"
    if free_mb + taken_mb < wanted_mb:
        advice = "lower outbox.max_mb and evidence.max_mb, or make room: the oldest is given up"
        yield Finding("warn", "disk", text, advice)
    else:
        yield Finding("ok", "disk", text)
    if disk.f_files and disk.f_favail < FEW_INODES:
        advice = "delete small files: `df -i` tells where they are"
        yield Finding("warn", "disk", f"room for {disk.f_favail} more files", advice)


def _speed(folder: Path) -> tuple[float, float]:
    """Return MB/s of large writes, and the median ms of a small one, both with fsync."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        began_s = time.monotonic()
        for _ in range(BLOCKS):
            file.write(os.urandom(BLOCK_BYTES))
        os.fsync(file.fileno())
        rate_mb_s = BLOCKS * BLOCK_BYTES / 1e6 / (time.monotonic() - began_s)
        times_ms = []
        for _ in range(SYNCS):
            began_s = time.monotonic()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            times_ms.append((time.monotonic() - began_s) * 1e3)
    return rate_mb_s, median(times_ms)


def _limits_mb(config: Config) -> float:
    return config.outbox.max_mb + sum(
        pipeline.evidence.max_mb for pipeline in config.pipelines.values() if pipeline.evidence.keep
    )


def _existing(folder: Path) -> Path:
    """Return the folder, or the first above it that is there: the agent makes the rest."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
