"""Whether an accelerator answers as the CPU does: the golden samples of the bundle on both.

An item of the line that it answered wrongly is one of the samples from then on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.errors import AcceleratorError
from edge_agent.inference import golden

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.backends.base import Backend
    from edge_agent.modelstore.manifest import Bundle, SelfTestCase
    from edge_agent.types import Tensors

# The first run of each sample may compile; the second is as long as all that follow.
RUNS = 2
# A run that takes this many times longer than the slowest of the proof hangs; a moment in which
# another process had the machine must not look like it.
DEADLINE_RUNS, DEADLINE_LEAST_S = 20.0, 1.0


# Items of the line that are kept; a camera's may take a megabyte each.
KEPT = 4


@dataclass(frozen=True, slots=True)
class Sample:
    """An input, what the CPU of this gateway answers to it, and how far an answer may be off."""

    what: str
    case: SelfTestCase
    given: Tensors
    wanted: Tensors


@dataclass(frozen=True, slots=True)
class Proof:
    """What an accelerator has to answer before it may inspect; `kept`: items of the line."""

    samples: tuple[Sample, ...]
    kept: tuple[Sample, ...] = ()

    def with_item(self, item: Sample) -> Proof:
        """Return it with one more item of the line; the oldest goes where there are too many."""
        return Proof(self.samples, (*self.kept, item)[-KEPT:])


def on_cpu(folder: Path, bundle: Bundle, backend: Backend) -> Proof:
    """Have the CPU answer every golden sample of the bundle. Raises ModelError."""
    samples = []
    for case in bundle.manifest.selftest.cases:
        given = golden.read_tensors(folder, bundle, case.golden_in)
        # Copies: a backend may write its next answers to the same place.
        answers = {name: array.copy() for name, array in backend.run(given).items()}
        samples.append(Sample(f"golden sample {case.golden_in}", case, given, answers))
    return Proof(tuple(samples))


def prove(run: Callable[[Tensors], Tensors], proof: Proof, most_s: float) -> float:
    """Run every sample on the accelerator; return how long a run may take from now on, in seconds.

    Raises AcceleratorError: what `run` raises, or `wrong_answers`.
    """
    slowest_s = 0.0
    for sample in (*proof.samples, *proof.kept):
        for _ in range(RUNS):
            began_s = time.monotonic()
            answers = run(sample.given)
            taken_s = time.monotonic() - began_s
            if complaint := golden.difference(answers, sample.wanted, sample.case):
                raise AcceleratorError("wrong_answers", f"{sample.what}: {complaint}")
        slowest_s = max(slowest_s, taken_s)
    return min(most_s, max(DEADLINE_LEAST_S, DEADLINE_RUNS * slowest_s))
