"""One slot on its way from model to model: what it sees becomes events, and events become actions.

Theory of operation. `step` is called again and again. It looks at the slot's record, at what the
workers reported and at the job that was given to the background, and finds at most one event. The
state that follows is on the disk before anything is done about it, so that an agent that ends at
any moment knows where it was. What cannot be written has not happened: it is seen again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edge_agent.errors import SyncError
from edge_agent.modelstore import codes, moments, states
from edge_agent.modelstore.slot_record import Candidate, Failure, Generation
from edge_agent.modelstore.slot_view import SlotView
from edge_agent.modelstore.workers_view import Judgement, WorkersView
from edge_agent.processes import wire
from edge_agent.reporting.model_messages import SelfTestFigures

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.modelstore.desired import ModelRef
    from edge_agent.modelstore.slots import SlotFolder
    from edge_agent.modelstore.states import Event
    from edge_agent.modelstore.supplier import News

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 3
# After it was given up for something that is not the model's fault, tried again ever less often.
RETRY_MOST_S = 6 * 3600.0


class Verified(Protocol):
    """What became of a self-test; see commands/verification.py."""

    @property
    def kind(self) -> str:
        """A code, where it failed."""

    @property
    def failure(self) -> str:
        """A sentence, or "" where it passed."""

    @property
    def cases(self) -> int:
        """Golden samples."""

    @property
    def p50_ms(self) -> float:
        """Median of its runs."""

    @property
    def p95_ms(self) -> float:
        """Of its runs."""

    @property
    def ram_mb(self) -> float:
        """What it needed."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What a slot may do. `order`: tell a pipeline's worker. `idle`: whether the background is;
    `fetch`, `test`: there; `result`: what became of it, once. `moved`: the bundle in force is
    another. `confirmed`: a model was; its seq is not to be gone below. `reached`: where a
    test may end the process. `show`: publish the status. `turn`: whether no other slot is on trial
    in the same process.
    """

    order: Callable[[wire.Order], bool]
    idle: Callable[[], bool]
    fetch: Callable[[str, News, Path], None]
    test: Callable[[str, Path], None]
    result: Callable[[str], Any]
    moved: Callable[[], None]
    confirmed: Callable[[Generation], None]
    show: Callable[[SlotCourse], None]
    turn: Callable[[SlotCourse], bool]
    reached: Callable[[str], None]
    clock_s: Callable[[], float]
    mono_s: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the config says of a slot. `factory`: what its own bundle is, None where unreadable."""

    pipelines: tuple[str, ...]
    factory: ModelRef | None
    window: str | None
    pause: bool
    poll_s: float


