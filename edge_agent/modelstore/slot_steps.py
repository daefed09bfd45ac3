"""The steps of one slot: a state is put on the disk first, then done; see slot_course.py."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from edge_agent.modelstore import codes, moments, states
from edge_agent.modelstore.slot_record import Candidate, Failure, Generation
from edge_agent.modelstore.workers_view import WorkersView
from edge_agent.processes import wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.modelstore.desired import ModelRef, Rollout
    from edge_agent.modelstore.slot_view import SlotView
    from edge_agent.modelstore.slots import SlotFolder
    from edge_agent.modelstore.states import Event
    from edge_agent.modelstore.supplier import News

log = logging.getLogger(__name__)


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
    """What a slot may do.

    `order`: tell a pipeline's worker. `idle`: whether the background is; `fetch`, `test`: there;
    `result`: what became of it, once. `moved`: the bundle in force is another. `confirmed`: a model
    was; its seq is not to be gone below. `reached`: where a test may end the process. `show`:
    publish the status. `turn`: whether no other slot is on trial in the same process.
    """

    order: Callable[[wire.Order], bool]
    idle: Callable[[], bool]
    fetch: Callable[[str, News, Path], None]
    test: Callable[[str, Path], None]
    result: Callable[[str], Any]
    moved: Callable[[], None]
    confirmed: Callable[[Generation], None]
    show: Callable[[], None]
    turn: Callable[[], bool]
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


class SlotSteps:
    """One slot; the updater's thread calls everything."""

    def __init__(self, folder: SlotFolder, terms: Terms, view: SlotView, ports: Ports) -> None:
        self.folder = folder
        self.terms = terms
        self.view = view
        self.workers = WorkersView(terms.pipelines, ports.mono_s)
        self.record = folder.record.read()
        self._ports = ports
        self._refused = False

    @property
    def running(self) -> ModelRef | None:
        """Return the model in force."""
        active = self.record.active
        return active.model if active else self.terms.factory

    def offer(self, news: News) -> None:
        """Take a model that is to run here."""
        number = self.record.last_number + 1
        generation = Generation(
            number=number, model=news.model, digest=news.digest, seq=news.seq, blobs=news.blobs
        )
        candidate = Candidate(
            generation=generation, rollout=news.rollout, due_s=self._due_s(news.rollout)
        )
        self.view.begin(str(news.model), news.digest, news.rollout_id, news.length)
        self.happen("offered", candidate=candidate, last_number=number, error=None)

    def join(self, news: News) -> None:
        """Have the model on its way go on as part of another rollout."""
        if self.record.candidate is not None:
            changes = {"rollout": news.rollout, "due_s": self._due_s(news.rollout)}
            if self.write(candidate=msgspec.structs.replace(self.record.candidate, **changes)):
                self.view.rollout_id = news.rollout_id
                self._ports.show()

    def set_turn_anew(self) -> None:
        """Where the clock has gone back since a model was offered, let its turn come by it."""
        candidate = self.record.candidate
        if candidate is not None and candidate.due_s > (due_s := self._due_s(candidate.rollout)):
            self.write(candidate=msgspec.structs.replace(candidate, due_s=due_s))

    def withdraw(self) -> None:
        """Give a model up that is wanted no more."""
        pinned = "somebody at the gateway wants no other model than that of before"
        why = pinned if self.view.pinned else "it is wanted here no more"
        failure = Failure(codes.WITHDRAWN, why)
        if self.record.state == "trial":
            self.happen("withdrawn", error=failure)
        else:
            self.happen("withdrawn", candidate=None, error=None)

    def confirm(self) -> None:
        """Keep the model that did well."""
        candidate = self.record.candidate
        if candidate is not None:
            generation, before = candidate.generation, self.record.active
            self.happen(
                "well", active=generation, fallback=before, candidate=None, starts=0, error=None
            )

    def give_up(self, event: Event, failure: Failure) -> bool:
        """Never try it again: it is the model's own fault. What ran before it stays or returns.

        Returns whether that is on the disk.
        """
        candidate = self.record.candidate
        if candidate is None:
            return False
        why = f"{failure.code}: {failure.detail}"
        quarantine = self.record.quarantining(candidate.generation, why)
        kept = candidate if self.record.state == "trial" else None
        return self.happen(event, error=failure, candidate=kept, **quarantine)

    def fall_back(self, code: str, detail: str) -> None:
        """Go back to the generation that was confirmed before; the one in force never returns.

        What is on its way is given up, and may be offered again.
        """
        if self.record.state in states.UNDER_WAY:
            self.withdraw()
        active = self.record.active
        if active is None:
            return
        failure = Failure(code, detail)
        quarantine = self.record.quarantining(active, f"{code}: {detail}")
        self.view.begin(str(active.model), active.digest, "", 0)
        self.happen(
            "recalled",
            active=self.record.fallback,
            fallback=None,
            candidate=None,
            starts=0,
            error=failure,
            **quarantine,
        )

    def release(self, digest: str) -> bool:
        """Let a file be tried again that failed here; return whether it was so and may now."""
        why, name = self.record.quarantine.get(digest), self.record.quarantined_name(digest)
        if why is not None and not self.write(**self.record.releasing(digest)):
            return False
        with contextlib.suppress(OSError):  # it is seen again, and nothing is to be done then
            self.folder.release(digest, on=False)
        if why is None:
            return False
        log.warning("models: %s: %s released from quarantine: %s", self.folder.slot, name, why)
        self.view.detail = f"{name} was released from quarantine at the gateway"
        # What went wrong with another model stays said.
        if self.view.digest not in {"", digest} or not self.happen("released", error=None):
            self._ports.show()
        return True

    def happen(self, event: Event, **changes: Any) -> bool:  # noqa: ANN401  fields of the record
        """Go where the event leads, if it leads anywhere; return whether it does."""
        found = states.step(self.record.state, event)
        generation = self.record.candidate.generation if self.record.candidate else None
        if found is None or not self.write(state=found.state, **changes):
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
        self._ports.show()
        self._ports.reached(found.state)
        self._act(found.action, generation)
        return True

    def _act(self, action: states.Action, generation: Generation | None) -> None:
        bundle = str(self.folder.bundle(generation)) if generation else ""
        match action:
            case "load":
                self.workers.begin(bundle)
                self.order("load", bundle)
            case "swap":
                self.order("swap", bundle)
            case "unload" | "revert":
                self.order("revert", bundle)
                self.restart_pipelines()
            case "keep" if generation:
                self._ports.confirmed(generation)
                self.order("keep", bundle)
                self._ports.moved()
            case "fall_back":
                self.workers.begin("")
                self._ports.moved()
        if self.record.state in states.SETTLED:
            self._tidy()

    def _due_s(self, rollout: Rollout | None) -> float:
        return self._ports.clock_s() + moments.delay_s(rollout, self.view.device)

    def order(self, verb: Any, bundle: str) -> None:  # noqa: ANN401  a step of wire.Succeed
        """Tell every pipeline of the slot."""
        for name in self.terms.pipelines:
            self._ports.order(wire.Succeed(name, verb, bundle, self.terms.pause))

    def restart_pipelines(self) -> None:
        """Start anew those that a bug in the model's answers ended."""
        for name in self.workers.ended():
            self._ports.order(wire.Restart(name))

    def attempted(self, more: int) -> Candidate | None:
        """Return the candidate as begun once more, or once less."""
        candidate = self.record.candidate
        if candidate is None:
            return None
        return msgspec.structs.replace(candidate, attempt=max(0, candidate.attempt + more))

    def write(self, **changes: Any) -> bool:  # noqa: ANN401  fields of the record
        """Put changes on the disk; return whether that could be done."""
        try:
            self.record = self.folder.record.write(msgspec.structs.replace(self.record, **changes))
        except OSError as error:
            if not self._refused:  # it is tried again ten times a second
                log.warning("models: %s cannot be noted: %s", self.folder.slot, error)
            self._refused = True
            return False
        self._refused = False
        return True

    def _tidy(self) -> None:
        try:
            self.folder.drop_others(self.record)
        except OSError as error:
            log.warning("models: %s: old generations stay: %s", self.folder.slot, error)
