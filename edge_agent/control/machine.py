"""What becomes of a change of the config: a table of states, events and what is to be done.

    steady --accepted--> trial --healthy--> steady
                               --well, to be confirmed--> unconfirmed --confirmed--> steady
                         trial, unconfirmed --failed--> steady, with the last good config
                         unconfirmed --not confirmed--> the same

    steady, trial, unconfirmed --the file was read again--> steady, with what the file says

The agent starts in `interrupted` where it finds a trial on its disk: it ended in the midst of it.
It stays there, whatever the file says, until whoever asked for the trial can be told.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["steady", "trial", "unconfirmed", "interrupted"]
Event = Literal[
    "accepted", "healthy", "well", "failed", "confirmed", "expired", "started", "reloaded"
]
# begin: keep the trial on the disk, then put it in force. commit: it is the last good one now.
# roll_back: the last good one is in force again. wait: ask for a person's word. adopt: the file's
# is in force.
Action = Literal["begin", "commit", "roll_back", "wait", "adopt"]


class Step(NamedTuple):
    """Where an event leads, and what is to be done on the way."""

    state: State
    action: Action


TABLE: dict[tuple[State, Event], Step] = {
    ("steady", "accepted"): Step("trial", "begin"),
    ("trial", "healthy"): Step("steady", "commit"),
    ("trial", "well"): Step("unconfirmed", "wait"),
    ("trial", "failed"): Step("steady", "roll_back"),
    ("unconfirmed", "confirmed"): Step("steady", "commit"),
    ("unconfirmed", "failed"): Step("steady", "roll_back"),
    ("unconfirmed", "expired"): Step("steady", "roll_back"),
    ("interrupted", "started"): Step("steady", "roll_back"),
    ("steady", "reloaded"): Step("steady", "adopt"),
    ("trial", "reloaded"): Step("steady", "adopt"),
    ("unconfirmed", "reloaded"): Step("steady", "adopt"),
    ("interrupted", "reloaded"): Step("interrupted", "adopt"),
}


def step(state: State, event: Event) -> Step | None:
    """Return what follows; None: this event means nothing in this state."""
    return TABLE.get((state, event))
