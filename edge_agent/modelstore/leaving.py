"""Going back from the model in force: a person asks for it, or it does not come up."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from edge_agent.modelstore import codes, states
from edge_agent.modelstore.slot_record import Failure

if TYPE_CHECKING:
    from edge_agent.modelstore.slot_steps import SlotSteps

MOST_ATTEMPTS = 3


def look(steps: SlotSteps) -> None:
    """Go back where there is a reason to, whatever else is on its way."""
    if digest := steps.folder.recalled:
        _recall(steps, digest)
    record = steps.record
    if record.active is None or not record.starts or not _active_inspects(steps):
        return
    if why := steps.workers.cannot_start(MOST_ATTEMPTS):
        steps.fall_back("model", why)
    elif steps.workers.settled:
        steps.write(starts=0)


def _recall(steps: SlotSteps, digest: str) -> None:
    """Go back from the model of this digest, in force or on trial, as a person asked."""
    active, candidate = steps.record.active, steps.record.candidate
    failure = Failure("recalled", codes.MODEL["recalled"])
    if candidate is not None and candidate.generation.digest == digest:
        steps.give_up("broke" if steps.record.state in states.UNDER_WAY else "exhausted", failure)
    elif active is None or active.digest != digest:
        with contextlib.suppress(OSError):  # it is seen again, and nothing is to be done then
            steps.folder.recall("")
    elif _active_inspects(steps):
        steps.fall_back(failure.code, failure.detail)


def _active_inspects(steps: SlotSteps) -> bool:
    """Whether the model in force does, and not one on trial."""
    return steps.record.state not in {"trial", "rolling_back"}
