"""The same models on the CPU and on each accelerator: what runs there, and how answers differ."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.acceleration.process import AcceleratorProcess
from edge_agent.acceleration.proof import Proof, Sample, prove
from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.errors import AcceleratorError
from edge_agent.inference import golden
from tools.accel import kernels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from edge_agent.inference.accelerator import AcceleratorOptions
    from edge_agent.types import Tensors
    from tools.accel.subjects import Answers, Subject

LOAD_S, RUN_S = 120.0, 60.0
GOLDEN = 8  # that many of a published model's inputs stand for golden samples
HEAD = (
    f"{'model':<24} {'on':<9} {'share':>6} {'inputs':>6} {'within':>6} {'furthest':>9} "
    f"{'steps':>6} {'flips':>5} {'right':>5} {'p50 ms':>8}  {'inspects on':<11} check at load"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one accelerator, against the same model on the CPU.

    `within`: inputs whose every answer is within the model's tolerance. `furthest`: the largest
    difference, as answers are stored, and `steps`: in steps of their 8 bits. `flips`: verdicts that
    are others. `right`: classes that are as they should be; None where nobody knows. `refused`: why
    the agent would not have it. `first`: the first input that is not within.
    """

    model: str
    accelerator: str
    inputs: int = 0
    within: int = 0
    furthest: float | None = None
    steps: float | None = None
    flips: int | None = None
    right: int | None = None
    p50_ms: float | None = None
    share: float | None = None
    refused: str = ""
    first: int | None = None

    @property
    def inspects_on(self) -> str:
        """Return where the agent would have it inspect."""
        return "cpu" if self.refused else self.accelerator

    def line(self) -> str:
        """Return it as a line below HEAD."""
        said = self.refused or ("" if self.accelerator == "cpu" else "passed")
        if self.first is not None and not self.refused:
            said += f"; input {self.first} is the first that a check in service would refuse"
        return (
            f"{self.model[:24]:<24} {self.accelerator:<9} {_text(self.share, '.0%'):>6} "
            f"{self.inputs:>6} {self.within:>6} {_text(self.furthest, '.4g'):>9} "
            f"{_text(self.steps, '.0f'):>6} {_text(self.flips, 'd'):>5} "
            f"{_text(self.right, 'd'):>5} {_text(self.p50_ms, '.2f'):>8}  "
            f"{self.inspects_on:<11} {said}"
        )


def compare(
    subject: Subject, accelerators: Mapping[str, AcceleratorOptions], most_s: float
) -> Iterator[Row]:
    """Yield the CPU's row and one for each accelerator, each within some `most_s` seconds of runs.

    What is too slow to be asked all in that time is asked those inputs that rounding moves most.
    """
    backend = tflite.create(BackendContext(subject.model))
    every = range(len(subject.inputs))
    wanted, p50_ms = _timed(backend.run, subject, every)
    backend.close()
    yield _row(subject, Row(subject.name, "cpu", p50_ms=p50_ms), wanted, wanted)
    moved = _moved_most(subject, wanted)
    proof = proof_of(subject, wanted, moved)
    for name, accelerator in accelerators.items():
        row = Row(subject.name, name)
        with closing(AcceleratorProcess()) as process:
            try:
                with closing(process.open("tflite", subject.model, accelerator, 1)) as remote:
                    row = replace(row, share=remote.wait_until_loaded(LOAD_S).share)
                    remote.deadline_s = RUN_S
                    chosen = _as_many(remote.run, subject, most_s, moved)
                    answers, p50_ms = _timed(remote.run, subject, chosen)
                    row = _row(subject, replace(row, p50_ms=p50_ms), answers, wanted)
                    prove(remote.run, proof, RUN_S)
            except AcceleratorError as error:
                row = replace(row, refused=str(error))
        yield row


def proof_of(subject: Subject, wanted: Answers, moved: Sequence[int]) -> Proof:
    """Return what the agent asks at load: the bundle's golden samples.

    A published model comes without any: those inputs stand for them that rounding moves most.
    """
    if not subject.golden:
        samples = [
            Sample(f"input {n}", subject.case, subject.inputs[n], wanted[n]) for n in moved[:GOLDEN]
        ]
        return Proof(tuple(samples))
    answers = kernels.by_xnnpack(subject.model, [given for _, given in subject.golden])
    samples = [
        Sample(f"golden sample {case.golden_in}", case, given, answers[n])
        for n, (case, given) in enumerate(subject.golden)
    ]
    return Proof(tuple(samples))


def _moved_most(subject: Subject, wanted: Answers) -> list[int]:
    """Return the inputs, those first whose answers depend most on how a CPU rounds."""
    own = kernels.by_own_kernels(subject.model, subject.inputs)

    def apart(number: int) -> float:
        found = kernels.furthest({number: own[number]}, wanted)
        return max(found[name] for name in found if subject.allowed(name) is not None)

    return sorted(own, key=apart, reverse=True)


def _as_many(
    run: Callable[[Tensors], Tensors], subject: Subject, most_s: float, moved: Sequence[int]
) -> Sequence[int]:
    """Return as many inputs as there is time for: the first of `moved`, in their order."""
    for _ in range(2):  # the first run may compile
        began_s = time.perf_counter()
        run(subject.inputs[0])
        taken_s = time.perf_counter() - began_s
    count = max(1, int(most_s / taken_s))
    return range(len(moved)) if count >= len(moved) else sorted(moved[:count])


def _timed(
    run: Callable[[Tensors], Tensors], subject: Subject, numbers: Iterable[int]
) -> tuple[Answers, float]:
    """Return the answers to these inputs, and the median run in milliseconds."""
    answers, times_ms = {}, []
    for number in numbers:
        began_s = time.perf_counter()
        found = run(subject.inputs[number])
        times_ms.append((time.perf_counter() - began_s) * 1e3)
        answers[number] = {name: array.copy() for name, array in found.items()}
    return answers, float(np.median(times_ms))


def _row(subject: Subject, row: Row, answers: Answers, wanted: Answers) -> Row:
    off = kernels.furthest(answers, wanted)
    judged = {name: most for name, most in off.items() if subject.allowed(name) is not None}
    step = kernels.steps(subject.model)
    beyond = [n for n in answers if golden.difference(answers[n], wanted[n], subject.case)]
    return replace(
        row,
        inputs=len(answers),
        within=len(answers) - len(beyond),
        furthest=max(judged.values()),
        steps=max((most / step[n] for n, most in judged.items() if n in step), default=None),
        flips=subject.flips(answers, wanted),
        right=subject.right(answers),
        first=beyond[0] if beyond else None,
    )


def _text(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
