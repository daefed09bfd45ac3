"""Settings of a process that works on pictures, of which the defaults cost half of its speed."""

from __future__ import annotations

import ctypes
import importlib

# glibc's names for mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8


def keep_memory() -> None:
    """Have glibc keep the memory of a picture for the next one, and OpenCV use one thread."""
    # By default each picture's memory goes back to the kernel and is faulted in again: decoding
    # takes more than twice as long.
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(M_TRIM_THRESHOLD, 256 << 20)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        # A picture is taken in one thread and freed in another. With a heap for each thread, which
        # is the default, all of them grow for hours until each has room for what others free.
        libc.mallopt(M_ARENA_MAX, 1)
    # Cores are shared out among workers by the config; OpenCV's own pool would ignore that.
    importlib.import_module("cv2").setNumThreads(1)
