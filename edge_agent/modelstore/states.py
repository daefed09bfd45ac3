"""The states of a slot, as a table: what an event means in each, and what is to be done then.

    idle -> available -> (deferred) -> downloading -> verified -> selftesting -> staged -> shadow
         -> trial -> confirmed

    before the trial:  any of them --broke--> failed, --withdrawn--> idle
    from the trial on: --broke--> rolling_back -> rolled_back

What ran before runs on through all of it until `trial`, and is kept at hand until `confirmed`. An
agent that ended in the midst finds the state on its disk and begins that model anew, three times at
most. Nothing here reads a clock, a file or a network: see slot_course.py.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from edge_agent.reporting import model_messages

State = model_messages.SlotState
# offered: another model is to run here. refused: there is one, and it must not. satisfied: what
# runs is what is wanted. withdrawn: it is wanted no more. waits, due: for a moment to begin.
# postponed: the line broke, say. exhausted: begun too often. recalled: away from a confirmed model.
# released: from quarantine, by hand.
Event = Literal[
    "offered",
    "refused",
    "satisfied",
    "withdrawn",
    "waits",
    "due",
    "postponed",
    "exhausted",
    "fetched",
    "tested",
    "passed",
    "loaded",
    "agreed",
    "well",
    "broke",
    "interrupted",
    "recalled",
    "reverted",
    "released",
]
# note: enter the model. drop: forget it. fetch, test: in a child process. load: beside what runs.
# unload: the same back. swap: what runs. keep: for good. revert: what ran runs again. fall_back:
# the generation before runs again. show: say so, nothing more.
Action = Literal[
    "show",
    "note",
    "drop",
    "fetch",
    "test",
    "load",
    "unload",
    "swap",
    "keep",
    "revert",
    "fall_back",
]


class Step(NamedTuple):
    """Where an event leads, and what is to be done on the way."""

    state: State
    action: Action


SETTLED: tuple[State, ...] = ("idle", "confirmed", "failed", "rolled_back")
WAITING: tuple[State, ...] = ("available", "deferred")
# A model is on its way and nothing of it is in a worker yet.
BEFORE_WORKER: tuple[State, ...] = ("downloading", "verified", "selftesting", "staged")
UNDER_WAY: tuple[State, ...] = (*BEFORE_WORKER, "shadow", "trial")

TABLE: dict[tuple[State, Event], Step] = {
    **{(state, "offered"): Step("available", "note") for state in SETTLED},
    **{(state, "refused"): Step("failed", "show") for state in (*SETTLED, *WAITING)},
    **{(state, "recalled"): Step("rolling_back", "fall_back") for state in (*SETTLED, *WAITING)},
    ("failed", "satisfied"): Step("idle", "show"),
    ("rolled_back", "satisfied"): Step("idle", "show"),
    ("failed", "released"): Step("idle", "show"),
    ("rolled_back", "released"): Step("idle", "show"),
    **{(state, "waits"): Step("deferred", "show") for state in WAITING},
    **{(state, "due"): Step("downloading", "fetch") for state in WAITING},
    **{(state, "exhausted"): Step("failed", "drop") for state in WAITING},
    **{(state, "withdrawn"): Step("idle", "drop") for state in (*WAITING, *BEFORE_WORKER)},
    **{(state, "postponed"): Step("deferred", "show") for state in ("downloading", "selftesting")},
    ("downloading", "fetched"): Step("verified", "show"),
    ("verified", "tested"): Step("selftesting", "test"),
    ("selftesting", "passed"): Step("staged", "show"),
    ("staged", "loaded"): Step("shadow", "load"),
    **{(state, "broke"): Step("failed", "drop") for state in BEFORE_WORKER},
    ("shadow", "agreed"): Step("trial", "swap"),
    ("shadow", "broke"): Step("failed", "unload"),
    ("shadow", "withdrawn"): Step("idle", "unload"),
    ("trial", "well"): Step("confirmed", "keep"),
    ("trial", "broke"): Step("rolling_back", "revert"),
    ("trial", "withdrawn"): Step("rolling_back", "revert"),
    ("rolling_back", "reverted"): Step("rolled_back", "show"),
    **{(state, "interrupted"): Step("available", "note") for state in UNDER_WAY},
    ("rolling_back", "interrupted"): Step("rolled_back", "show"),
}


def step(state: State, event: Event) -> Step | None:
    """Return what follows; None: this event means nothing in this state."""
    return TABLE.get((state, event))
