"""What a model file weighs, answers and takes: figures of all variants, made the same way."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_agent import registry
from edge_agent.backends.base import BackendContext
from edge_agent.inference.quantisation import dequantise, quantise
from tools.compress import onnx_file
from tools.compress.tflite_file import Weights, weights
from tools.training.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.backends.base import Backend
    from tools.compress.source import Runtime

    Array = NDArray[np.float32]

WARM_UP_RUNS = 5
RUNS_MAX = 300
# All variants together take so long, so that a table of slow models does not take an hour.
SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Of one run on one thread, in milliseconds."""

    p50_ms: float
    p95_ms: float


def load(model: bytes, runtime: Runtime) -> Backend:
    """Return the agent's own backend with the model, on one thread. Raises ModelError."""
    with quiet():  # the runtime says how it computes
        backend: Backend = registry.plugin("backends", runtime).create(BackendContext(model, 1))
    return backend


def answers(model: bytes, runtime: Runtime, inputs: Array) -> Array:
    """Return real values of the first output for each of the inputs: [items, ...]."""
    backend = load(model, runtime)
    source, target = backend.inputs[0], backend.outputs[0]
    found = []
    for sample in inputs:
        outputs = backend.run({source.name: quantise(sample[None], source)})
        found.append(dequantise(outputs[target.name], target)[0])
    backend.close()
    return np.stack(found)


def latencies(models: Sequence[tuple[bytes, Runtime]], sample: Array) -> list[Latency]:
    """Run all models in turn, again and again, so that what slows the machine slows them alike.

    `sample`: one input, [1, ...].
    """
    backends = [load(model, runtime) for model, runtime in models]
    given = [{backend.inputs[0].name: quantise(sample, backend.inputs[0])} for backend in backends]
    times: list[list[float]] = [[] for _ in backends]
    started = time.perf_counter()
    for number in range(WARM_UP_RUNS + RUNS_MAX):
        for backend, tensors, kept in zip(backends, given, times, strict=True):
            before = time.perf_counter()
            backend.run(tensors)
            if number >= WARM_UP_RUNS:
                kept.append(1e3 * (time.perf_counter() - before))
        if number > WARM_UP_RUNS and time.perf_counter() - started > SECONDS_MAX:
            break
    for backend in backends:
        backend.close()
    return [Latency(*(float(p) for p in np.percentile(kept, (50, 95)))) for kept in times]


def zipped(model: bytes) -> int:
    """Return how many bytes the file takes in a zip archive."""
    return len(zlib.compress(model, 9))


def weights_of(model: bytes, runtime: Runtime) -> Weights:
    """Return how many trained numbers the model holds, and how many are zero."""
    return weights(model) if runtime == "tflite" else onnx_file.weights(model)
