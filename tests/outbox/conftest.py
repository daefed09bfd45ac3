"""Outboxes on folders of the test's own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest

from edge_agent.delivery.outbox import Outbox
from tests.verdicts import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edge_agent.delivery.gaps import Gap


Open: TypeAlias = "Callable[..., Outbox]"


PLENTY = 100_000_000


ALL = 1 << 62


@pytest.fixture
def open_outbox(tmp_path: Path) -> Iterator[Open]:
    """Start outboxes; each is closed at the end of the test."""
    opened: list[Outbox] = []

    def start(folder: Path = tmp_path, told: list[int] | None = None, **rest: object) -> Outbox:
        options = {"max_bytes": PLENTY, "max_age_s": 3600.0} | rest
        outbox = Outbox(folder / "outbox.db", **options)  # type: ignore[arg-type]
        opened.append(outbox)
        if told is None:
            outbox.start()
        else:
            outbox.start(on_live=lambda rows: told.extend(row.seq for row in rows))
        return outbox

    yield start
    for outbox in opened:
        outbox.close()


def seqs(outbox: Outbox) -> list[int]:
    rows = outbox.pending(0, ALL, 100_000)
    assert rows is not None
    return [row.seq for row in rows]


def gaps(outbox: Outbox) -> list[Gap]:
    return [gap for _, gap in outbox.pending_gaps(0, 1000)]


def fill(outbox: Outbox, count: int, first: int = 0) -> None:
    outbox.append(verdict(number) for number in range(first, first + count))
    assert outbox.flush(60)


class Clock:
    """Two clocks that a test sets."""

    def __init__(self) -> None:
        self.utc = 1_700_000_000_000_000_000
        self.mono = 1000.0

    def options(self) -> dict[str, object]:
        return {"utc_ns": lambda: self.utc, "mono_s": lambda: self.mono}


APPENDER = """
import sys
from pathlib import Path
from edge_agent.delivery.outbox import Outbox
from tests.verdicts import verdict
outbox = Outbox(Path(sys.argv[1]), max_bytes=100_000_000, max_age_s=3600)
def say(kind, rows):
    sys.stdout.write("".join(f"{kind} {row.seq} {row.verdict.id}\\n" for row in rows))
    sys.stdout.flush()
outbox.start(on_live=lambda rows: say("told", rows))
outbox.flush(60)
outbox.patient(patient=True)
number = 0
while True:
    number += 1
    outbox.append([verdict(f"{sys.argv[2]}-{number}")])
    if number % 3 == 0:
        outbox.acked([outbox.last_seq])
    if number % 50 == 0:
        outbox.flush(60)
        say("kept", outbox.pending(0, 1 << 62, 1_000_000))
"""


def run_and_kill(arguments: list[str], *, after_lines: int) -> list[str]:
    """Run the appender, kill it, and return all that it told."""
    with subprocess.Popen(
        [sys.executable, "-c", APPENDER, *arguments], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        text = b""
        while text.count(b"\n") < after_lines:
            assert select.select([process.stdout], [], [], 60)[0], "it tells nothing"
            text += os.read(process.stdout.fileno(), 1 << 16)
        os.kill(process.pid, signal.SIGKILL)
        text += process.stdout.read()
    return text[: text.rindex(b"\n")].decode().splitlines()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", str(folder)], check=True)


def fill_disk(path: Path) -> None:
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))


def close_with(outbox: Outbox, count: int) -> None:
    fill(outbox, count)
    outbox.close()


def named(records: list[Gap]) -> set[int]:
    return {seq for gap in records for first, last in gap.ranges for seq in range(first, last + 1)}
