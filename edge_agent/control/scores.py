"""The scores of the parts inspected last, and how many of those did not pass."""

from __future__ import annotations

import sys
from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from edge_agent.control.requests import Refused
from edge_agent.errors import FieldError

if TYPE_CHECKING:
    from edge_agent.control.requests import Command
    from edge_agent.types import Verdict

SCORES_MOST = 1000


class _Part(NamedTuple):
    model: str
    score: float
    passed: bool


class Scores:
    """One thread adds, another one asks."""

    def __init__(self) -> None:
        self._parts: dict[str, deque[_Part]] = defaultdict(lambda: deque(maxlen=SCORES_MOST))

    def add(self, verdict: Verdict) -> None:
        """Take the score of an inspected item."""
        if verdict.outcome != "error":
            # Each message brings a hash of its own: keep the one that is kept already.
            model = sys.intern(verdict.model_sha256)
            part = _Part(model, verdict.score, verdict.outcome == "pass")
            self._parts[verdict.pipeline].append(part)

    def of_good(self, command: Command) -> list[float]:
        """Return the scores of the last parts, by the model that inspects now.

        Raises Refused where there are not as many, or where some of them may not be good.
        """
        seen = list(self._parts[command.pipeline])
        parts = [each for each in seen if each.model == seen[-1].model][-command.parts :]
        if len(parts) < command.parts:
            text = f"only {len(parts)} parts were inspected by this model since the agent started"
            raise _refused(409, text)
        bad = sum(not each.passed for each in parts)
        if bad and not command.any_verdict:
            text = f"{bad} of these {len(parts)} parts did not pass: are all of them good?"
            raise _refused(422, f'{text} "any_verdict": true takes them all the same')
        return [each.score for each in parts]


def _refused(code: int, message: str) -> Refused:
    return Refused(code, "refused", [FieldError("/parts", "command", message)])
