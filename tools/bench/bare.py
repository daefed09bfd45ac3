"""The limit of a picture line: decode, resize, look up, invoke, argmax. No MQTT, one thread.

    python -m tools.bench.bare JOB

JOB is a JSON file (material.BareJob); the answer is one line of JSON (BareResult). Both of the
cheap wins are in: glibc keeps its memory, and simplejpeg decodes.
"""

from __future__ import annotations

import ctypes
import itertools
import resource
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import simplejpeg
from ai_edge_litert.interpreter import Interpreter

# glibc's names for mallopt, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
WARM_UP = 30


class BareJob(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: for `seconds`, or `count` pictures at `fps` a second (0: as fast as it goes).

    `mean`, `std`, `interpolation`: as in the bundle's manifest. `start_at`: time.time() at which
    all copies of this program begin together.
    """

    model: str
    pictures: list[str]
    mean: float
    std: float
    interpolation: str = "linear"
    seconds: float = 0.0
    count: int = 0
    fps: float = 0.0
    start_at: float = 0.0


class BareResult(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures a second, CPU seconds for a thousand, and how long each took in ms."""

    fps: float
    cpu_s_per_1000: float
    took_ms: list[float]


class _Line:
    def __init__(self, job: BareJob) -> None:
        self._interpreter = Interpreter(job.model, num_threads=1)
        self._interpreter.allocate_tensors()
        (given,) = self._interpreter.get_input_details()
        self._input, self._output = given["index"], self._interpreter.get_output_details()[0]
        self._size = (int(given["shape"][2]), int(given["shape"][1]))
        self._interpolation = getattr(cv2, f"INTER_{job.interpolation.upper()}")
        self._table = _table(job, given)

    def best(self, payload: bytes) -> int:
        """Return the most likely class."""
        pixels = simplejpeg.decode_jpeg(payload, colorspace="BGR")
        pixels = cv2.resize(pixels, self._size, interpolation=self._interpolation)
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
        if self._table is not None:
            pixels = cv2.LUT(pixels, self._table)
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        return int(self._interpreter.get_tensor(self._output["index"]).argmax())


def main() -> None:
    """Run the job in the file that is named."""
    libc = ctypes.CDLL(None)
    libc.mallopt(M_TRIM_THRESHOLD, 256 << 20)
    libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
    cv2.setNumThreads(1)
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=BareJob)
    payloads = itertools.cycle([Path(path).read_bytes() for path in job.pictures])
    line = _Line(job)
    for _ in range(WARM_UP):
        line.best(next(payloads))
    time.sleep(max(0.0, job.start_at - time.time()))
    sys.stdout.buffer.write(msgspec.json.encode(_timed(line, payloads, job)) + b"\n")


def _table(job: BareJob, given: dict[str, Any]) -> Any:  # noqa: ANN401  an array or None
    """Return what each pixel value becomes in the model's input; None: what it is."""
    values = (np.arange(256.0) - job.mean) / job.std
    if given["dtype"] != np.float32:
        scale, zero_point = given["quantization"]
        limits = np.iinfo(given["dtype"])
        values = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max)
    table = values.astype(given["dtype"])
    return None if table.dtype == np.uint8 and (table == np.arange(256)).all() else table[None]


def _timed(line: _Line, payloads: itertools.cycle[bytes], job: BareJob) -> BareResult:
    took_ms: list[float] = []
    cpu_s, began_s = _cpu_s(), time.perf_counter()
    now_s = began_s
    while (now_s - began_s < job.seconds) if job.seconds else len(took_ms) < job.count:
        if job.fps:
            due_s = began_s + len(took_ms) / job.fps
            time.sleep(max(0.0, due_s - time.perf_counter()))
            now_s = time.perf_counter()
        line.best(next(payloads))
        ended_s = time.perf_counter()
        took_ms.append(1e3 * (ended_s - now_s))
        now_s = ended_s
    return BareResult(
        fps=len(took_ms) / (now_s - began_s),
        cpu_s_per_1000=1e3 * (_cpu_s() - cpu_s) / len(took_ms),
        took_ms=took_ms,
    )


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
