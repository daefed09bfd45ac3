"""Commands: restart a pipeline, a snapshot, a new threshold, a product variant, the latest log."""

from __future__ import annotations

import base64
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.clock import utc_text
from edge_agent.control import threshold
from edge_agent.control.asker import Asker
from edge_agent.control.latest_log import LatestLog
from edge_agent.control.recipes import Choice
from edge_agent.control.requests import (
    Command,
    ConfigRequest,
    LogsCommand,
    PipelineCommand,
    RecalibrateCommand,
    RecipeCommand,
    Refused,
    RestartCommand,
    SnapshotCommand,
    TimedCommand,
)
from edge_agent.control.scores import Scores
from edge_agent.errors import FieldError, ModelError, no_such
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.processes import wire
from edge_agent.reporting.control_messages import CommandResult, Fault
from edge_agent.reporting.messages import encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config import PipelineOptions
    from edge_agent.control.changing import Changing, Ports
    from edge_agent.control.ledger import Ledger
    from edge_agent.control.mailbox import Sender
    from edge_agent.control.recipes import Recipes
    from edge_agent.reporting.standing import Standing
    from edge_agent.types import Verdict

Order = wire.Restart | wire.Snapshot

# Of fewer good parts the spread, and with it the limit, is a rough guess.
PARTS_ENOUGH = 50


@dataclass
class _Waiting:
    """A command whose answer follows. `done`: what the answer holds, once it is known."""

    command: TimedCommand
    verb: str
    sender: Sender
    by_s: float
    done: Callable[[], dict[str, Any] | None]


