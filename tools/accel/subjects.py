"""What is run on accelerators: a model, inputs for it, and what its answers are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from edge_agent.modelstore.manifest import SelfTestCase
    from edge_agent.types import Tensors

    Answers = Mapping[int, Tensors]  # by the number of the input
    Verdicts = Callable[[Answers], dict[int, str]]


ANYTHING = 1e9  # of an output that may answer what it likes


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with inputs for it, called `what`.

    `case`: how far answers may differ. `verdicts`: what answers to these inputs come to; None where
    that is nothing. `golden`: the bundle's golden samples; none of a published
    model. `truths`: the right verdict on each input, where it is known.
    """

    name: str
    model: bytes
    inputs: Sequence[Tensors]
    what: str
    case: SelfTestCase
    verdicts: Verdicts | None
    golden: Sequence[tuple[SelfTestCase, Tensors]] = ()
    truths: tuple[str, ...] = ()

    def allowed(self, output: str) -> float | None:
        """Return how far an output may be off, as it is stored; None where it does not matter."""
        atol = self.case.atol_of.get(output, self.case.atol)
        return None if atol >= ANYTHING else atol

    def flips(self, answers: Answers, wanted: Answers) -> int | None:
        """Return how many verdicts are others."""
        if self.verdicts is None:
            return None
        others = self.verdicts({number: wanted[number] for number in answers})
        return sum(each != others[number] for number, each in self.verdicts(answers).items())

    def right(self, answers: Answers) -> int | None:
        """Return how many verdicts are right; None where nobody knows."""
        if self.verdicts is None or not self.truths:
            return None
        return sum(each == self.truths[number] for number, each in self.verdicts(answers).items())
