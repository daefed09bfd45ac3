"""Control: one thread that answers requests for another config, and commands."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edge_agent import threads
from edge_agent.control.answers import Answers, fingerprint
from edge_agent.control.asker import Asker
from edge_agent.control.candidates import same_start
from edge_agent.control.changing import Changing, Ports
from edge_agent.control.commands import Commands
from edge_agent.control.mailbox import Mailbox, Sender
from edge_agent.control.requests import (
    COMMANDS,
    ConfigRequest,
    Refused,
    asks_no_change,
    id_of,
    read,
    tree_of,
)
from edge_agent.control.signature import Seal
from edge_agent.control.trial import differences
from edge_agent.errors import FieldError, no_such
from edge_agent.reporting.control_messages import CommandResult, ConfigResult, Fault
from edge_agent.reporting.messages import encode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.control.commands import Order
    from edge_agent.control.ledger import Ledger, OnTrial
    from edge_agent.control.mailbox import Letter
    from edge_agent.control.recipes import Recipes
    from edge_agent.processes import wire
    from edge_agent.reporting.standing import Standing
    from edge_agent.reporting.topics import Topics
    from edge_agent.types import Verdict

log = logging.getLogger(__name__)

# How soon a trial's end is seen. Also how long a stop may take.
TICK_S = 0.1
# How long a reload may wait for a candidate that is being looked at, and for the workers.
RELOAD_S, FOLLOW_S = 60.0, 5.0


@dataclass(frozen=True, slots=True)
class AgentPorts:
    """What control may do to the agent; see changing.Ports. `order`: tell a pipeline's worker."""

    apply: Callable[[Config, int], None]
    standings: Callable[[], dict[str, Standing]]
    show: Callable[[str, bytes], None]
    order: Callable[[Order], bool]
    folder: Path
    topics: Topics