class SlotCourse:
    """One slot; the updater's thread calls everything."""

    def __init__(self, folder: SlotFolder, terms: Terms, view: SlotView, ports: Ports) -> None:
        self.folder = folder
        self.terms = terms
        self.view = view
        self.workers = WorkersView(terms.pipelines, ports.mono_s)
        self.record = folder.record.read()
        self._ports = ports
        self._news: News | None = None
        self._retry_s, self._wait_s = 0.0, terms.poll_s
        self._open()

    # ------------------------------------------------------------------ what is heard

    @property
    def running(self) -> ModelRef | None:
        """Return the model in force."""
        active = self.record.active
        return active.model if active else self.terms.factory

    @property
    def on_trial(self) -> bool:
        """Whether a next model is in the workers."""
        return self.record.state in {"shadow", "trial", "rolling_back"}

    def found(self, news: News | None, refused: tuple[str, str] | None) -> None:
        """Take what a look found: another model, none, or one that must not come."""
        pinned = self.folder.pinned
        if pinned != self.view.pinned:
            self.view.pinned = pinned
            self._ports.show(self)
        candidate = self.record.candidate
        wanted = news.digest if news and not pinned else None
        if candidate is not None and candidate.generation.digest != wanted and not refused:
            self._withdraw()
        self._news = news if wanted else None
        if self.record.state not in (*states.SETTLED, *states.WAITING):
            return
        if refused is not None:
            if (self.record.state, self.record.error) != ("failed", Failure(*refused)):
                self._happen("refused", error=Failure(*refused), candidate=None)
        elif self.record.state in states.WAITING:
            return
        elif news is None or pinned:
            self._happen("satisfied", error=None)
        elif news.digest in self.record.quarantine:
            why = Failure("quarantined", self.record.quarantine[news.digest])
            if self.record.state not in {"failed", "rolled_back"}:
                self._happen("refused", error=why)
        elif self._ports.mono_s() >= self._retry_s:
            self._offer(news)

    def trouble(self, failure: Failure | None, *, stale: bool) -> None:
        """Take how the latest look went."""
        code = failure.code if failure else ""
        before = self.view.trouble.code if self.view.trouble else ""
        changed = (code, stale) != (before, self.view.stale)
        self.view.trouble, self.view.stale = failure, stale
        if changed:
            self._ports.show(self)

    def fetched(self, count: int) -> None:
        """Take how many bytes have come."""
        self.view.fetched = count
        self._ports.show(self)

    # ------------------------------------------------------------------ one step

    def step(self) -> None:
        """See what has happened, and answer it."""
        state = self.record.state
        if state in states.SETTLED:
            self._look_after_active()
        elif state in states.WAITING:
            self._begin_if_due()
        elif state == "verified":
            self._test()
        elif state == "staged":
            if self.workers.ready and self._ports.turn(self):
                self._happen("loaded")
        elif state in {"downloading", "selftesting"}:
            result = self._ports.result(self.folder.slot)
            if result is not None:
                self._finished(result)
        else:
            fresh = self.workers.take_news()
            self._judge(self.workers.judge(state), fresh=fresh)

    def stop(self) -> None:
        """Note an orderly end: nothing that was begun counts as an attempt."""
        if self.record.state in states.UNDER_WAY:
            self._happen("interrupted", candidate=self._attempted(-1))
        elif self.record.starts:
            self._write(starts=0)

    # ------------------------------------------------------------------ finding events

    def _open(self) -> None:
        """Find what the agent left behind: after an end in the midst, begin again."""
        factory = self.terms.factory.model_id if self.terms.factory else ""
        if factory and self.record.factory not in {"", factory}:
            # Another kind of model in the config: what was fetched for the former one is over.
            self._write(active=None, fallback=None, candidate=None, state="idle", error=None)
        if factory and self.record.factory != factory:
            self._write(factory=factory)
        if candidate := self.record.candidate:
            rollout = candidate.rollout.id if candidate.rollout else ""
            generation = candidate.generation
            self.view.begin(str(generation.model), generation.digest, rollout, 0)
            self.view.attempt = candidate.attempt
        self._happen("interrupted")
        if self.record.state == "rolled_back" and self.record.candidate:
            self._write(candidate=None)
        if self.record.active is not None:
            self._write(starts=self.record.starts + 1)
            if self.record.starts > MOST_ATTEMPTS:
                self._fall_back("interrupted", f"begun {MOST_ATTEMPTS} times without running well")
        self.view.runs = str(self.running or "")
        self.view.pinned = self.folder.pinned
        self._ports.show(self)

    def _look_after_active(self) -> None:
        if self.folder.recalled:
            if self.record.active is not None:
                self._fall_back("recalled", codes.MODEL["recalled"])
            if self.record.active is None or self.record.state == "rolling_back":
                self.folder.recall(on=False)
        elif self.record.active is not None and self.record.starts:
            if why := self.workers.cannot_start(MOST_ATTEMPTS):
                self._fall_back("model", why)
            elif self.workers.settled:
                self._write(starts=0)

    def _begin_if_due(self) -> None:
        candidate, news = self.record.candidate, self._news
        if candidate is None:
            self._happen("withdrawn", error=None)
        elif candidate.attempt >= MOST_ATTEMPTS:
            self._give_up("exhausted", Failure("interrupted", codes.MODEL["interrupted"]))
        elif news is not None and self._ports.mono_s() >= self._retry_s:
            rollout = candidate.rollout
            windows = (self.terms.window, rollout.window if rollout else None)
            deadline = rollout.deadline if rollout else None
            clock_s = self._ports.clock_s()
            why = moments.why_not_now(windows, candidate.due_s, deadline, clock_s)
            if not why:
                self._fetch(news, candidate)
            elif self.record.state == "available":
                self.view.detail = why
                self._happen("waits")

    def _fetch(self, news: News, candidate: Candidate) -> None:
        self.view.detail = ""
        begun = {"candidate": self._attempted(1), "error": None}
        if self._ports.idle() and self._happen("due", **begun):
            self._ports.fetch(self.folder.slot, news, self.folder.bundle(candidate.generation))

    def _test(self) -> None:
        candidate = self.record.candidate
        if candidate is not None and self._ports.idle() and self._happen("tested"):
            self._ports.test(self.folder.slot, self.folder.bundle(candidate.generation))

    def _finished(self, result: Any) -> None:  # noqa: ANN401  Fetched, Verified or SyncError
        if isinstance(result, SyncError):
            self._not_fetched(Failure(result.code, result.detail))
        elif self.record.state == "downloading":
            self._wait_s = self.terms.poll_s
            self._happen("fetched")
        elif result.failure:
            self._give_up("broke", Failure(result.kind, result.failure))
        else:
            self.view.selftest = SelfTestFigures(
                cases=result.cases,
                p50_ms=result.p50_ms,
                p95_ms=result.p95_ms,
                ram_mb=result.ram_mb,
            )
            self._happen("passed")

    def _not_fetched(self, failure: Failure) -> None:
        """Try again later: what could not be fetched says nothing of the model."""
        self._retry_s = self._ports.mono_s() + self._wait_s
        self._wait_s = min(RETRY_MOST_S, 2 * self._wait_s)
        if failure.code in codes.PASSING:
            self.view.detail = "waits for the next try"
            self._happen("postponed", error=failure, candidate=self._attempted(-1))
        else:
            self._happen("broke", error=failure, candidate=None)

    def _judge(self, judgement: Judgement, *, fresh: bool) -> None:
        self.view.note_live(self.workers.succession)
        if self.record.state == "rolling_back":
            self._return(judgement)
        elif judgement.event == "broke":
            self._give_up("broke", Failure(judgement.code, judgement.detail))
        elif judgement.event == "well":
            self._confirm()
        elif judgement.event is not None:
            if judgement.event == "interrupted" and self.record.candidate:
                self._order("revert", str(self.folder.bundle(self.record.candidate.generation)))
            self._happen(judgement.event)
        elif fresh:
            self._ports.show(self)

    def _return(self, judgement: Judgement) -> None:
        """See that the model before inspects again; if that cannot be had, the factory's."""
        if judgement.event == "reverted":
            self._happen("reverted", candidate=None)
        elif judgement.event == "broke":
            if self.record.active and self.workers.cannot_start(MOST_ATTEMPTS):
                self._write(active=None)
                self.workers.begin("")
                self._ports.moved()
            else:
                self._restart_pipelines()

    # ------------------------------------------------------------------ steps of the table

    def _offer(self, news: News) -> None:
        number = self.record.last_number + 1
        generation = Generation(
            number=number, model=news.model, digest=news.digest, seq=news.seq, blobs=news.blobs
        )
        rollout_id = news.rollout.id if news.rollout else ""
        due_s = self._ports.clock_s() + moments.delay_s(news.rollout, self.view.device)
        candidate = Candidate(generation=generation, rollout=news.rollout, due_s=due_s)
        self.view.begin(str(news.model), news.digest, rollout_id, news.length)
        self._happen("offered", candidate=candidate, last_number=number, error=None)

    def _withdraw(self) -> None:
        failure = Failure(codes.WITHDRAWN, "it is wanted here no more")
        if self.record.state == "trial":
            self._happen("withdrawn", error=failure)
        else:
            self._happen("withdrawn", candidate=None, error=None)

    def _confirm(self) -> None:
        candidate = self.record.candidate
        if candidate is not None:
            generation, before = candidate.generation, self.record.active
            self._happen(
                "well", active=generation, fallback=before, candidate=None, starts=0, error=None
            )

    def _give_up(self, event: Event, failure: Failure) -> None:
        """The model's own fault: it is not tried again. What runs, or ran before it, stays."""
        candidate = self.record.candidate
        digest = candidate.generation.digest if candidate else ""
        quarantine = self.record.with_quarantine(digest, f"{failure.code}: {failure.detail}")
        kept = candidate if self.record.state == "trial" else None
        self._happen(event, error=failure, quarantine=quarantine, candidate=kept)

    def _fall_back(self, code: str, detail: str) -> None:
        active = self.record.active
        if active is None:
            return
        failure = Failure(code, detail)
        quarantine = self.record.with_quarantine(active.digest, f"{code}: {detail}")
        self.view.begin(str(active.model), active.digest, "", 0)
        self._happen(
            "recalled",
            active=self.record.fallback,
            fallback=None,
            candidate=None,
            starts=0,
            error=failure,
            quarantine=quarantine,
        )

    def _happen(self, event: Event, **changes: Any) -> bool:  # noqa: ANN401  fields of the record
        """Go where the event leads, if it leads anywhere; return whether it does."""
        found = states.step(self.record.state, event)
        generation = self.record.candidate.generation if self.record.candidate else None
        if found is None or not self._write(state=found.state, **changes):
            return False
        self.view.attempt = self.record.candidate.attempt if self.record.candidate else 0
        self.view.runs = str(self.running or "")
        error = self.record.error
        log.info(
            "models: %s: %s %s%s",
            self.folder.slot,
            found.state,
            self.view.to,
            f" ({error.code}: {error.detail})" if error else "",
        )
        self._ports.show(self)
        self._ports.reached(found.state)
        self._act(found.action, generation)
        return True

    def _act(self, action: states.Action, generation: Generation | None) -> None:
        bundle = str(self.folder.bundle(generation)) if generation else ""
        match action:
            case "load":
                self.workers.begin(bundle)
                self._order("load", bundle)
            case "swap":
                self._order("swap", bundle)
            case "unload" | "revert":
                self._order("revert", bundle)
                self._restart_pipelines()
            case "keep" if generation:
                self._ports.confirmed(generation)
                self._order("keep", bundle)
                self._ports.moved()
            case "fall_back":
                self.workers.begin("")
                self._ports.moved()
        if self.record.state in states.SETTLED:
            self._tidy()

    def _order(self, verb: Any, bundle: str) -> None:  # noqa: ANN401  a step of wire.Succeed
        for name in self.terms.pipelines:
            self._ports.order(wire.Succeed(name, verb, bundle, self.terms.pause))

    def _restart_pipelines(self) -> None:
        """Start anew those that a bug in the model's answers ended."""
        for name in self.workers.ended():
            self._ports.order(wire.Restart(name))

    def _attempted(self, more: int) -> Candidate | None:
        candidate = self.record.candidate
        if candidate is None:
            return None
        return msgspec.structs.replace(candidate, attempt=max(0, candidate.attempt + more))

    def _write(self, **changes: Any) -> bool:  # noqa: ANN401  fields of the record
        try:
            self.record = self.folder.record.write(msgspec.structs.replace(self.record, **changes))
        except OSError as error:
            log.warning("models: %s cannot be noted: %s", self.folder.slot, error)
            return False
        return True

    def _tidy(self) -> None:
        try:
            self.folder.drop_others(self.record)
        except OSError as error:
            log.warning("models: %s: old generations stay: %s", self.folder.slot, error)
