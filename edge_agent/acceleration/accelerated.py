"""A model that runs on an accelerator while that is well, and on the CPU otherwise.

Theory of operation. The model is loaded on the CPU first and can inspect at once. A thread loads it
on the accelerator too, in a process of its own, has it answer the golden samples there, and puts it
in place between two items: one reference is replaced. Whatever fails afterwards takes that
reference away and answers the same item on the CPU. While the accelerator is well, the thread has
the CPU answer some of the items too (live_check.py); a wrong answer is a failure like any other.

    starting --proved--> effective --failed--> resting --pause over--> trying --proved--> effective
    starting, trying --refused, hung, crashed, wrong--> resting, after longer and longer pauses
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge_agent import threads
from edge_agent.acceleration.live_check import LiveCheck
from edge_agent.acceleration.proof import Proof, prove
from edge_agent.acceleration.report import AccelerationReport
from edge_agent.backoff import full_jitter
from edge_agent.errors import AcceleratorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.acceleration.process import AcceleratorProcess, RemoteModel
    from edge_agent.backends.base import Backend
    from edge_agent.inference.accelerator import AcceleratorOptions
    from edge_agent.types import Tensors, TensorSpec

log = logging.getLogger(__name__)

# A device that fails over and over is tried less and less often: each try costs the CPU a start and
# a load, and one that hangs costs an item a deadline.
REST_S, REST_BASE_S, REST_CAP_S = 0.5, 1.0, 60.0
SETTLE_LOOK_S = 0.1
HEALTHY_S = 60.0  # after this time a failure counts as the first again


@dataclass(frozen=True, slots=True)
class Acceleration:
    """What a pipeline wants for its models; `process`: where they run, shared by all of them.

    `load_s`: how long loading may take. `run_timeout_s`: as for any model. `strict`: not to answer
    on the CPU. `check_share`: how much of the time the CPU checks items that the accelerator has
    answered, 0..1. `count`: told each fall from what was wanted to the CPU, and each check.
    """

    pipeline: str
    accelerator: AcceleratorOptions
    process: AcceleratorProcess
    load_s: float
    run_timeout_s: float
    strict: bool = False
    check_share: float = 0.0
    count: Callable[[str], None] = lambda _: None
    rests: Callable[[], Iterator[float]] = field(default_factory=lambda: _rests)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What the accelerator is to run: a backend's name, and the model's verified bytes.

    `trouble`: why they are not here.
    """

    runtime: str
    model: bytes
    threads: int
    trouble: AcceleratorError | None = None


