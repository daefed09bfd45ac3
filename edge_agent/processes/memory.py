"""Settings of glibc's memory, of which the defaults cost half of the speed, and hours of growth."""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import TYPE_CHECKING

from edge_agent.libc import libc

if TYPE_CHECKING:
    from collections.abc import Callable

# glibc's names for mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
# For ld.so and glibc (Tunables in glibc's manual).
TUNABLES, NO_CACHES = "GLIBC_TUNABLES", "glibc.malloc.tcache_count=0"
# When what is free goes back to the kernel: after a start, what loading took; then now and again.
FIRST_TIDY_S, TIDY_S = 5.0, 60.0


def without_caches() -> None:
    """Become a process in which glibc keeps no freed blocks for each thread; return in that one.

    It keeps up to seven of each of 64 sizes and calls them used. Where many threads free what
    others took, these fill up for hours (ADR 21). Only the environment of a program that begins
    can say so; it does not reach the workers.
    """
    if not hasattr(libc(), "gnu_get_libc_version"):  # musl has no such caches
        return
    said = [each for each in os.environ.pop(TUNABLES, "").split(":") if each]
    others = ":".join(each for each in said if each != NO_CACHES)
    if others:
        os.environ[TUNABLES] = others
    if NO_CACHES not in said:
        os.environ[TUNABLES] = ":".join([*said, NO_CACHES])
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  ourselves


def one_heap() -> None:
    """Have all threads of this process share one heap.

    What comes is taken in one thread and freed in another. With a heap for each thread, which is
    the default, all of them grow for hours until each has room for what others free.
    """
    _set(M_ARENA_MAX, 1)


def return_memory() -> None:
    """Have what is large go back to the kernel when it is freed: for a process that works on none.

    By default glibc learns from the first large message that it should keep such room on the heap
    from then on, between what stays: each larger one makes the process grow.
    """
    _set(M_MMAP_THRESHOLD, 128 << 10)


def give_back() -> None:
    """Give the kernel what is free between what stays, as is left when a great many have gone."""
    if hasattr(libc(), "malloc_trim"):  # musl has none
        libc().malloc_trim(0)


class Tidy:
    """Gives back now and again what a backlog, a flood or a camera's trouble took at its height.

    Left alone it stays for good: glibc gives back only what is free at the end of its heap.
    `let_go`: have others do so with what they keep beside it.
    """

    def __init__(self, *let_go: Callable[[], None]) -> None:
        self._let_go = let_go
        self._due_s = time.monotonic() + FIRST_TIDY_S

    def step(self, mono_s: float) -> None:
        """Do so when it is due (s, monotonic)."""
        if mono_s >= self._due_s:
            for each in self._let_go:
                each()
            give_back()
            self._due_s = mono_s + TIDY_S


def keep_memory() -> None:
    """Have glibc keep what one item took for the next one, and OpenCV use one thread."""
    # By default the memory of each model's input goes back to the kernel and is faulted in again.
    _set(M_TRIM_THRESHOLD, 256 << 20)
    # What is larger does, at once: between what is small it would leave gaps. Faulting in costs
    # little beside what is done with as much; for pictures, where it would not, see buffers.py.
    _set(M_MMAP_THRESHOLD, 256 << 10)
    # Cores are shared out among workers by the config; OpenCV's own pool would ignore that.
    importlib.import_module("cv2").setNumThreads(1)


def _set(option: int, value: int) -> None:
    if hasattr(libc(), "mallopt"):  # musl has none
        libc().mallopt(option, value)
