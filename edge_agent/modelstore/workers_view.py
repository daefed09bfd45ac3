"""What the workers of a slot's pipelines say, and what it means for its next model. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from edge_agent.modelstore.codes import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.line.succession_report import SuccessionReport
    from edge_agent.modelstore.states import Event, State
    from edge_agent.processes.wire import PipelineReport

# The model is loaded then; whether its source is there is another matter.
LOADED = {"running", "waiting", "ended"}
GIVEN_UP = {"failed", "reverted"}
SETTLED_S = 10.0
# An order has its effect within a report or two; a pipeline that knows nothing of it was restarted.
ORDER_S = 5.0
# The first report of a worker that had to be restarted.
REVERT_S = 30.0
RESTART_S = 2.0


class Judgement(NamedTuple):
    """The event that the reports amount to; None: nothing yet."""

    event: Event | None
    code: str = ""
    detail: str = ""


class WorkersView:
    """The pipelines of one slot. One thread uses it."""

    def __init__(self, pipelines: tuple[str, ...], mono_s: Callable[[], float]) -> None:
        self._pipelines = pipelines
        self._mono_s = mono_s
        self._reports: dict[str, PipelineReport] = {}
        self._lost: tuple[str, str] | None = None
        self._deaths = 0
        self._well_since_s: float | None = None
        self._bundle = ""
        self._since_s = 0.0
        self._fresh = False

    def heard(self, report: PipelineReport) -> None:
        """Take a report."""
        self._reports[report.pipeline] = report
        self._fresh = True
        if not self.ready:
            self._well_since_s = None
        elif self._well_since_s is None:
            self._well_since_s = self._mono_s()

    def lost(self, pipeline: str, reason: str) -> None:
        """Note that the worker of a pipeline died."""
        self._reports.pop(pipeline, None)
        self._lost = (pipeline, reason)
        self._deaths += 1
        self._well_since_s = None

    def begin(self, bundle: str) -> None:
        """Begin to judge a next model; "": the bundle in force is another now."""
        self._bundle, self._since_s, self._lost = bundle, self._mono_s(), None
        if not bundle:
            self._deaths = 0
            self._reports.clear()

    def take_news(self) -> bool:
        """Return whether anything was heard since this was asked last."""
        fresh, self._fresh = self._fresh, False
        return fresh

    @property
    def ready(self) -> bool:
        """Whether every pipeline has its model."""
        return all(
            name in self._reports and self._reports[name].state in LOADED
            for name in self._pipelines
        )

    @property
    def settled(self) -> bool:
        """Whether they have had it for long enough to say that it can be loaded."""
        since_s = self._well_since_s
        return since_s is not None and self._mono_s() - since_s >= SETTLED_S

    def cannot_start(self, most_deaths: int) -> str:
        """Return why the model in force does not come up, or ""."""
        for report in self._reports.values():
            if report.state == "failed" and not report.model_sha256:
                return report.detail
        if self._deaths >= most_deaths and self._lost is not None:
            return f"{self._deaths} deaths of its worker: {self._lost[1]}"
        return ""

    def ended(self) -> list[str]:
        """Return the pipelines that inspect no more."""
        over = {"failed", "degraded"}
        return [name for name, report in self._reports.items() if report.state in over]

    @property
    def succession(self) -> list[SuccessionReport]:
        """What is known of the next model, by pipeline."""
        found = (report.succession for report in self._reports.values())
        return [each for each in found if each is not None and each.folder == self._bundle]

    def judge(self, state: State) -> Judgement:
        """Return what follows for a next model in the shadow or on trial, or taken back."""
        if state == "rolling_back":
            return self._judge_return()
        if broken := self._broken():
            return broken
        known = self.succession
        if len(known) < len(self._pipelines):
            overdue = self._mono_s() - self._since_s > ORDER_S and len(self._reports) > len(known)
            return Judgement("interrupted" if overdue else None)
        phases = {each.phase for each in known}
        if state == "shadow":
            return Judgement("agreed" if phases <= {"agreed", "trial", "well"} else None)
        return Judgement("well" if phases <= {"well"} else None)

    def _broken(self) -> Judgement | None:
        if self._lost is not None:
            return Judgement("broke", "worker_died", f"{self._lost[0]}: {self._lost[1]}")
        for name in self.ended():
            report = self._reports[name]
            return Judgement("broke", "errs", f"{name} is {report.state}: {report.detail}")
        for each in self.succession:
            if each.phase in GIVEN_UP:
                code = each.code if each.code in MODEL else "model"
                return Judgement("broke", code, each.detail)
        return None

    def _judge_return(self) -> Judgement:
        decides = {"trial", "well"}
        back = not any(each.phase in decides for each in self.succession)
        if self.ready and back:
            return Judgement("reverted")
        patience_s = RESTART_S if self.ended() else REVERT_S
        if self._mono_s() - self._since_s > patience_s:
            self._since_s = self._mono_s()
            return Judgement("broke", "errs", "a pipeline has to be started anew")
        return Judgement(None)
