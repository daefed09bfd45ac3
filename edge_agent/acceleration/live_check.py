"""Some of the items that an accelerator answers, answered by the CPU as well.

Golden samples show what an accelerator does with them, and when it is loaded. What it does with
other items, and an hour later, only items of the line can show: those that the CPU has time for.
The CPU runs them beside the line, not within it: no item waits for its check. So the item that
shows a wrong answer has had its verdict; from the next one on the CPU answers.
"""

from __future__ import annotations

import math
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

from edge_agent.acceleration.proof import Sample
from edge_agent.errors import ModelError
from edge_agent.inference import golden

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge_agent.modelstore.manifest import SelfTestCase
    from edge_agent.types import Tensors

WHAT = "an item in service"


class LiveCheck:
    """One stay on the accelerator. The thread that runs items offers them, another one checks."""

    def __init__(
        self,
        run_on_cpu: Callable[[Tensors], Tensors],
        cases: Sequence[SelfTestCase],
        share: float,
        mono_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run_on_cpu`: Backend.run, from any thread, in arrays of its own.

        `cases`: how far answers may differ; within one of them is enough. `share`: of the time, how
        much the CPU may be busy with checks, 0..1.
        """
        self._run_on_cpu = run_on_cpu
        kinds = {str((case.atol, case.atol_of, case.rtol)): case for case in cases}
        self._cases = tuple(kinds.values())
        self._share = share
        self._mono_s = mono_s
        self._due_s = -math.inf if share else math.inf
        self._offered: SimpleQueue[tuple[Tensors, Tensors] | None] = SimpleQueue()

    def offer(self, given: Tensors, answers: Tensors) -> None:
        """Take a copy of an item and of its answers, where a check is due."""
        if self._mono_s() < self._due_s:
            return
        self._due_s = math.inf  # one at a time
        self._offered.put((_copied(given), _copied(answers)))

    def end(self) -> None:
        """Have `until_wrong` return: the stay is over. Any thread may call it."""
        self._offered.put(None)

    def until_wrong(self, count: Callable[[str], None]) -> tuple[Sample, str] | None:
        """Check until the end; return the first item that was answered wrongly, and how.

        `count`: told of each item that was checked.
        """
        while (offered := self._offered.get()) is not None:
            began_s = self._mono_s()
            wrong = self._compared(*offered, count)
            if wrong is not None:
                return wrong
            now_s = self._mono_s()
            self._due_s = now_s + (now_s - began_s) * (1 / self._share - 1)
        return None

    def _compared(
        self, given: Tensors, answers: Tensors, count: Callable[[str], None]
    ) -> tuple[Sample, str] | None:
        try:
            wanted = self._run_on_cpu(given)
        except ModelError:  # it is closed, or has no answer: there is nothing to compare with
            return None
        count("accelerator_checks")
        complaints = [golden.difference(answers, wanted, case) for case in self._cases]
        if not all(complaints):
            return None
        return Sample(WHAT, self._cases[0], given, wanted), complaints[0]


def _copied(tensors: Tensors) -> Tensors:
    return {name: array.copy() for name, array in tensors.items()}
