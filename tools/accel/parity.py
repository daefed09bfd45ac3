"""The same models on the CPU and on each accelerator: what runs there, and how answers differ."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.acceleration.process import AcceleratorProcess
from edge_agent.acceleration.proof import Proof, prove
from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.errors import AcceleratorError
from edge_agent.inference.quantisation import dequantise
from edge_agent.modelstore.manifest import SelfTestCase
from tools.accel import stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from edge_agent.acceleration.process import RemoteModel
    from edge_agent.types import Tensors, TensorSpec
    from tools.accel.inputs import Subject

LOAD_S, RUN_S = 120.0, 60.0
GOLDEN = 8  # that many of the inputs stand for a bundle's golden samples


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one accelerator. `most`: largest difference to the CPU, in the answers' unit.

    `within`: inputs whose every answer is within the model's tolerance. `right`: classes that are
    as they should be; -1 where nobody knows. `proof`: what the parity check at load says.
    """

    model: str
    accelerator: str
    share: float | None
    inputs: int
    most: float
    within: int
    right: int
    p50_ms: float
    proof: str


def compare(subject: Subject, accelerators: Mapping[str, Any], most_s: float) -> Iterator[Row]:
    """Yield the CPU's row and one for each accelerator, each within `most_s` seconds of runs."""
    backend = tflite.create(BackendContext(subject.model))
    wanted = [{n: a.copy() for n, a in backend.run(given).items()} for given in subject.inputs]
    specs = {spec.name: spec for spec in backend.outputs}
    yield _row(subject, "cpu", None, _timed(backend.run, subject, most_s), wanted, specs, "")
    backend.close()
    for name, accelerator in accelerators.items():
        process = AcceleratorProcess()
        try:
            remote = process.open("tflite", subject.model, stand_ins.options(accelerator), 1)
            share = remote.wait_until_loaded(LOAD_S).share
            remote.deadline_s = RUN_S
            ran = _timed(remote.run, subject, most_s)
            proof = _proof(subject, remote, wanted, specs)
            remote.close()
        except AcceleratorError as error:
            yield Row(subject.name, name, None, 0, 0.0, 0, -1, 0.0, str(error))
        else:
            yield _row(subject, name, share, ran, wanted, specs, proof)
        finally:
            process.close()


def _timed(run: Any, subject: Subject, most_s: float) -> list[tuple[Tensors, float]]:  # noqa: ANN401
    """Return each answer with its milliseconds."""
    run(subject.inputs[0])
    found: list[tuple[Tensors, float]] = []
    until_s = time.monotonic() + most_s
    for given in subject.inputs:
        began = time.perf_counter()
        answers = run(given)
        ms = (time.perf_counter() - began) * 1e3
        found.append(({name: array.copy() for name, array in answers.items()}, ms))
        if time.monotonic() > until_s:
            break
    return found


def _row(  # noqa: PLR0913, PLR0917  what a line of the table is made of
    subject: Subject,
    name: str,
    share: float | None,
    ran: list[tuple[Tensors, float]],
    wanted: Sequence[Tensors],
    specs: dict[str, TensorSpec],
    proof: str,
) -> Row:
    off = [
        _furthest(subject, answers, right, specs)
        for (answers, _), right in zip(ran, wanted, strict=False)
    ]
    right = -1
    if subject.truths:
        classes = [int(np.argmax(next(iter(answers.values())))) for answers, _ in ran]
        right = sum(a == b for a, b in zip(classes, subject.truths, strict=False))
    p50_ms = float(np.median([ms for _, ms in ran]))
    within = sum(each <= subject.tolerance for each in off)
    return Row(subject.name, name, share, len(ran), max(off), within, right, p50_ms, proof)


def _furthest(
    subject: Subject, got: Tensors, wanted: Tensors, specs: dict[str, TensorSpec]
) -> float:
    names = list(specs)
    judged = [names[i] for i in subject.judged] or names
    return max(
        float(np.abs(_real(got[n], specs[n]) - _real(wanted[n], specs[n])).max()) for n in judged
    )


def _real(array: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.float64]:
    real = dequantise(array, spec) if spec.scale else array
    return np.asarray(real, np.float64)


def _proof(
    subject: Subject, remote: RemoteModel, wanted: Sequence[Tensors], specs: dict[str, TensorSpec]
) -> str:
    """Return what the check at load says with these inputs as golden samples."""
    scale = max((spec.scale for spec in specs.values()), default=0.0) or 1.0
    atol = subject.tolerance / scale  # golden samples are compared as they are stored
    step = max(1, len(subject.inputs) // GOLDEN)
    samples = []
    for index in range(0, len(subject.inputs), step):
        case = SelfTestCase.model_validate({"in": f"{index}", "out": f"{index}", "atol": atol})
        samples.append((case, subject.inputs[index], wanted[index]))
    if subject.judged:
        return "not asked: its boxes without a score may lie anywhere"
    try:
        prove(remote.run, Proof(tuple(samples)), RUN_S)
    except AcceleratorError as error:
        return str(error)
    return "passed"
