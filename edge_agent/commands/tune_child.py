"""One setting of a bundle, loaded and timed in a process of its own: accelerators hang and crash.

What the agent runs in a process for the accelerator runs in one here: the way there counts.

    python -m edge_agent.commands.tune_child FOLDER THREADS BATCH ACCELERATOR

ACCELERATOR is AcceleratorOptions as JSON. It says on standard output, one JSON object a line: first
Ready, once the golden samples were answered, or Failure, and ends; then, for each line with a
number of seconds on standard input, a Round of that length, or Failure. tune_runs.py starts it.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_agent import registry
from edge_agent.acceleration.process import AcceleratorProcess
from edge_agent.backends.base import BackendContext
from edge_agent.errors import AcceleratorError, ModelError
from edge_agent.inference import golden
from edge_agent.inference.accelerator import AcceleratorOptions
from edge_agent.lazy import lazy_module
from edge_agent.modelstore.manifest import load_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

    from edge_agent.backends.base import Backend
    from edge_agent.modelstore.manifest import Bundle
    from edge_agent.types import Tensors, TensorSpec
else:
    np = lazy_module("numpy")

WARM_UP_RUNS = 5
NO_LIMIT_S = 3600.0  # whoever started this ends it where it hangs


class Ready(msgspec.Struct, frozen=True, tag=True):
    """It is loaded and answers rightly; `proven`: by golden samples. `share`: see Backend.

    `varies`: whether it takes several items at once.
    """

    effective: str
    share: float | None
    proven: bool
    varies: bool


class Failure(msgspec.Struct, frozen=True, tag=True):
    """Why it does not run; `reason`: an errors.Trouble, or "model"."""

    reason: str
    detail: str


class Round(msgspec.Struct, frozen=True, tag=True):
    """How long each run took, in ms."""

    times_ms: list[float]


Answer = Ready | Failure | Round


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model that is loaded, here or in the process of an accelerator; see Backend."""

    run: Callable[[Tensors], Tensors]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    effective: str
    share: float | None


def main(arguments: list[str]) -> int:
    """Measure the setting in `arguments`."""
    folder, threads, batch, accelerator = arguments
    # What native code prints by itself goes to standard error, out of the answers' way.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    chosen = AcceleratorOptions.model_validate_json(accelerator)
    try:
        for answer in _answers(Path(folder), int(threads), int(batch), chosen):
            answers.write(msgspec.json.encode(answer) + b"\n")
    except AcceleratorError as error:
        answers.write(msgspec.json.encode(Failure(error.reason, error.detail)) + b"\n")
    except (ModelError, MemoryError) as error:
        detail = str(error) or "out of memory"
        answers.write(msgspec.json.encode(Failure("model", detail)) + b"\n")
    return 0


def _answers(
    folder: Path, threads: int, batch: int, accelerator: AcceleratorOptions
) -> Iterator[Answer]:
    bundle = load_bundle(folder, accelerator)
    backend = _loaded(bundle, threads, accelerator)
    proven = _check(folder, bundle, backend, batch)
    if not proven and not accelerator.is_cpu:
        raise AcceleratorError("unproven", "the bundle has no golden samples")
    tensors = _tensors(folder, bundle, backend, batch)
    for _ in range(WARM_UP_RUNS):
        backend.run(tensors)
    yield Ready(backend.effective, backend.share, proven, varies(backend))
    for line in sys.stdin:
        yield _round(backend, tensors, float(line))


def _loaded(bundle: Bundle, threads: int, accelerator: AcceleratorOptions) -> _Loaded:
    runtime = bundle.variant.runtime
    if accelerator.is_cpu:
        plugin = registry.plugin("backends", runtime)
        backend: Backend = plugin.create(BackendContext(bundle.model, threads))
        name, share = backend.accelerator, backend.share
        return _Loaded(backend.run, backend.inputs, backend.outputs, name, share)
    remote = AcceleratorProcess().open(runtime, bundle.model, accelerator, threads)
    opened = remote.wait_until_loaded(NO_LIMIT_S)
    remote.deadline_s = NO_LIMIT_S
    inputs, outputs = tuple(opened.inputs), tuple(opened.outputs)
    return _Loaded(remote.run, inputs, outputs, opened.accelerator, opened.share)


def _round(backend: _Loaded, tensors: Tensors, seconds: float) -> Round:
    times_ms: list[float] = []
    end_s = time.perf_counter() + seconds
    while (began_s := time.perf_counter()) < end_s or not times_ms:
        backend.run(tensors)
        times_ms.append(1e3 * (time.perf_counter() - began_s))
    return Round(times_ms)


def varies(backend: _Loaded) -> bool:
    """Return whether the model takes several items at once: the first size of all is open."""
    return all(spec.shape[:1] == (-1,) for spec in (*backend.inputs, *backend.outputs))


def _check(folder: Path, bundle: Bundle, backend: _Loaded, batch: int) -> bool:
    """Run the golden samples, each as often as the batch is large; return whether there are any."""
    cases = bundle.manifest.selftest.cases
    for case in cases:
        given = _repeated(golden.read_tensors(folder, bundle, case.golden_in), backend, batch)
        wanted = _repeated(golden.read_tensors(folder, bundle, case.golden_out), backend, batch)
        if complaint := golden.difference(backend.run(given), wanted, case):
            raise AcceleratorError("wrong_answers", f"golden sample {case.golden_in}: {complaint}")
    return bool(cases)


def _tensors(folder: Path, bundle: Bundle, backend: _Loaded, batch: int) -> Tensors:
    """Return what it is timed on: the first golden sample, or noise."""
    if cases := bundle.manifest.selftest.cases:
        tensors = golden.read_tensors(folder, bundle, cases[0].golden_in)
    else:
        tensors = {spec.name: _noise(spec) for spec in backend.inputs}
    return _repeated(tensors, backend, batch)


def _repeated(tensors: Tensors, backend: _Loaded, batch: int) -> Tensors:
    if batch == 1:
        return tensors
    if not varies(backend):
        raise ModelError("it takes one item at a time")
    return {name: np.repeat(array[:1], batch, axis=0) for name, array in tensors.items()}


def _noise(spec: TensorSpec) -> np.ndarray:
    shape, dtype = [max(1, size) for size in spec.shape], np.dtype(spec.dtype)
    noise = np.random.default_rng(0).normal(size=shape)
    return (noise if dtype.kind == "f" else noise > 0).astype(dtype)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
