"""One slot with a model in force and another on its way: restarts, ways back, and what it was told.

The record is on a real disk; workers, background and clocks are the test's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from edge_agent.errors import SyncError
from edge_agent.line.succession_report import SuccessionReport
from edge_agent.modelstore.desired import ModelRef, Rollout, Stage
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.slot_course import SlotCourse
from edge_agent.modelstore.slot_record import Generation, SlotRecord
from edge_agent.modelstore.slot_steps import Ports, Terms
from edge_agent.modelstore.slot_view import SlotView
from edge_agent.modelstore.slots import SlotFolder
from edge_agent.modelstore.supplier import Fetched, News, Refusal
from edge_agent.modelstore.workers_view import ORDER_S, SETTLED_S
from tests.updating.test_workers_view import report
from tools.fleet_sim.gateway import STEPS_MOST, StubTest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.line.succession_report import Phase
    from edge_agent.modelstore.states import State
    from edge_agent.processes import wire

SLOT, FACTORY = "plates", ModelRef("parts", "0.9.0")


def generation(number: int) -> Generation:
    return Generation(
        number=number, model=ModelRef("parts", f"{number}.0.0"), digest=f"{number}" * 64, seq=number
    )


ONE, TWO, THREE = generation(1), generation(2), generation(3)
NEWS = News(
    slot=SLOT, model=THREE.model, digest=THREE.digest, seq=3, blobs=(), length=0, manifest=b""
)


@dataclass
class Gateway:
    """A slot that runs TWO, confirmed after ONE; `start` is a start of the agent."""

    layout: StoreLayout
    mono_s: float = 0.0
    clock_s: float = field(default_factory=time.time)
    tests: Callable[[], StubTest | SyncError] = StubTest
    result: Any = None
    orders: list[wire.Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.record.write(
            SlotRecord(state="confirmed", factory="parts", active=TWO, fallback=ONE, last_number=2)
        )

    @property
    def folder(self) -> SlotFolder:
        return SlotFolder(self.layout, SLOT)

    @property
    def record(self) -> SlotRecord:
        return self.folder.record.read()

    def start(self, window: str | None = None) -> SlotCourse:
        self.orders.clear()
        ports = Ports(
            order=self._order,
            idle=lambda: True,
            fetch=lambda *_: self._finish(Fetched(0, 0)),
            test=lambda *_: self._finish(self.tests()),
            result=self._take,
            moved=lambda: None,
            confirmed=lambda _: None,
            show=lambda: None,
            turn=lambda: True,
            reached=lambda _: None,
            clock_s=lambda: self.clock_s,
            mono_s=lambda: self.mono_s,
        )
        terms = Terms((SLOT,), FACTORY, window, pause=False, poll_s=300.0)
        course = SlotCourse(self.folder, terms, SlotView("gw-1", SLOT, "boot"), ports)
        course.open()
        return course

    def inspect(
        self, course: SlotCourse, phase: Phase | None = None, seconds: float = SETTLED_S
    ) -> None:
        """Have the pipeline report now and after `seconds`; `phase`: of its next model."""
        succession = None
        if phase and self.record.candidate:
            bundle = str(self.folder.bundle(self.record.candidate.generation))
            succession = SuccessionReport(folder=bundle, phase=phase)
        for more in (seconds, 0.1):
            course.workers.heard(replace(report(SLOT), succession=succession))
            course.step()
            self.mono_s += more

    def bring(self, course: SlotCourse, to: State) -> None:
        """Offer THREE and go on until it is there."""
        course.found(NEWS, None)
        if to in {"shadow", "trial"}:
            course.workers.heard(report(SLOT))
        if to == "trial":
            self.bring(course, "shadow")
            self.inspect(course, "agreed", 1.0)
        for _ in range(STEPS_MOST):
            if self.record.state != to:
                course.step()
        assert self.record.state == to

    def shut(self) -> str:
        """Return a window that is shut now."""
        hour = (time.localtime(self.clock_s).tm_hour + 12) % 24
        return f"{hour:02}:00-{(hour + 1) % 24:02}:00"

    def _order(self, order: wire.Order) -> bool:
        self.orders.append(order)
        return True

    def _finish(self, result: Any) -> None:
        self.result = result

    def _take(self, _slot: str) -> Any:
        taken, self.result = self.result, None
        return taken


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(StoreLayout(tmp_path / "models"))


@pytest.mark.parametrize("orderly", [False, True])
@pytest.mark.parametrize("to", ["deferred", "shadow"])
def test_a_model_that_runs_well_stays_however_often_the_agent_ends_while_another_waits(
    gateway: Gateway, to: State, *, orderly: bool
) -> None:
    for _ in range(5):
        course = gateway.start(gateway.shut() if to == "deferred" else None)
        gateway.inspect(course)
        if to == "deferred" or orderly:  # a third cut in the shadow is the end of THREE
            gateway.bring(course, to)
        gateway.inspect(course, "shadow")
        if orderly:
            course.stop()
    assert gateway.record.active == TWO
    assert not gateway.record.quarantine


def test_a_model_that_never_comes_up_is_left_also_while_another_waits(gateway: Gateway) -> None:
    for _ in range(4):
        course = gateway.start(gateway.shut())
        course.found(NEWS, None)
        course.step()
    assert (gateway.record.active, gateway.record.state) == (ONE, "rolling_back")
    assert list(gateway.record.quarantine) == [TWO.digest]


@pytest.mark.parametrize("to", ["deferred", "staged"])
def test_a_model_that_cannot_be_loaded_makes_way_for_the_one_before_whatever_is_on_its_way(
    gateway: Gateway, to: State
) -> None:
    course = gateway.start(gateway.shut() if to == "deferred" else None)
    gateway.bring(course, to)
    course.workers.heard(report(SLOT, state="failed"))
    course.step()
    record = gateway.record
    assert (record.active, record.candidate, record.state) == (ONE, None, "rolling_back")
    assert record.quarantine == {TWO.digest: "model: it said so"}
    gateway.inspect(course)
    course.found(NEWS, None)
    assert (gateway.record.state, gateway.record.candidate) != ("rolled_back", None)


@pytest.mark.parametrize("to", ["deferred", "staged", "shadow"])
def test_a_person_goes_back_at_once_whatever_is_on_its_way(gateway: Gateway, to: State) -> None:
    course = gateway.start(gateway.shut() if to == "deferred" else None)
    gateway.bring(course, to)
    gateway.folder.recall(TWO.digest)
    course.step()
    assert (gateway.record.active, gateway.record.fallback) == (ONE, None)
    assert list(gateway.record.quarantine) == [TWO.digest]
    gateway.inspect(course)
    assert gateway.record.state == "rolled_back"
    assert gateway.record.active == ONE
    assert not gateway.folder.recalled


def test_a_person_takes_back_what_is_on_trial_and_what_ran_before_runs(gateway: Gateway) -> None:
    course = gateway.start()
    gateway.bring(course, "trial")
    gateway.folder.recall(THREE.digest)
    course.step()
    gateway.inspect(course, "reverted")
    record = gateway.record
    assert (record.state, record.active, record.fallback) == ("rolled_back", TWO, ONE)
    assert list(record.quarantine) == [THREE.digest]
    assert not gateway.folder.recalled


def test_a_wish_to_leave_a_model_that_is_left_already_is_over(gateway: Gateway) -> None:
    """As after a power cut between going back and noting that it was done."""
    gateway.folder.recall(THREE.digest)
    course = gateway.start()
    gateway.inspect(course)
    assert gateway.record.active == TWO
    assert not gateway.folder.recalled


def test_a_self_test_that_cannot_be_begun_is_tried_again(gateway: Gateway) -> None:
    course = gateway.start()
    gateway.inspect(course)
    gateway.tests = lambda: SyncError("disk", "Cannot allocate memory")
    gateway.bring(course, "deferred")
    assert gateway.record.error is not None
    gateway.tests, gateway.mono_s = StubTest, gateway.mono_s + 301
    gateway.bring(course, "shadow")
    assert gateway.record.candidate is not None
    assert gateway.record.candidate.attempt == 1


@pytest.mark.parametrize(
    ("to", "then"), [("staged", "failed"), ("shadow", "failed"), ("trial", "rolling_back")]
)
def test_what_is_under_way_is_given_up_where_another_is_wanted_that_must_not_come(
    gateway: Gateway, to: State, then: State
) -> None:
    course = gateway.start()
    gateway.bring(course, to)
    four = ModelRef("parts", "4.0.0")
    course.found(None, Refusal(model=four, rollout_id="r", code="offline", detail="no answer"))
    assert gateway.record.state == to
    course.found(None, Refusal(model=four, rollout_id="r", code="too_new", detail="agent 9"))
    assert gateway.record.state == then
    assert not gateway.record.quarantine


def test_configs_that_start_a_pipeline_anew_are_no_attempts_of_its_next_model(
    gateway: Gateway,
) -> None:
    course = gateway.start()
    gateway.inspect(course)
    for _ in range(4):
        gateway.bring(course, "shadow")
        gateway.inspect(course, "shadow", 1.0)
        gateway.inspect(course, None, ORDER_S)  # it knows of no next model any more
    gateway.bring(course, "shadow")
    assert not gateway.record.quarantine


def test_a_turn_that_was_set_by_a_clock_that_was_ahead_is_set_anew(gateway: Gateway) -> None:
    course = gateway.start()
    rollout = Rollout("r", THREE.model, (Stage(100.0),), jitter_s=60.0)
    gateway.clock_s += 800 * 86_400
    course.found(replace(NEWS, rollout=rollout), None)
    gateway.clock_s -= 800 * 86_400
    course.step()
    due_s = gateway.record.candidate.due_s if gateway.record.candidate else 0
    assert gateway.clock_s < due_s <= gateway.clock_s + 60.0
    gateway.clock_s += 60.0
    course.step()
    assert gateway.record.state == "downloading"
