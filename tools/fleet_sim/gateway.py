"""One simulated gateway: the agent's own supplier, course and store, with a stub for inference.

It polls, checks signatures, fetches, goes from state to state on its disk and reports each of them,
as an agent does. What a model does on live items is made up: it does well, or it errs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.errors import SyncError
from edge_agent.line.succession_report import SuccessionReport
from edge_agent.modelstore import states
from edge_agent.modelstore.desired import ModelRef
from edge_agent.modelstore.floors import FloorFile, with_confirmed
from edge_agent.modelstore.slot_course import SlotCourse
from edge_agent.modelstore.slot_record import Failure
from edge_agent.modelstore.slot_steps import Ports, Terms
from edge_agent.modelstore.slot_view import SlotView
from edge_agent.modelstore.slots import SlotFolder
from edge_agent.processes import wire
from edge_agent.reporting.messages import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.modelstore.layout import StoreLayout
    from edge_agent.modelstore.slot_record import Generation
    from edge_agent.modelstore.supplier import News, RepositorySupplier
    from edge_agent.reporting.model_messages import ModelStatusMessage

SLOT = "spindle"
FACTORY = ModelRef("wear", "0.9.0")
# A poll that brings news takes a step for each state; more than these, and it hangs.
STEPS_MOST = 30


@dataclass(frozen=True, slots=True)
class StubTest:
    """A self-test that passed; see slot_steps.Verified."""

    kind: str = ""
    failure: str = ""
    cases: int = 1
    p50_ms: float = 1.0
    p95_ms: float = 1.0
    ram_mb: float = 1.0


class SimulatedGateway:
    """`errs` says whether a model fails in its trial here; `publish` takes each status.

    `said` is the newest of them.
    """

    said: ModelStatusMessage

    def __init__(
        self,
        supplier: RepositorySupplier,
        layout: StoreLayout,
        errs: Callable[[ModelRef], bool],
        publish: Callable[[bytes], None],
    ) -> None:
        self._supplier = supplier
        self._layout = layout
        self._errs = errs
        self._publish = publish
        self._result: Any = None
        self._folder = SlotFolder(layout, SLOT)
        self._view = SlotView(supplier.place.device, SLOT, "simulated")
        self._course: SlotCourse | None = None
        terms = Terms(("line",), FACTORY, None, pause=False, poll_s=0.0)
        self.course = self._course = SlotCourse(self._folder, terms, self._view, self._ports())
        self._show()
        self._hear("", None)

    def poll(self) -> None:
        """Ask for news and do what follows."""
        course = self.course
        running = course.running or FACTORY
        try:
            look = self._supplier.look({SLOT: running})
        except SyncError as error:
            course.trouble(Failure(error.code, error.detail), stale=error.code == "expired")
            return
        course.trouble(None, stale=False)
        course.found(next(iter(look.news), None), look.refused.get(SLOT))
        for _ in range(STEPS_MOST):
            before = course.record.state
            course.step()
            if before == course.record.state and before in (*states.SETTLED, *states.WAITING):
                break

    def _ports(self) -> Ports:
        return Ports(
            order=self._order,
            idle=lambda: True,
            fetch=self._fetch,
            test=self._test,
            result=lambda _: self._result,
            moved=lambda: None,
            confirmed=self._confirmed,
            show=self._show,
            turn=lambda: True,
            reached=lambda _: None,
            clock_s=time.time,
            mono_s=time.monotonic,
        )

    def _fetch(self, _slot: str, news: News, bundle: Path) -> None:
        keep = {blob for each in self.course.record.generations for blob in each.blobs}
        try:
            self._result = self._supplier.fetch(news, bundle, keep, self._fetched)
        except SyncError as error:
            self._result = error

    def _fetched(self, count: int) -> None:
        self._view.fetched = count

    def _test(self, _slot: str, _bundle: Path) -> None:
        self._result = StubTest()

    def _order(self, order: wire.Order) -> bool:
        """Answer as a worker would, at once."""
        if isinstance(order, wire.Succeed):
            candidate = self.course.record.candidate
            errs = candidate is not None and self._errs(candidate.generation.model)
            phases: dict[str, Any] = {
                "load": "agreed",
                "swap": "reverted" if errs else "well",
                "keep": None,
                "revert": None,
            }
            self._hear(order.folder, phases[order.step])
        return True

    def _hear(self, bundle: str, phase: Any) -> None:  # noqa: ANN401  a phase, or None
        code = "errs" if phase == "reverted" else ""
        succession = SuccessionReport(
            folder=bundle, phase=phase, code=code, detail="as simulated" if code else "", items=5
        )
        model = self.course.running or FACTORY
        self.course.workers.heard(
            wire.PipelineReport(
                pipeline="line",
                state="running",
                detail="",
                stage="",
                stage_since_mono_ns=0,
                totals={},
                latency_counts={},
                model=model.model_id,
                model_version=model.version,
                model_sha256="",
                accelerator="",
                succession=succession if phase else None,
            )
        )

    def _confirmed(self, generation: Generation) -> None:
        with self._layout.locked():
            file = FloorFile(self._layout.floor)
            model_id = generation.model.model_id
            file.write(with_confirmed(file.read(), model_id, generation.seq))

    def _show(self) -> None:
        if self._course is not None:
            self.said = self._view.message(self._course.record)
            self._publish(encode(self.said))