class Commands:
    """`ask` and `watch` belong to control's thread; any may call `decided` and `heard`."""

    def __init__(
        self,
        changing: Changing,
        ledger: Ledger,
        ports: Ports,
        recipes: Recipes,
        order: Callable[[Order], bool],
        told: Callable[[Sender, str, bytes], None],
    ) -> None:
        self._changing = changing
        self._ledger = ledger
        self._ports = ports
        self._recipes = recipes
        self._order = order
        self._told = told
        self._waiting: dict[str, _Waiting] = {}
        self._snapshots: dict[str, wire.SnapshotTaken] = {}
        self._scores = Scores()
        self._log = LatestLog()
        logging.getLogger().addHandler(self._log)

    def decided(self, verdict: Verdict) -> None:
        """Take the score of an inspected item."""
        self._scores.add(verdict)

    def heard(self, message: wire.SnapshotTaken | wire.Logged) -> None:
        """Take what a worker says."""
        if isinstance(message, wire.Logged):
            self._log.add(message.level, message.text)
        elif message.id in self._waiting:
            self._snapshots[message.id] = message

    def ask(self, verb: str, command: Command, sender: Sender) -> None:
        """Begin what is asked; the answer may follow later. Raises Refused."""
        match command:
            case LogsCommand():
                lines = self._log.latest(command.lines)
                self._answer(verb, command, sender, {"lines": lines})
            case RestartCommand():
                self._restart(command, sender)
            case SnapshotCommand():
                self._take_snapshot(command, sender)
            case RecipeCommand():
                self._recipe(command, sender)
            case RecalibrateCommand():
                self._recalibrate(command, sender)

    def watch(self, mono_s: float) -> None:
        """Answer what is done, and what takes too long."""
        for waiting in list(self._waiting.values()):
            found, name = waiting.done(), waiting.command.pipeline
            gone = name not in self._changing.config.pipelines
            if found is None and not gone and mono_s < waiting.by_s:
                continue
            del self._waiting[waiting.command.id]
            self._snapshots.pop(waiting.command.id, None)
            if found is not None:
                self._answer(waiting.verb, waiting.command, waiting.sender, found)
                continue
            fault = self._why_not(waiting.command, gone=gone)
            self._answer(waiting.verb, waiting.command, waiting.sender, {}, fault)

    def _why_not(self, command: TimedCommand, *, gone: bool) -> Fault:
        if gone:
            return Fault("/pipeline", "gone", "has left the config meanwhile")
        standing = self._ports.standings().get(command.pipeline)
        how = f"{standing.state}: {standing.detail}".removesuffix(": ") if standing else "away"
        text = f"not done within {command.within_s:g} s (it is {how})"
        return Fault("/pipeline", "timeout", text)

    # ------------------------------------------------------------------ verbs

    def _restart(self, command: RestartCommand, sender: Sender) -> None:
        self._pipeline(command)
        before = self._standing(command)
        self._ordered(wire.Restart(command.pipeline), command)

        def running() -> dict[str, Any] | None:
            now = self._ports.standings().get(command.pipeline)
            if now is None:
                return None
            # A state between two looks counts, too: a small model is back in no time.
            anew = now.left > before.left or before.state != "running"
            return {"state": now.state} if anew and now.state == "running" else None

        self._wait("restart", command, sender, running)

    def _take_snapshot(self, command: SnapshotCommand, sender: Sender) -> None:
        self._pipeline(command)
        order = wire.Snapshot(command.id, command.pipeline)
        asked_after = [self._standing(command).restarts]

        def taken() -> dict[str, Any] | None:
            standing = self._ports.standings().get(command.pipeline)
            # A worker that died took the order with it: the next one is to do it.
            if standing and standing.restarts > asked_after[-1] and self._order(order):
                asked_after.append(standing.restarts)
            return self._snapshot(command.id)

        self._wait("snapshot", command, sender, taken)
        self._ordered(order, command)

    def _snapshot(self, snapshot_id: str) -> dict[str, Any] | None:
        taken = self._snapshots.get(snapshot_id)
        if taken is None:
            return None
        verdict = taken.verdict
        return {
            "verdict": verdict.outcome,
            "score": float(verdict.score),
            "threshold": float(verdict.threshold),
            "label": verdict.label,
            "reason": verdict.reason,
            "verdict_id": verdict.id,
            "part_id": verdict.part_id,
            "capture_ts": utc_text(verdict.captured_ns),
            "evidence": verdict.evidence,
            "picture_jpeg": base64.b64encode(taken.picture).decode(),
        }

    def _recipe(self, command: RecipeCommand, sender: Sender) -> None:
        options = self._pipeline(command)
        if command.code is None:
            known = ", ".join(options.recipes) or "none"
            text = f'must be a recipe, or "" for the pipeline\'s own model; there are: {known}'
            raise _refused(422, "/code", text)
        if command.code not in {"", *options.recipes}:
            raise _refused(422, "/code", no_such("recipe", command.code, options.recipes))
        choice = Choice(command.code, options.recipe)
        try:
            self._ledger.note_recipes({**self._recipes.chosen, command.pipeline: choice})
        except OSError as error:
            raise _refused(500, "", f"cannot be kept: {error}") from None
        self._recipes.choose(command.pipeline, choice)

        def inspects() -> dict[str, Any] | None:
            standing = self._ports.standings().get(command.pipeline)
            there = standing is not None and standing.recipe == command.code
            return {"recipe": command.code} if there else None

        self._wait("recipe", command, sender, inspects)

    def _recalibrate(self, command: RecalibrateCommand, sender: Sender) -> None:
        options = self._pipeline(command)
        code = self._recipes.of(self._changing.config).pipelines[command.pipeline].recipe
        scores = self._scores.of_good(command, code)
        place = options.recipes.get(code, options)
        if place.rule is None:
            raise _refused(422, "/pipeline", self._without_rule(place.model))
        found = threshold.from_good(place.rule, scores, command.false_reject)
        if found is None:
            text = "is no rule with limits that good parts can move"
            raise _refused(422, "/pipeline", text)
        rule = {key: value for key, value in found.items() if value is not None}
        change = {"recipes": {code: {"rule": rule}}} if code else {"rule": rule}
        patch = {"pipelines": {command.pipeline: change}}
        request = ConfigRequest(
            id=command.id, base_rev=self._changing.rev, patch=patch, dry_run=command.dry_run
        )
        before = {key: getattr(place.rule, key) for key in rule}
        asker = Asker(sender, "recalibrate", {**rule, "before": before}, _doubts(command.parts))
        result = self._changing.ask(request, asker)
        if result is not None:
            self._told(sender, command.id, asker.answer(result))

    def _without_rule(self, model: str) -> str:
        # Not put there unasked: from then on a next model's own limits count no more.
        text = "has no rule in the config: patch its model's own in, to be adjusted"
        with contextlib.suppress(ModelError):
            rule = load_bundle(self._ports.folder / model).manifest.decision.rule
            text += f": {rule.model_dump_json(exclude_none=True)}"
        return text

    # ------------------------------------------------------------------ common to all

    def _pipeline(self, command: PipelineCommand) -> PipelineOptions:
        """Return the options of a command's pipeline. Raises Refused: there is none."""
        options = self._changing.config.pipelines.get(command.pipeline)
        if options is None:
            text = no_such("pipeline", command.pipeline, self._changing.config.pipelines)
            raise _refused(404, "/pipeline", text)
        return options

    def _standing(self, command: PipelineCommand) -> Standing:
        """Return how a command's pipeline stands. Raises Refused: it has just been put there."""
        standing = self._ports.standings().get(command.pipeline)
        if standing is None:
            raise _refused(409, "/pipeline", "is not begun yet")
        return standing

    def _ordered(self, order: Order, command: TimedCommand) -> None:
        if not self._order(order):
            self._waiting.pop(command.id, None)
            raise _refused(409, "/pipeline", "its worker is away")

    def _wait(
        self,
        verb: str,
        command: TimedCommand,
        sender: Sender,
        done: Callable[[], dict[str, Any] | None],
    ) -> None:
        by_s = time.monotonic() + command.within_s
        self._waiting[command.id] = _Waiting(command, verb, sender, by_s, done)

    def _answer(
        self,
        verb: str,
        command: Command,
        sender: Sender,
        result: dict[str, Any],
        fault: Fault | None = None,
    ) -> None:
        message = CommandResult(
            id=command.id,
            verb=verb,
            status="failed" if fault else "done",
            code=500 if fault else 200,
            errors=[fault] if fault else [],
            result=result,
        )
        self._told(sender, command.id, encode(message))


def _doubts(parts: int) -> list[Fault]:
    if parts >= PARTS_ENOUGH:
        return []
    text = f"{parts} parts say little of how good ones differ: take {PARTS_ENOUGH} or more"
    return [Fault("/parts", "few", text)]


def _refused(code: int, path: str, message: str) -> Refused:
    return Refused(code, "refused", [FieldError(path, "command", message)])
