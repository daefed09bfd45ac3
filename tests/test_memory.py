"""What a process took at its height goes back to the kernel, now and then."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.pictures import image
from edge_agent.processes.memory import FIRST_TIDY_S, NO_CACHES, TIDY_S, TUNABLES, Tidy
from tests.agents import AgentProcess, workers
from tests.faults.plant import camera

if TYPE_CHECKING:
    from tests.conftest import Mosquitto, WaitFor

# Every other block is freed: holes between what stays, which glibc alone never gives back.
HOLES = """
import ctypes, pathlib, time
from edge_agent.processes.memory import FIRST_TIDY_S, NO_CACHES, TIDY_S, TUNABLES, Tidy

def resident_mb():
    pages = pathlib.Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096 / 1e6

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
tidy = Tidy()
blocks = [libc.malloc(20_000) for _ in range(3000)]
for block in blocks:
    ctypes.memset(block, 1, 20_000)
for block in blocks[::2]:
    libc.free(block)
before_s = time.monotonic()
print(resident_mb())
for after_s in {after_s}:
    tidy.step(before_s + after_s)
    print(resident_mb())
"""

# Before glibc's own: leaves a file for each process that asks to give memory back.
NOTES_TRIMS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int malloc_trim(size_t pad) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%d", getenv("TRIMS_FOLDER"), getpid());
  int file = open(path, O_CREAT | O_WRONLY, 0600);
  if (file >= 0) close(file);
  return ((int (*)(size_t))dlsym(RTLD_NEXT, "malloc_trim"))(pad);
}
"""


def resident_mb(*after_s: float) -> list[float]:
    """Return what a process holds that made holes, and then after each step of its tidying."""
    code = HOLES.replace("{after_s}", repr(after_s))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(line) for line in run.stdout.split()]


def test_holes_between_what_stays_go_back_once_it_is_due() -> None:
    before, early, due = resident_mb(FIRST_TIDY_S / 2, FIRST_TIDY_S + 1)
    assert early == pytest.approx(before, abs=1)
    assert due < before - 15  # of the 30 MB in 20 kB holes, what are whole pages


def test_it_is_done_first_after_a_start_and_then_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[float] = []
    monkeypatch.setattr("edge_agent.processes.memory.time.monotonic", lambda: 100.0)
    tidy = Tidy()
    for mono_s in range(100, 300):
        monkeypatch.setattr(
            "edge_agent.processes.memory.give_back", lambda at_s=mono_s: done.append(at_s)
        )
        tidy.step(mono_s)
    first = 100 + FIRST_TIDY_S
    assert done == [first + number * TIDY_S for number in range(4)]


@pytest.fixture
def trims(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which each process that is started then leaves a file once it tidies."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc to compile what notes it")
    folder, library = tmp_path / "trims", tmp_path / "libnotes.so"
    folder.mkdir()
    gcc = ["gcc", "-Wall", "-Werror", "-shared", "-fPIC", "-x", "c", "-o", str(library), "-"]
    subprocess.run(gcc, input=NOTES_TRIMS, text=True, check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("TRIMS_FOLDER", str(folder))
    return folder


def test_agent_and_worker_do_so_while_they_run(
    tmp_path: Path, mosquitto: Mosquitto, trims: Path, wait_for: WaitFor
) -> None:
    agent = AgentProcess(tmp_path, mosquitto, {"camera": camera(tmp_path / "none", 5)})
    agent.start()
    try:
        worker = wait_for(lambda: workers(agent.pid).get("camera"))
        wait_for((trims / str(agent.pid)).exists)
        wait_for((trims / str(worker)).exists)
    finally:
        agent.end()


def memory_mb(pid: int, what: str) -> float:
    """Return what a process holds (`VmRSS`) or has held at most (`VmHWM`)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


def test_a_worker_gives_back_what_a_large_picture_took(
    tmp_path: Path, mosquitto: Mosquitto, wait_for: WaitFor
) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    height, width = 4000, 8000  # 92 MB
    picture = image.encode_jpeg(np.zeros((height, width, 3), np.uint8))
    (folder / "0.jpg").write_bytes(picture)
    agent = AgentProcess(tmp_path, mosquitto, {"camera": camera(folder, 5)})
    agent.start()
    try:
        worker = wait_for(lambda: workers(agent.pid).get("camera"))
        assert worker is not None
        wait_for(lambda: memory_mb(worker, "VmHWM") > 150)
        (folder / "0.jpg").unlink()  # no further picture
        # At the end of the first whole minute in which nobody needed it.
        wait_for(lambda: memory_mb(worker, "VmRSS") < memory_mb(worker, "VmHWM") - 80, 150)
    finally:
        agent.end()


@pytest.mark.parametrize("own", ["", "glibc.malloc.perturb=0"])
def test_the_agent_alone_has_no_caches_of_freed_memory(
    tmp_path: Path,
    mosquitto: Mosquitto,
    wait_for: WaitFor,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
) -> None:
    if own:
        monkeypatch.setenv(TUNABLES, own)
    agent = AgentProcess(tmp_path, mosquitto, {"camera": camera(tmp_path / "none", 5)})
    agent.start()
    try:
        worker = wait_for(lambda: workers(agent.pid).get("camera"))
        # As they were started; glibc ends each tunable there by a zero byte.
        of_agent, of_worker = (
            Path(f"/proc/{pid}/environ").read_text() for pid in (agent.pid, worker)
        )
        assert NO_CACHES in of_agent
        assert NO_CACHES not in of_worker
        assert own in of_agent
        assert own in of_worker
    finally:
        agent.end()
