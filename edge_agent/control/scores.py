"""The scores of the parts inspected last, and how many of those did not pass."""

from __future__ import annotations

import math
import threading
from array import array
from collections import defaultdict
from typing import TYPE_CHECKING

from edge_agent.control.requests import Refused
from edge_agent.errors import FieldError

if TYPE_CHECKING:
    from edge_agent.control.requests import RecalibrateCommand
    from edge_agent.types import Verdict

SCORES_MOST = 1000


class _Latest:
    """A pipeline's last parts, in arrays of one size: what it takes does not grow with parts."""

    def __init__(self) -> None:
        self._scores = array("d", bytes(8 * SCORES_MOST))
        self._passed = bytearray(SCORES_MOST)
        self._kinds = array("q", bytes(8 * SCORES_MOST))
        self._kind: dict[str, int] = {}  # by recipe: of its newest part
        self._count = 0

    def add(self, verdict: Verdict) -> None:
        place = self._count % SCORES_MOST
        self._scores[place] = verdict.score
        self._passed[place] = verdict.outcome == "pass"
        kind = hash((verdict.model_sha256, verdict.recipe))
        self._kinds[place] = self._kind[verdict.recipe] = kind
        self._count += 1

    def of_recipe(self, recipe: str) -> list[tuple[float, bool]]:
        """Return score and whether it passed, by the recipe and its newest model, oldest first."""
        last = range(max(0, self._count - SCORES_MOST), self._count)
        places = [number % SCORES_MOST for number in last]
        return [
            (self._scores[place], bool(self._passed[place]))
            for place in places
            if self._kinds[place] == self._kind.get(recipe)
        ]


class Scores:
    """Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parts: dict[str, _Latest] = defaultdict(_Latest)

    def add(self, verdict: Verdict) -> None:
        """Take the score of an inspected item."""
        if verdict.outcome != "error" and math.isfinite(verdict.score):
            with self._lock:
                self._parts[verdict.pipeline].add(verdict)

    def of_good(self, command: RecalibrateCommand, recipe: str) -> list[float]:
        """Return the scores of the last parts of a recipe, by the model that inspected them last.

        Raises Refused where there are not as many, or where some of them may not be good.
        """
        with self._lock:
            parts = self._parts[command.pipeline].of_recipe(recipe)[-command.parts :]
        if len(parts) < command.parts:
            of = f" of recipe {recipe}" if recipe else ""
            text = (
                f"only {len(parts)} parts{of} were inspected by this model since the agent started"
            )
            raise _refused(409, text)
        bad = sum(not passed for _, passed in parts)
        if bad and not command.any_verdict:
            text = f"{bad} of these {len(parts)} parts did not pass: are all of them good?"
            raise _refused(422, f'{text} "any_verdict": true takes them all the same')
        return [score for score, _ in parts]


def _refused(code: int, message: str) -> Refused:
    return Refused(code, "refused", [FieldError("/parts", "command", message)])