class Control:
    """Start, stop, and what it is told meanwhile; any thread may call anything."""

    def __init__(self, config: Config, ledger: Ledger, recipes: Recipes, agent: AgentPorts) -> None:
        self._mailbox = Mailbox(config, agent.topics)
        self._seal = Seal(config.remote)
        self._ledger = ledger
        within_s = config.remote.signed_within_s
        self._answers = Answers(ledger, within_s, time.time, time.monotonic)
        self._recipes = recipes
        self._recipes_kept = ledger.document.choices
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        ports = Ports(
            apply=agent.apply,
            standings=agent.standings,
            show=agent.show,
            answer=self._told,
            recipes=recipes,
            folder=agent.folder,
            topics=agent.topics,
        )
        self._ports = ports
        self._changing = Changing(ledger, ports)
        self._commands = Commands(self._changing, ledger, ports, recipes, agent.order, self._told)
        self._stopping = threading.Event()
        self._thread = threads.thread(self._run, "control")

    @property
    def alive(self) -> bool:
        """Whether its thread runs: if not, a bug ended it."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to connect and to answer."""
        self._mailbox.connection.start()
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing any more; what is on trial is taken back at the next start."""
        self._stopping.set()
        self._thread.join(2.0)
        self._mailbox.connection.stop()

    def decided(self, verdict: Verdict) -> None:
        """Take a verdict: its score counts when a threshold is calibrated again."""
        self._commands.decided(verdict)

    def heard(self, message: wire.SnapshotTaken | wire.Logged) -> None:
        """Take what a worker says to whoever sent a command."""
        self._commands.heard(message)

    def reload(self, config: Config) -> str:
        """Go over to what the config file says now; return what was done, "" if that cannot be.

        Any thread but ours; it waits until the workers follow.
        """
        if config == self._ledger.file_config:
            return self._unchanged()
        if not same_start(self._ledger.file_config, config):
            return ""
        before, dropped = self._changing.config, ""
        done = threading.Event()

        def reload() -> None:
            nonlocal dropped
            if (tried := self._changing.rev) != self._ledger.good.rev:
                dropped = f"revision {tried}, which was on trial, is taken back; "
            self._changing.reload(config)
            done.set()

        self._calls.put(reload)
        if not done.wait(RELOAD_S):
            return ""
        by_s = time.monotonic() + FOLLOW_S
        while time.monotonic() < by_s and not self._followed():
            time.sleep(TICK_S / 2)
        changes = differences(before, config)
        return f"revision {self._changing.rev} is in force; {dropped}{changes}"

    def reload_refused(self, why: str) -> None:
        """Report why what the config file says now is not in force; any thread."""
        self._calls.put(lambda: self._changing.refused(f"the config file: {why}"))

    def _unchanged(self) -> str:
        kept = self._ledger.document
        stands = f"the file says nothing new; revision {kept.good.rev} is in force"
        if kept.source == "file":
            return stands
        back = "`edge-agent config set` with the file takes that back"
        return f"{stands}: it was changed over MQTT since; {back}"

    def _followed(self) -> bool:
        rev = self._changing.rev
        return all(each.config_rev == rev for each in self._ports.standings().values())

    def _run(self) -> None:
        started = False
        while not self._stopping.is_set():
            # Whoever sees what is reported may ask for another one at once: it must be heard then.
            if not started and self._mailbox.connection.connected:
                self._changing.start(self._tell_interrupted)
                started = True
            letter = self._mailbox.get(TICK_S)
            if letter is not None:
                self._take(letter)
            while not self._calls.empty():
                self._calls.get()()
            self._changing.watch(time.monotonic())
            self._commands.watch(time.monotonic())
            self._keep_recipes()

    def _keep_recipes(self) -> None:
        """Write down what a product topic chose; it is in force already."""
        chosen = self._recipes.chosen
        if chosen != self._recipes_kept:
            self._recipes_kept = chosen
            # A full disk costs no more than the choice at the next start.
            with contextlib.suppress(OSError):
                self._ledger.note_recipes(chosen)

    def _take(self, letter: Letter) -> None:
        tree: object = None
        sender = letter.sender
        try:
            content = self._seal.opened(letter.payload, letter.topic, time.time())
            tree = tree_of(content)
            request = fingerprint(letter.topic, content)
            earlier = self._answers.of(id_of(tree), request)
            # An answer is kept from here on: not a refusal of this id, which is another request's.
            sender = replace(sender, request=request)
            if earlier is not None:
                self._mailbox.answer(sender, earlier)
            elif self._answers.begin(id_of(tree), request):  # if not, one answer follows
                self._obey(letter.verb, tree, sender)
        except Refused as error:
            self._refuse(letter.verb, sender, error, tree)

    def _obey(self, verb: str, tree: object, sender: Sender) -> None:
        """Begin what is asked. Raises Refused."""
        if verb == "config":
            self._change(read(tree, ConfigRequest), sender)
        elif verb in COMMANDS:
            self._commands.ask(verb, read(tree, COMMANDS[verb]), sender)
        else:
            field = FieldError("", "verb", no_such("command", verb, COMMANDS))
            raise Refused(404, "refused", [field])

    def _change(self, request: ConfigRequest, sender: Sender) -> None:
        asker = Asker(sender)
        result = self._changing.ask(request, asker)
        if result is not None:
            self._told(sender, request.id, asker.answer(result))

    def _refuse(self, verb: str, sender: Sender, error: Refused, tree: object) -> None:
        """Answer, and report why a change was not made; `tree`: what was asked, if it is known."""
        faults = [Fault(field.path, field.kind, field.message) for field in error.fields]
        log.warning("%s: refused: %s", verb, error)
        if verb == "config":
            if not asks_no_change(tree):
                self._changing.refused(f"refused: {error}")
            answer = encode(
                ConfigResult(
                    id=id_of(tree),
                    status=error.status,  # type: ignore[arg-type]
                    code=error.code,  # type: ignore[arg-type]
                    rev=self._changing.rev,
                    errors=faults,
                )
            )
        else:
            answer = encode(
                CommandResult(
                    id=id_of(tree),
                    verb=verb,
                    status="refused",
                    code=error.code,  # type: ignore[arg-type]
                    errors=faults,
                )
            )
        self._told(sender, id_of(tree), answer)

    def _told(self, sender: Sender, request_id: str, answer: bytes) -> None:
        if sender.request:
            # Where the disk refuses it is kept in memory; the outbox says what is wrong.
            with contextlib.suppress(OSError):
                self._answers.note(request_id, sender.request, answer)
        self._mailbox.answer(sender, answer)

    def _tell_interrupted(self, trial: OnTrial, result: ConfigResult) -> None:
        sender = Sender(trial.answer_topic, trial.correlation, trial.request)
        asker = Asker(sender, trial.verb)
        self._told(sender, trial.request_id, asker.answer(result))
