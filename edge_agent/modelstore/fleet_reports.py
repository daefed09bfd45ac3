"""How far the slots are, as a fleet server hears it: each change once, and again after a restart.

A server that chooses (hawkBit) waits for an end of what it asked for. Which action is open, each
look finds out; what is to be said of it follows from where the slots stand, so that an agent that
was killed in the midst says it anew. Reports go in a background of their own: a download of hours
must not keep the server from hearing that it began.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from edge_agent.modelstore import codes
from edge_agent.modelstore.background import Background
from edge_agent.modelstore.desired_source import SlotReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edge_agent.errors import SyncError
    from edge_agent.modelstore.desired import ModelRef
    from edge_agent.modelstore.desired_source import OpenAction
    from edge_agent.modelstore.slot_course import SlotCourse
    from edge_agent.modelstore.supplier import Look, Supplier

log = logging.getLogger(__name__)

TELL = "(tell)"
RETRY_S = 30.0


class FleetReports:
    """The updater's thread calls everything but `alive`. `server`: None, nobody wants reports."""

    def __init__(self, server: Supplier | None, mono_s: Callable[[], float]) -> None:
        self._server = server
        self._mono_s = mono_s
        self._background = Background("models-report")
        self._action: OpenAction | None = None
        self._said: dict[str, tuple[str, str]] = {}  # state and code by slot
        self._unsent: list[SlotReport] = []
        self._sending: list[SlotReport] = []
        self._retry_s = 0.0
        self._in_trouble = False

    def start(self) -> None:
        """Start the thread, where there is somebody to tell."""
        if self._server is not None:
            self._background.start()

    def stop(self, timeout_s: float) -> None:
        """Say no more: what was not said follows from where the slots stand at the next start."""
        if self._server is not None:
            self._server.stop()
            self._background.stop(timeout_s)

    @property
    def alive(self) -> bool:
        """Whether its thread runs: if not, a bug ended it."""
        return self._server is None or self._background.alive

    def found(self, look: Look, courses: Mapping[str, SlotCourse]) -> None:
        """Take which action is open, and say where its slots stand."""
        if look.action is None or self._action is None or look.action.id != self._action.id:
            self._forget()
            self._action = look.action
        if self._action is not None:
            for slot, wanted in self._action.wants.items():
                self._put(_answer(slot, wanted, look, courses.get(slot)))

    def note(self, course: SlotCourse) -> None:
        """Say that a slot has come further."""
        wanted = self._action.wants.get(course.folder.slot) if self._action else None
        if wanted is not None:
            for report in _standing(course, wanted):
                self._put(report)

    def step(self) -> None:
        """Take what became of the last reports, and send the next."""
        told = self._background.take(TELL)
        if told is not None:
            self._told(told)
        due = self._unsent and self._background.idle and self._mono_s() >= self._retry_s
        if due and self._action is not None and self._server is not None:
            self._sending, self._unsent = self._unsent, []
            job = partial(_tell, self._server, self._action, tuple(self._sending))
            self._background.give(TELL, job)

    def _told(self, told: _Told | SyncError) -> None:
        sent, self._sending = self._sending, []
        if isinstance(told, _Told):
            self._in_trouble = False
            if self._action is None or told.action_id != self._action.id:
                return  # another one was opened meanwhile
            if told.left is None:
                self._forget()
            self._action = told.left
            return
        if not self._in_trouble:
            log.warning("models: the fleet server does not hear reports: %s", told)
        self._in_trouble = True
        self._retry_s = self._mono_s() + RETRY_S
        if told.code == "not_found":
            self._forget()  # it knows no such action any more; the next look says what it wants
        elif self._action is not None:
            self._unsent = sent + self._unsent

    def _put(self, report: SlotReport) -> None:
        key = (report.state, report.code)
        if self._said.get(report.slot) != key:
            self._said[report.slot] = key
            self._unsent.append(report)

    def _forget(self) -> None:
        self._action = None
        self._said.clear()
        self._unsent.clear()
        self._sending = []


class _Told(NamedTuple):
    """What the server still waits for, after reports about an action."""

    action_id: str
    left: OpenAction | None


def _tell(server: Supplier, action: OpenAction, reports: tuple[SlotReport, ...]) -> _Told:
    return _Told(action.id, server.tell(action, reports))


def _answer(slot: str, wanted: ModelRef, look: Look, course: SlotCourse | None) -> SlotReport:
    """Return what is to be said of a slot after a look."""
    say = partial(SlotReport, slot=slot, model=wanted)
    if course is None:
        return say(state="failed", code=codes.NO_SLOT, detail="no pipeline here has this slot")
    if refused := look.refused.get(slot):
        return say(state="failed", code=refused.code, detail=refused.detail)
    for news in look.news:
        if news.slot == slot and (why := course.record.quarantine.get(news.digest)):
            return say(state="failed", code="quarantined", detail=why)
    if course.view.pinned and course.running != wanted:
        return say(state="deferred", detail="somebody at the gateway pinned the model")
    return next(_standing(course, wanted), say(state="available"))


def _standing(course: SlotCourse, wanted: ModelRef) -> Iterator[SlotReport]:
    """Yield where a slot stands with the model, if it stands anywhere."""
    record = course.record
    error, candidate = record.error, record.candidate
    failed = record.state in {"failed", "rolled_back"} and course.view.to == str(wanted)
    if failed or (candidate is not None and candidate.generation.model == wanted):
        yield SlotReport(
            slot=course.folder.slot,
            state=record.state,
            model=wanted,
            code=error.code if error else "",
            detail=error.detail if error else course.view.detail,
        )
    elif course.running == wanted:
        yield SlotReport(slot=course.folder.slot, state="confirmed", model=wanted)
