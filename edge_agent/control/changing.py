"""Changes of the config: checked, tried, and kept or taken back. See machine.py for the states.

Everything here runs in control's thread. What is put in force is handed to the agent's own thread.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edge_agent.clock import utc_text
from edge_agent.commands.checks import no_pipelines
from edge_agent.config import Config, schema_json
from edge_agent.control import candidates, checking, trees, trial
from edge_agent.control.ledger import INTERRUPTED, InForce, Ledger, OnTrial, Revision
from edge_agent.control.machine import Event, State, step
from edge_agent.control.requests import ConfigRequest, Refused, one_change, tree_after
from edge_agent.errors import ConfigError, FieldError, at
from edge_agent.reporting.control_messages import ConfigReported, ConfigResult, Fault, Status
from edge_agent.reporting.messages import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_agent.control.asker import Asker
    from edge_agent.control.mailbox import Sender
    from edge_agent.control.recipes import Recipes
    from edge_agent.reporting.standing import Standing
    from edge_agent.reporting.topics import Topics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ports:
    """What control may do to the agent; all of it from any thread.

    `apply`: put a config in force. `show`: publish a retained message. `answer`: keep the answer to
    the request of this id, and send it. `folder`: where relative paths of the config start.
    """

    apply: Callable[[Config, int], None]
    standings: Callable[[], dict[str, Standing]]
    show: Callable[[str, bytes], None]
    answer: Callable[[Sender, str, bytes], None]
    recipes: Recipes
    folder: Path
    topics: Topics


@dataclass
class _Tried:
    """The change that is on trial; times on the monotonic clock."""

    found: InForce
    request: ConfigRequest
    asker: Asker
    warnings: list[Fault]
    trial: trial.Trial
    began_s: float
    well_since_s: float | None = None
    confirm_by_s: float = float("inf")


class Changing:
    """One thread uses it."""

    def __init__(self, ledger: Ledger, ports: Ports) -> None:
        self._ledger = ledger
        self._ports = ports
        self._state: State = "interrupted" if ledger.interrupted else "steady"
        self._tried: _Tried | None = None

    @property
    def config(self) -> Config:
        """Return the config in force, product variants not counted."""
        return self._tried.found.config if self._tried else self._ledger.good.config

    @property
    def rev(self) -> int:
        """Return the revision in force."""
        return self._tried.found.rev if self._tried else self._ledger.good.rev

    def start(self, tell: Callable[[OnTrial, ConfigResult], None]) -> None:
        """Publish the schema and what is in force; end a trial that was cut short."""
        self._ports.show(self._ports.topics.config("schema"), schema_json())
        cut_short = self._ledger.interrupted
        if cut_short is not None and step(self._state, "started"):
            self._state = "steady"
            why = f"revision {cut_short.revision.rev}: {INTERRUPTED}"
            log.warning("config: %s", why)
            self._keep(lambda: self._ledger.roll_back(why))
            fault = Fault("", "interrupted", INTERRUPTED)
            tell(cut_short, self._taken_back(cut_short.request_id, fault))
        self.report()

    def ask(self, request: ConfigRequest, asker: Asker) -> ConfigResult | None:
        """Return the answer, or None where it follows once the change has proved itself.

        Raises Refused.
        """
        one_change(request)
        if request.confirm:
            return self._confirm(request)
        if self._state != "steady":
            waits = "waits for its confirmation" if self._state == "unconfirmed" else "is on trial"
            raise _refused(409, "busy", "", f"another change, revision {self.rev}, {waits}")
        if request.base_rev != self.rev:
            text = f"revision {self.rev} is in force, not {request.base_rev}"
            raise _refused(409, "stale", "/base_rev", text)
        tree = tree_after(request, self._ledger.good.tree)
        config, warnings = self._checked(tree)
        if request.dry_run:
            return self._good(request.id, "valid", warnings)
        if config == self._ledger.good.config:
            return self._good(request.id, "applied")
        found = InForce(self._ledger.document.highest_rev + 1, config, tree)
        self._begin(found, request, asker, warnings)
        return None

    def watch(self, mono_s: float) -> None:
        """See how a change does, and keep it or take it back when that is clear."""
        tried = self._tried
        if tried is None:
            return
        judgement = tried.trial.judge(self._ports.standings())
        if judgement.finding == "failed":
            self._fail("failed", f"/pipelines/{judgement.pipeline}", judgement.why)
        elif self._state == "unconfirmed":
            if mono_s >= tried.confirm_by_s:
                within_s = tried.request.confirm_within_s
                self._fail("expired", "", f"not confirmed within {within_s:g} s")
        elif judgement.finding == "pending":
            tried.well_since_s = None
            if mono_s - tried.began_s >= trial.TRIAL_S:
                why = f"not running within {trial.TRIAL_S:g} s: {judgement.why}"
                self._fail("failed", f"/pipelines/{judgement.pipeline}", why)
        elif tried.well_since_s is None:
            tried.well_since_s = mono_s
        if tried.well_since_s is not None and mono_s - tried.well_since_s >= self._settle_s(tried):
            self._well(tried, mono_s)

    def report(self) -> None:
        """Publish what is in force, secrets masked."""
        document = self._ledger.document
        tree = trees.masked(self._tried.found.tree if self._tried else self._ledger.good.tree)
        message = ConfigReported(
            ts=utc_text(time.time_ns()),
            device=self._ports.topics.device,
            rev=self.rev,
            hash=trees.digest(tree),
            status=document.status if self._tried is None else self._shown_state(),
            source="mqtt" if self._tried else document.source,
            last_error=document.last_error,
            config=tree,
        )
        self._ports.show(self._ports.topics.config("reported"), encode(message))

    def _shown_state(self) -> Literal["trial", "unconfirmed"]:
        return "unconfirmed" if self._state == "unconfirmed" else "trial"

    def refused(self, why: str) -> None:
        """Note in what is reported why the last request changed nothing."""
        self._ledger.refused(why)
        self.report()

    def reload(self, config: Config) -> None:
        """Put in force what the config file says; a change on trial is taken back with that."""
        tried, self._tried = self._tried, None
        self._step("reloaded")
        self._ledger.adopt(config)
        self._ports.apply(self._ledger.good.config, self.rev)
        log.info("config: the file was read again: it is in force, as revision %d", self.rev)
        self.report()
        if tried is not None:
            fault = Fault("", "reload", "the config file was read again, and is in force")
            self._send(tried, self._taken_back(tried.request.id, fault))

    # ------------------------------------------------------------------ before a change

    def _checked(self, tree: dict[str, Any]) -> tuple[Config, list[Fault]]:
        """Return the config that a tree says, and what is missing. Raises Refused."""
        current = self._ledger.good.config
        try:
            config = candidates.candidate(tree, current)
        except ConfigError as error:
            raise Refused(422, "refused", error.fields) from None
        found = checking.look(config, self._ports.folder, trial.touched(current, config))
        if found.wrong:
            raise Refused(422, "refused", found.wrong)
        warnings = [*found.warnings, *no_pipelines(config)]
        return config, [Fault(each.path, each.kind, each.message) for each in warnings]

    # ------------------------------------------------------------------ steps of the table

    def _step(self, event: Event) -> bool:
        found = step(self._state, event)
        if found is not None:
            self._state = found.state
        return found is not None

    def _begin(
        self, found: InForce, request: ConfigRequest, asker: Asker, warnings: list[Fault]
    ) -> None:
        before = self._ledger.good.config
        revision, sender = Revision(found.rev, found.tree), asker.sender
        topic, correlation = sender.topic, sender.correlation
        kept = OnTrial(revision, request.id, topic, correlation, asker.verb, sender.request)
        try:
            self._ledger.begin(kept)
        except OSError as error:
            raise _refused(500, "refused", "", f"cannot be kept: {error}") from None
        standings = self._ports.standings()
        touched = trial.touched(before, found.config)
        restarts = {name: standing.restarts for name, standing in standings.items()}
        excused = trial.excused(before, found.config, standings)
        expected = trial.Trial(found.rev, touched, excused, restarts)
        self._step("accepted")
        self._tried = _Tried(found, request, asker, warnings, expected, time.monotonic())
        log.info("config: revision %d on trial: %s", found.rev, ", ".join(touched) or "no pipeline")
        self._ports.apply(found.config, found.rev)
        self.report()

    def _settle_s(self, tried: _Tried) -> float:
        return trial.SETTLE_S if tried.trial.pipelines else 0.0

    def _well(self, tried: _Tried, mono_s: float) -> None:
        if self._state != "trial":
            return
        if tried.request.confirm_within_s is None:
            self._step("healthy")
            self._commit(tried)
            return
        self._step("well")
        tried.confirm_by_s = mono_s + tried.request.confirm_within_s
        self.report()
        self._send(tried, self._good(tried.request.id, "unconfirmed", tried.warnings))

    def _confirm(self, request: ConfigRequest) -> ConfigResult:
        tried = self._tried
        if tried is None or self._state != "unconfirmed":
            raise _refused(409, "stale", "/confirm", "nothing waits for a confirmation")
        if request.base_rev != tried.found.rev:
            text = f"revision {tried.found.rev} waits, not {request.base_rev}"
            raise _refused(409, "stale", "/base_rev", text)
        self._step("confirmed")
        fault = self._commit(tried)
        return self._taken_back(request.id, fault) if fault else self._good(request.id, "applied")

    def _commit(self, tried: _Tried) -> Fault | None:
        """Keep it; where the disk refuses, take it back and return why."""
        try:
            self._ledger.commit(tried.found)
        except OSError as error:
            fault = Fault("", "disk", f"cannot be kept: {error}")
            self._take_back(tried, fault)
            return fault
        self._tried = None
        log.info("config: revision %d is in force", tried.found.rev)
        self.report()
        self._send(tried, self._good(tried.request.id, "applied", tried.warnings))
        return None

    def _fail(self, event: Event, path: str, why: str) -> None:
        if self._tried is not None and self._step(event):
            kind = "unconfirmed" if event == "expired" else "trial"
            self._take_back(self._tried, Fault(path, kind, why))

    def _take_back(self, tried: _Tried, fault: Fault) -> None:
        self._state, self._tried = "steady", None
        why = f"revision {tried.found.rev} was taken back: {at(fault.path, fault.msg)}"
        log.warning("config: %s", why)
        self._ports.recipes.keep(tried.found.config, self._ledger.good.config)
        self._ports.apply(self._ledger.good.config, self._ledger.good.rev)
        self._keep(lambda: self._ledger.roll_back(why))
        self.report()
        self._send(tried, self._taken_back(tried.request.id, fault))

    def _keep(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            # The trial is still on the disk: the next start takes it back once more.
            log.warning("config: cannot be kept: %s", error)

    def _send(self, tried: _Tried, result: ConfigResult) -> None:
        self._ports.answer(tried.asker.sender, tried.request.id, tried.asker.answer(result))

    def _good(self, by: str, status: Status, warnings: Sequence[Fault] = ()) -> ConfigResult:
        return ConfigResult(id=by, status=status, code=200, rev=self.rev, warnings=list(warnings))

    def _taken_back(self, by: str, fault: Fault) -> ConfigResult:
        return ConfigResult(id=by, status="rolled_back", code=500, rev=self.rev, errors=[fault])


def _refused(code: int, status: str, path: str, message: str) -> Refused:
    return Refused(code, status, [FieldError(path, status, message)])
