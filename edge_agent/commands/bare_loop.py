"""What this machine can do with a model at best: a loop in one thread, and nothing around it.

    python -m edge_agent.commands.bare_loop BUNDLE SECONDS [PICTURE ...]

Reads pictures into memory, then decodes, prepares and runs them again and again; without pictures,
windows of noise. Prints JSON.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent.errors import BadInput, ModelError
from edge_agent.inference.model import load_model
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.lazy import lazy_module
from edge_agent.pictures import image
from edge_agent.processes.memory import keep_memory
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from edge_agent.inference.model import Model
    from edge_agent.types import Item
else:
    np = lazy_module("numpy")

WARM_UP = 10
WINDOWS = 64


class BareResult(msgspec.Struct, frozen=True, kw_only=True):
    """Items a second in one thread, and how long one took: median and 99th percentile in ms."""

    rate_hz: float
    p50_ms: float
    p99_ms: float


def main(arguments: list[str]) -> int:
    """Run the loop that `arguments` describe."""
    bundle, seconds, *pictures = arguments
    keep_memory()
    model = load_model(Path(bundle), threads=1, roi=None)
    items = _pictures(pictures) if pictures else _windows(model)
    result = _timed(model, items, float(seconds))
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    return 0


def _timed(model: Model, items: Iterator[Callable[[], Item]], seconds: float) -> BareResult:
    took_s: list[float] = []
    for _ in range(WARM_UP):
        model.backend.run(model.task.prepare(next(items)()))
    end_s = time.perf_counter() + seconds
    while (began_s := time.perf_counter()) < end_s or not took_s:
        model.backend.run(model.task.prepare(next(items)()))
        took_s.append(time.perf_counter() - began_s)
    ranked = sorted(took_s)
    return BareResult(
        rate_hz=len(took_s) / sum(took_s),
        p50_ms=1e3 * ranked[len(ranked) // 2],
        p99_ms=1e3 * ranked[int(0.99 * len(ranked))],
    )


def _pictures(paths: list[str]) -> Iterator[Callable[[], Item]]:
    payloads = {path: Path(path).read_bytes() for path in paths}
    for path, payload in payloads.items():
        try:
            image.decode(payload)
        except BadInput as error:
            raise SystemExit(f"{path}: {error}") from None
    for payload in itertools.cycle(payloads.values()):
        yield lambda payload=payload: Frame(image.decode(payload), 0, 0, 0)  # type: ignore[misc]


def _windows(model: Model) -> Iterator[Callable[[], Item]]:
    shape = model.bundle.manifest.task.preprocess
    if not isinstance(shape, WindowPreprocess):
        raise ModelError(f"{model.bundle.manifest.model_id} is a model of pictures: which ones?")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(WINDOWS, shape.samples, len(shape.channels))).astype(np.float32)
    for samples in itertools.cycle(noise):
        window = Window(samples, shape.channels, shape.rate_hz, 0, 0, 0)
        yield lambda window=window: window  # type: ignore[misc]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
