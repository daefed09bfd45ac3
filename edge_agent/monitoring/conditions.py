"""What may be wrong with a source, each as a small machine, and the state that they make together.

    phase      seen      it lasts hold_s   ->  phase
    absent     yes                             suspected
    suspected  no                              absent
    suspected  yes       yes                   present
    present    no                              leaving
    leaving    yes                             present
    leaving    no        yes                   absent

In `present` and `leaving` the condition holds. Of several, the first in their order is the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Phase = Literal["absent", "suspected", "present", "leaving"]

# phase, whether it is seen, whether the phase has lasted its time -> phase; else it stays.
NEXT: dict[tuple[Phase, bool, bool], Phase] = {
    ("absent", True, False): "suspected",
    ("absent", True, True): "suspected",
    ("suspected", False, False): "absent",
    ("suspected", False, True): "absent",
    ("suspected", True, True): "present",
    ("present", False, False): "leaving",
    ("present", False, True): "leaving",
    ("leaving", True, False): "present",
    ("leaving", True, True): "present",
    ("leaving", False, True): "absent",
}
HOLDS: frozenset[Phase] = frozenset({"present", "leaving"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition by its name; how long it must be seen, and be gone, before that counts."""

    name: str
    enter_s: float = 0.0
    leave_s: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What a source is like: `name` is "connected" where nothing is wrong."""

    name: str
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether its items may be inspected."""
        return self.name == CONNECTED


CONNECTED = "connected"


@dataclass(slots=True)
class _Condition:
    rule: Rule
    phase: Phase = "absent"
    since_s: float = 0.0
    detail: str = ""


class Conditions:
    """All conditions of one source. One thread uses it; times on the monotonic clock."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """`rules`: the most telling first."""
        self._conditions = {rule.name: _Condition(rule) for rule in rules}
        self.state = State(CONNECTED)
        """The first condition that holds, or that nothing is wrong."""

    def see(self, name: str, mono_s: float, detail: str = "", *, seen: bool = True) -> None:
        """Note whether a condition is seen at this moment; `detail`: why, in words."""
        condition = self._conditions[name]
        if not seen and condition.phase == "absent":
            return  # as with nearly every item
        if seen and detail:
            condition.detail = detail
        # At most two steps: one into a phase, one out of it where its time is 0.
        for _ in range(2):
            rule = condition.rule
            limit_s = rule.enter_s if condition.phase == "suspected" else rule.leave_s
            over = mono_s - condition.since_s >= limit_s
            phase = NEXT.get((condition.phase, seen, over), condition.phase)
            if phase == condition.phase:
                break
            condition.phase, condition.since_s = phase, mono_s
        self.state = self._first_that_holds()

    def _first_that_holds(self) -> State:
        for name, condition in self._conditions.items():
            if condition.phase in HOLDS:
                return State(name, condition.detail)
        return State(CONNECTED)
