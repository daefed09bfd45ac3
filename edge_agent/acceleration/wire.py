"""What a worker and the process of its accelerator tell each other.

Each model has a channel of its own, a socket that keeps messages apart, and a piece of memory that
both see, in which the tensors lie: inputs first, then outputs. What a stranger's native code could
have written to is decoded into exactly these types.
"""

from __future__ import annotations

import math
import mmap
import os
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import Trouble
from edge_agent.lazy import lazy_module
from edge_agent.types import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
else:
    np = lazy_module("numpy")

MESSAGE_BYTES = 1 << 16
MOST_BYTES = 1 << 30  # as much as a worker may have: more is a mistake
_ALIGNMENT = 64  # a cache line, and what vector instructions ask for at most
_SMALLEST_BYTES = 1 << 16


class Open(msgspec.Struct, frozen=True):
    """Load a model: with this message come its channel, its bytes and the memory for tensors.

    `accelerator`: AcceleratorOptions as JSON.
    """

    runtime: str
    accelerator: bytes
    threads: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """It is loaded, and has not run yet."""

    accelerator: str
    share: float | None
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """It was not loaded, or did not run."""

    reason: Trouble
    detail: str


class Run(msgspec.Struct, frozen=True):
    """Run it on inputs of these shapes."""

    shapes: list[tuple[int, ...]]


class Ran(msgspec.Struct, frozen=True, tag=True):
    """It has run, and given outputs of these shapes."""

    shapes: list[tuple[int, ...]]


Answer = Opened | Refused | Ran
answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
encode = msgspec.msgpack.encode


class SharedTensors:
    """The memory of one model, seen from either side. It grows and never shrinks."""

    def __init__(self, memory_fd: int) -> None:
        """Take over the descriptor of a memfd."""
        self._fd = memory_fd
        self._map = self._mapped(_SMALLEST_BYTES)

    def views(
        self, specs: Sequence[TensorSpec], shapes: Sequence[tuple[int, ...]], start: int = 0
    ) -> tuple[list[NDArray[np.generic]], int]:
        """Return the arrays that lie from `start` on, and where the next may begin.

        Raises ValueError where they would take more than MOST_BYTES.
        """
        places = []
        for spec, shape in zip(specs, shapes, strict=True):
            dtype = np.dtype(spec.dtype)
            places.append((start, shape, dtype))
            start += -(-math.prod(shape) * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
        if start > MOST_BYTES or any(size < 0 for _, shape, _ in places for size in shape):
            raise ValueError(f"tensors of {start} bytes")
        if start > len(self._map):
            self._map = self._mapped(start)
        views = [
            np.ndarray(shape, dtype, buffer=self._map, offset=offset)
            for offset, shape, dtype in places
        ]
        return views, start

    def close(self) -> None:
        """Let go of the memory; arrays that lie in it keep their part of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _mapped(self, size: int) -> mmap.mmap:
        if os.fstat(self._fd).st_size < size:
            os.ftruncate(self._fd, size)
        return mmap.mmap(self._fd, size)