class Accelerated:
    """A Backend. One thread runs it; any thread may ask for its report or close it."""

    def __init__(
        self, on_cpu: Backend, file: ModelFile, proof: Proof, wanted: Acceleration
    ) -> None:
        self.inputs: tuple[TensorSpec, ...] = on_cpu.inputs
        self.outputs: tuple[TensorSpec, ...] = on_cpu.outputs
        self._settled = threading.Event()
        self._without = "none" if wanted.strict else "cpu"
        self.accelerator = self._without
        self.share: float | None = None
        self._on_cpu = on_cpu
        self._file = file
        self._proof = proof
        self._wanted = wanted
        self._remote: RemoteModel | None = None
        self._was_effective = False
        self._trouble = AcceleratorError("unavailable", "it has not been tried yet")
        self._report = AccelerationReport(
            requested=wanted.accelerator.name,
            effective=self._without,
            reason="starting",
            detail="",
            since_ns=time.time_ns(),
        )
        self._closing = threading.Event()
        # Held while an item is on the accelerator, and while that is put in place or taken away.
        self._place = threading.RLock()
        self._cpu_lock = threading.Lock()
        self._live = self._new_check()
        name = f"accel-{wanted.pipeline}"
        self._thread = threads.thread(self._follow, name)
        self._thread.start()

    def wait_settled(self, given_up: threading.Event) -> None:
        """Wait for the end of the first try where there is nothing to run before it."""
        while self._wanted.strict and not given_up.is_set():
            if self._settled.wait(SETTLE_LOOK_S):
                return

    def report(self) -> AccelerationReport:
        """Return what runs it now."""
        return self._report

    def run(self, tensors: Tensors) -> Tensors:
        """Run it on what is well; see Backend.run."""
        with self._place:
            remote = self._remote
            if remote is not None:
                try:
                    outputs = remote.run(tensors)
                except AcceleratorError as error:
                    self._fall(error)
                else:
                    self._live.offer(tensors, outputs)
                    self.accelerator = self._wanted.accelerator.name
                    return outputs
        self.accelerator = self._without
        if self._wanted.strict:
            raise self._trouble
        with self._cpu_lock:
            return self._on_cpu.run(tensors)

    def close(self) -> None:
        """Free both."""
        self._closing.set()
        self._live.end()
        with self._place:
            remote, self._remote = self._remote, None
            if remote is not None:
                remote.close()
        with self._cpu_lock:
            self._on_cpu.close()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of its thread, which may be about to load the model."""
        self._thread.join(timeout_s)

    # ------------------------------------------------------------------ its thread

    def _follow(self) -> None:
        """Try the accelerator until it is well; when it has failed, after a pause, again."""
        rests = self._wanted.rests()
        while not self._closing.is_set():
            began_s = time.monotonic()
            try:
                remote = self._try()
            except AcceleratorError as error:
                if self._closing.is_set():
                    return
                self._fall(error)
                if error.reason == "unproven":
                    return  # no pause brings golden samples
            else:
                self._stay(remote)
                if time.monotonic() - began_s > HEALTHY_S:
                    rests = self._wanted.rests()
            self._closing.wait(next(rests))

    def _try(self) -> RemoteModel:
        """Return the model on the accelerator, once it has given the right answers."""
        if not self._proof.samples:
            text = "the bundle has no golden samples: nothing tells whether its answers are right"
            raise AcceleratorError("unproven", text)
        wanted, file = self._wanted, self._file
        if file.trouble is not None:
            raise file.trouble
        remote = wanted.process.open(file.runtime, file.model, wanted.accelerator, file.threads)
        try:
            opened = remote.wait_until_loaded(wanted.load_s)
            require_same(self.inputs, tuple(opened.inputs))
            require_same(self.outputs, tuple(opened.outputs))
            remote.deadline_s = wanted.run_timeout_s
            remote.deadline_s = prove(remote.run, self._proof, wanted.run_timeout_s)
        except AcceleratorError:
            remote.close()
            raise
        return remote

    def _stay(self, remote: RemoteModel) -> None:
        """Put it in place; return when it is lost, or was seen to answer wrongly."""
        wrong = self._take(remote).until_wrong(self._wanted.count)
        if wrong is not None:
            item, complaint = wrong
            self._proof = self._proof.with_item(item)
            self._fall(AcceleratorError("wrong_answers", f"{item.what}: {complaint}"))

    def _take(self, remote: RemoteModel) -> LiveCheck:
        name = self._wanted.accelerator.name
        live = self._new_check()
        with self._place:
            self.share = remote.opened.share
            self._report = self._reported(name, "", "")
            self._live, self._remote, self._was_effective = live, remote, True
        self._settled.set()
        if self._closing.is_set():
            live.end()
            remote.close()
            return live
        share = "" if self.share is None else f", {self.share:.0%} of its operators"
        log.info("%s: the model runs on %s%s", self._wanted.pipeline, name, share)
        return live

    def _new_check(self) -> LiveCheck:
        cases = [sample.case for sample in self._proof.samples]
        return LiveCheck(self._run_on_cpu, cases, self._wanted.check_share)

    def _run_on_cpu(self, tensors: Tensors) -> Tensors:
        with self._cpu_lock:
            return {name: array.copy() for name, array in self._on_cpu.run(tensors).items()}

    # ------------------------------------------------------------------ either thread

    def _fall(self, error: AcceleratorError) -> None:
        """Go on without the accelerator. Called by its thread, it waits for the item under way."""
        with self._place:
            remote, self._remote = self._remote, None
            if remote is not None:
                remote.close()
        if self._was_effective and error.reason in {"library_missing", "unavailable"}:
            error = AcceleratorError("disappeared", error.detail)
        before, self._trouble = self._report, error
        self.share = None
        self._report = self._reported(self._without, error.reason, error.detail)
        if before.is_effective or before.reason == "starting":
            self._wanted.count("accelerator_fallbacks")
        if before.reason != error.reason:
            name = self._wanted.accelerator.name
            log.warning("%s: not on %s: %s", self._wanted.pipeline, name, error)
        self._settled.set()
        self._live.end()

    def _reported(self, effective: str, reason: str, detail: str) -> AccelerationReport:
        before = self._report
        return msgspec.structs.replace(
            before,
            effective=effective,
            reason=reason,
            detail=detail,
            since_ns=before.since_ns if before.effective == effective else time.time_ns(),
            share=self.share,
        )


def require_same(wanted: tuple[TensorSpec, ...], got: tuple[TensorSpec, ...]) -> None:
    """Raise AcceleratorError where the accelerator's model has other tensors than the CPU's."""
    names = {spec.name: (spec.shape, spec.dtype, spec.scale, spec.zero_point) for spec in wanted}
    for spec in got:
        own = (spec.shape, spec.dtype, spec.scale, spec.zero_point)
        if names.pop(spec.name, None) != own:
            raise AcceleratorError("refused_graph", f"its tensor {spec.name} is not the CPU's")
    if names:
        raise AcceleratorError("refused_graph", f"it has no tensor {next(iter(names))}")


def _rests() -> Iterator[float]:
    rng = random.Random()  # noqa: S311  spreads tries, hides nothing
    for rest_s in full_jitter(REST_BASE_S, REST_CAP_S, rng):
        yield REST_S + rest_s
