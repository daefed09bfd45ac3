"""Memory of large pictures, used again: neither faulted in for each of them, nor on the heap.

On the heap a picture's place is taken by whatever small comes while it is free. The next picture
then needs another place, and a process that holds three pictures takes as much as four or five,
now and then, for minutes.
"""

from __future__ import annotations

import math
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
        # An array may go at any moment, also while its own thread holds the lock: all that is done
        # then is one step on each of these.
        self._free: deque[mmap.mmap] = deque()
        self._never_needed = 0  # how many were free all the time since `let_go`
        self._shown: dict[int, _Shown] = {}

    def array(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Return uint8 [*shape]: nobody else's, with anything in it. Raises MemoryError."""
        size = math.prod(shape)
        if size < LARGE_BYTES:
            return np.empty(shape, np.uint8)
        with self._lock:
            memory = self._free.pop() if self._free else None  # caches know the newest best
            if memory is None or len(memory) != size:
                memory = self._fitting(size, memory)
            self._never_needed = min(self._never_needed, len(self._free))
        # What is cut out of the array holds the array, since its memory is not numpy's.
        array: NDArray[np.uint8] = np.ndarray(shape, np.uint8, memory)
        shown = _Shown(array, self._gone)
        shown.memory = memory
        self._shown[id(shown)] = shown
        return array

    def let_go(self) -> None:
        """Give the kernel what was not in use at any time since the last call.

        All that is free at the moment would come back within seconds, one by one, as the next
        pictures overlap by chance: a busy process would go to and fro by tens of megabytes.
        """
        with self._lock:
            for _ in range(self._never_needed):
                self._free.popleft()  # the one that was used the longest time ago
            self._never_needed = len(self._free)

    def _fitting(self, size: int, newest: mmap.mmap | None) -> mmap.mmap:
        free = [] if newest is None else [newest]
        free += [self._free.pop() for _ in range(len(self._free))]
        fitting = [memory for memory in free if len(memory) >= size]
        if not fitting:  # what is too small for what comes now goes
            return _mapped(size)
        best = min(fitting, key=len)
        free.remove(best)
        self._free.extend(reversed(free))
        return best

    def _gone(self, shown: _Shown) -> None:
        del self._shown[id(shown)]
        self._free.append(shown.memory)


class _Shown(weakref.ref["NDArray[np.uint8]"]):
    """Knows when an array is gone, and whose memory it showed. Cheaper than `weakref.finalize`."""

    __slots__ = ("memory",)
    memory: mmap.mmap


def _mapped(size: int) -> mmap.mmap:
    try:
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no {size} bytes for a picture: {error.strerror}") from None


# Of this process: a picture is taken in one thread and let go in another.
of_pictures = Buffers()
