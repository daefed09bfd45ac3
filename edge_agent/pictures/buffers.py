"""Memory of large pictures, used again: neither faulted in for each of them, nor on the heap.

On the heap a picture's place is taken by whatever small comes while it is free. The next picture
then needs another place, and a process that holds three pictures takes as much as four or five,
now and then, for minutes.
"""

from __future__ import annotations

import mmap
import threading
import weakref
from collections import deque
from typing import TYPE_CHECKING

from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

# Below, the heap is faster, and what it wastes is little.
LARGE_BYTES = 128 << 10


class Buffers:
    """Hands out arrays, and takes back their memory once nothing shows it any more.

    There are never more than were in use at the same time. Any thread may ask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[mmap.mmap] = []
        # An array may go at any moment, also while its own thread holds the lock: appending to this
        # is all that happens then.
        self._back: deque[mmap.mmap] = deque()

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return uint8 [*shape]: nobody else's, with anything in it. Raises MemoryError."""
        size = 1
        for length in shape:
            size *= length
        if size < LARGE_BYTES:
            return np.empty(shape, np.uint8)
        with self._lock:
            memory = self._fitting(size) or _mapped(size)
        # What is cut out of the array holds the array, since its memory is not numpy's.
        array: NDArray[np.uint8] = np.ndarray(shape, np.uint8, buffer=memory)
        weakref.finalize(array, self._back.append, memory).atexit = False
        return array

    def let_go(self) -> None:
        """Give the kernel what is not in use."""
        with self._lock:
            self._take_back()
            self._free.clear()

    def _fitting(self, size: int) -> mmap.mmap | None:
        self._take_back()
        fitting = [memory for memory in self._free if len(memory) >= size]
        if not fitting:
            self._free.clear()  # too small for what comes now
            return None
        memory = min(reversed(fitting), key=len)  # of two, what was used last: caches know it
        self._free.remove(memory)
        return memory

    def _take_back(self) -> None:
        while self._back:
            self._free.append(self._back.popleft())


def _mapped(size: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no {size} bytes for a picture: {error.strerror}") from None


# Of this process: a picture is taken in one thread and let go in another.
of_pictures = Buffers()
