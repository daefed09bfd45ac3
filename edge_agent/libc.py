"""The C library of this process, for what Python has no call for."""

from __future__ import annotations

import ctypes
import functools


@functools.cache  # each CDLL makes a class, which stays until the collector looks for cycles
def libc() -> ctypes.CDLL:
    """Return it. Not every C library has every function: ask for it with `hasattr`."""
    return ctypes.CDLL(None)
