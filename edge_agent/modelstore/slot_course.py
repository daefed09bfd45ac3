"""One slot on its way from model to model: what it sees becomes events, and events become actions.

Theory of operation. `step` is called again and again. It looks at the slot's record, at what the
workers reported and at the job that was given to the background, and finds at most one event. The
state that follows is on the disk before anything is done about it, so that an agent that ends at
any moment knows where it was. What cannot be written has not happened: it is seen again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from edge_agent.errors import SyncError
from edge_agent.modelstore import codes, leaving, moments, states
from edge_agent.modelstore.leaving import MOST_ATTEMPTS
from edge_agent.modelstore.slot_record import Candidate, Failure
from edge_agent.modelstore.slot_steps import Ports, SlotSteps, Terms
from edge_agent.reporting.model_messages import SelfTestFigures

if TYPE_CHECKING:
    from edge_agent.modelstore.desired import ModelRef
    from edge_agent.modelstore.slot_record import SlotRecord
    from edge_agent.modelstore.slot_view import SlotView
    from edge_agent.modelstore.slots import SlotFolder
    from edge_agent.modelstore.supplier import News, Refusal
    from edge_agent.modelstore.workers_view import Judgement, WorkersView

log = logging.getLogger(__name__)

# After it was given up for something that is not the model's fault, tried again ever less often.
RETRY_MOST_S = 6 * 3600.0


class SlotCourse:
    """One slot; the updater's thread calls everything."""

    def __init__(self, folder: SlotFolder, terms: Terms, view: SlotView, ports: Ports) -> None:
        self.folder = folder
        self.terms = terms
        self.view = view
        self._steps = SlotSteps(folder, terms, view, ports)
        self._ports = ports
        self._news: News | None = None
        self._result: Any = None  # of a job, until what follows from it is on the disk
        self._retry_s, self._wait_s = 0.0, terms.poll_s

    # ------------------------------------------------------------------ what is heard

    @property
    def record(self) -> SlotRecord:
        """Return what is on the disk."""
        return self._steps.record

    @property
    def running(self) -> ModelRef | None:
        """Return the model in force."""
        return self._steps.running

    @property
    def workers(self) -> WorkersView:
        """Return what the workers say."""
        return self._steps.workers

    @property
    def on_trial(self) -> bool:
        """Whether a next model is in the workers."""
        return self.record.state in {"shadow", "trial", "rolling_back"}

    @property
    def waits_for_job(self) -> bool:
        """Whether something goes on in the background for it."""
        return self.record.state in {"downloading", "selftesting"}

    @property
    def _under_way(self) -> bool:
        return self.record.state in states.UNDER_WAY

    def found(self, news: News | None, refused: Refusal | None) -> None:
        """Take what a look found: another model, none, or one that must not come."""
        if self.folder.pinned != self.view.pinned:
            self.view.pinned = self.folder.pinned
            self._ports.show()
        if self.view.pinned:
            news, refused = None, None
        candidate, self._news = self.record.candidate, news
        if candidate is not None and not refused:
            self._follow(candidate, news)
        elif refused and refused.code not in codes.PASSING and self._under_way:
            self._steps.withdraw()  # it, or the one that is wanted instead, must not come
        if refused is not None:
            # Its manifest was not taken: neither its file nor its length is known.
            failure = Failure(refused.code, refused.detail)
            self._refuse(failure, str(refused.model), "", refused.rollout_id, 0)
        elif self.record.state in states.SETTLED:
            self._settle(news)

    def _follow(self, candidate: Candidate, news: News | None) -> None:
        """See that what is on its way is what is wanted now, by that name: thresholds may differ.

        The same file under another name waits while it is in the workers.
        """
        digest, model = candidate.generation.digest, candidate.generation.model
        if news is None or news.digest != digest or (news.model != model and not self.on_trial):
            self._steps.withdraw()
        elif news.model == model and news.rollout_id != candidate.rollout_id:
            self._steps.join(news)

    def _refuse(self, failure: Failure, to: str, digest: str, rollout_id: str, length: int) -> None:
        view, state = self.view, self.record.state
        now = (state, self.record.error, view.to, view.rollout_id)
        may = state in (*states.SETTLED, *states.WAITING)
        if may and now != ("failed", failure, to, rollout_id):
            view.begin(to, digest, rollout_id, length)
            self._steps.happen("refused", error=failure, candidate=None)

    def _settle(self, news: News | None) -> None:
        if news is None:
            self._steps.happen("satisfied", error=None)
        elif news.digest in self.record.quarantine:
            if self.record.state not in {"failed", "rolled_back"} or not self.view.names(news):
                failure = Failure("quarantined", self.record.quarantine[news.digest])
                self._refuse(failure, str(news.model), news.digest, news.rollout_id, news.length)
        elif self._ports.mono_s() >= self._retry_s:
            self._steps.offer(news)

    def _release(self) -> None:
        released = [each for each in self.folder.releases if self._steps.release(each)]
        if released and self._news is not None and self.record.state in states.SETTLED:
            self._settle(self._news)

    def trouble(self, failure: Failure | None, *, stale: bool) -> None:
        """Take how the latest look went."""
        code = failure.code if failure else ""
        before = self.view.trouble.code if self.view.trouble else ""
        changed = (code, stale) != (before, self.view.stale)
        self.view.trouble, self.view.stale = failure, stale
        if changed:
            self._ports.show()

    def fetched(self, count: int) -> None:
        """Take how many bytes have come."""
        self.view.fetched = count
        self._ports.show()

    # ------------------------------------------------------------------ one step

    def step(self) -> None:
        """See what has happened, and answer it."""
        self._release()
        leaving.look(self._steps)
        state = self.record.state
        if state in states.WAITING:
            self._begin_if_due()
        elif state == "verified":
            self._test()
        elif state == "staged":
            if self._steps.workers.ready and self._ports.turn():
                self._steps.happen("loaded")
        elif self.waits_for_job:
            self._result = self._result or self._ports.result(self.folder.slot)
            if self._result is not None and self._finished(self._result):
                self._result = None
        elif state not in states.SETTLED:
            fresh = self._steps.workers.take_news()
            self._judge(self._steps.workers.judge(state), fresh=fresh)

    def stop(self) -> None:
        """Note an orderly end: nothing that was begun counts as an attempt."""
        if self._under_way:
            self._steps.happen("interrupted", candidate=self._steps.attempted(-1), starts=0)
        elif self.record.starts:
            self._steps.write(starts=0)

    # ------------------------------------------------------------------ finding events

    def open(self) -> None:
        """Find what the agent left behind: after an end in the midst, begin again."""
        factory = self._steps.terms.factory.model_id if self._steps.terms.factory else ""
        if factory and self.record.factory not in {"", factory}:
            # Another kind of model in the config: what was fetched for the former one is over.
            self._steps.write(active=None, fallback=None, candidate=None, state="idle", error=None)
        if factory and self.record.factory != factory:
            self._steps.write(factory=factory)
        if candidate := self.record.candidate:
            generation = candidate.generation
            self.view.begin(str(generation.model), generation.digest, candidate.rollout_id, 0)
            self.view.attempt = candidate.attempt
        self._steps.happen("interrupted")
        if self.record.state == "rolled_back" and self.record.candidate:
            self._steps.write(candidate=None)
        if self.record.active is not None:
            self._steps.write(starts=self.record.starts + 1)
            if self.record.starts > MOST_ATTEMPTS:
                self._steps.fall_back(
                    "interrupted", f"begun {MOST_ATTEMPTS} times without running well"
                )
        self.view.runs = str(self._steps.running or "")
        self.view.pinned = self.folder.pinned
        self._ports.show()

    def _begin_if_due(self) -> None:
        candidate, news = self.record.candidate, self._news
        if candidate is None:
            self._steps.happen("withdrawn", error=None)
        elif candidate.attempt >= MOST_ATTEMPTS:
            self._steps.give_up("exhausted", Failure("interrupted", codes.MODEL["interrupted"]))
        elif news is None or news.model != candidate.generation.model:
            return  # until a look has said how it stands
        elif self._ports.mono_s() >= self._retry_s:
            self._steps.set_turn_anew()
            rollout = news.rollout
            windows = (self._steps.terms.window, rollout.window if rollout else None)
            deadline = rollout.deadline if rollout else None
            clock_s = self._ports.clock_s()
            why = moments.why_not_now(windows, candidate.due_s, deadline, clock_s)
            if not why:
                self._fetch(news, candidate)
            elif self.record.state == "available" or why != self.view.detail:
                self.view.detail = why
                self._steps.happen("waits")

    def _fetch(self, news: News, candidate: Candidate) -> None:
        self.view.detail = ""
        begun = {"candidate": self._steps.attempted(1), "error": None}
        if self._ports.idle() and self._steps.happen("due", **begun):
            self._result = None
            self._ports.fetch(self.folder.slot, news, self.folder.bundle(candidate.generation))

    def _test(self) -> None:
        candidate = self.record.candidate
        if candidate is not None and self._ports.idle() and self._steps.happen("tested"):
            self._ports.test(self.folder.slot, self.folder.bundle(candidate.generation))

    def _finished(self, result: Any) -> bool:  # noqa: ANN401  Fetched, Verified or SyncError
        """Answer what became of a job; return whether the answer is on the disk."""
        if isinstance(result, SyncError):
            return self._not_fetched(Failure(result.code, result.detail))
        if self.record.state == "downloading":
            self._wait_s = self._steps.terms.poll_s
            return self._steps.happen("fetched")
        if result.failure:
            return self._steps.give_up("broke", Failure(result.kind, result.failure))
        self.view.selftest = SelfTestFigures(
            cases=result.cases,
            p50_ms=result.p50_ms,
            p95_ms=result.p95_ms,
            ram_mb=result.ram_mb,
        )
        return self._steps.happen("passed")

    def _not_fetched(self, failure: Failure) -> bool:
        """Try again later: what could not be fetched says nothing of the model."""
        self.view.detail = "waits for the next try" if failure.code in codes.PASSING else ""
        if failure.code in codes.PASSING:
            noted = self._steps.happen(
                "postponed", error=failure, candidate=self._steps.attempted(-1)
            )
        else:
            noted = self._steps.happen("broke", error=failure, candidate=None)
        if noted:
            self._retry_s = self._ports.mono_s() + self._wait_s
            self._wait_s = min(RETRY_MOST_S, 2 * self._wait_s)
        return noted

    def _judge(self, judgement: Judgement, *, fresh: bool) -> None:
        self.view.note_live(self._steps.workers.succession)
        if self.record.state == "rolling_back":
            self._return(judgement)
        elif judgement.event == "broke":
            self._steps.give_up("broke", Failure(judgement.code, judgement.detail))
        elif judgement.event == "well":
            self._steps.confirm()
        elif judgement.event == "interrupted":
            self._begin_again()
        elif judgement.event is not None:
            self._steps.happen(judgement.event)
        elif fresh:
            self._ports.show()

    def _begin_again(self) -> None:
        """Have a pipeline that another config started anew learn of its next model from the start.

        That is no attempt of the model's.
        """
        if self.record.candidate is not None:
            self._steps.order("revert", str(self.folder.bundle(self.record.candidate.generation)))
        self._steps.happen("interrupted", candidate=self._steps.attempted(-1))

    def _return(self, judgement: Judgement) -> None:
        """See that the model before inspects again; if that cannot be had, the factory's."""
        if judgement.event == "reverted":
            self._steps.happen("reverted", candidate=None)
        elif judgement.event == "broke":
            if self.record.active and self._steps.workers.cannot_start(MOST_ATTEMPTS):
                self._steps.write(active=None)
                self._steps.workers.begin("")
                self._ports.moved()
            else:
                self._steps.restart_pipelines()
