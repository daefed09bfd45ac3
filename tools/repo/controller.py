"""Moves rollouts from ring to ring, and stops them, as gateways confirm a model or give it up.

It holds the online keys, and may do what they may: choose among signed models. The document and the
retained topics are all it knows, so it can be ended at any moment, and a second one does no harm.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import SyncError
from edge_agent.mqtt.broker_options import BrokerOptions, TlsOptions
from tools.repo import publishing, rollouts
from tools.repo.control import Decision, Thresholds, decide, tally
from tools.repo.signing import RepositoryError, SigningDesk
from tools.repo.status_board import StatusBoard

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection, Iterable, Iterator

    from edge_agent.modelstore.desired import Desired, Rollout
    from tools.repo.control import SlotStatus

# With --once: how long a broker may take to let us in and say what it keeps.
ONCE_S = 60.0
LOOK_S = 0.1


@dataclass
class Controller:
    """The rollouts of one fleet, or those of `only`. `dry_run`: says all, signs nothing."""

    desk: SigningDesk
    fleet: str
    thresholds: Thresholds
    only: Collection[str] = ()
    dry_run: bool = False
    _said: dict[str, Decision] = field(default_factory=dict)

    def step(self, slots: Iterable[SlotStatus], *, complete: bool) -> list[str]:
        """Do what follows from the statuses; return sentences about what is new.

        Raises RepositoryError, SyncError, NoSuchRule, OSError; the next step tries again.
        """
        said = [] if self.dry_run else self._finish()
        document = publishing.read_desired(self.desk, self.fleet)
        known = list(slots)
        for rule in document.rules:
            rollout = rule.rollout
            if rollout is None or (self.only and rollout.id not in self.only):
                continue
            found = tally(document, rule, rollout, known)
            decision = decide(rollout, found, self.thresholds, complete=complete)
            said += self._obey(rollout, decision)
        return said

    def _finish(self) -> list[str]:
        """Sign what waits for the online keys: whoever drafted it may have been ended before."""
        waits = (self.desk.folder / "staged" / "rollout.json").exists()
        return self.desk.advance() if waits else []

    def _obey(self, rollout: Rollout, decision: Decision) -> list[str]:
        new = self._said.get(rollout.id) != decision
        self._said[rollout.id] = decision
        line = f"{rollout.id}: {decision.verb}: {decision.why}"
        if decision.verb == "wait" or self.dry_run:
            return [line] * new
        signed = publishing.edit_desired(self.desk, self.fleet, _edit(rollout, decision))
        return [line, *signed]


def _edit(seen: Rollout, decision: Decision) -> Callable[[Desired], Desired]:
    """Return the edit, which is refused where somebody has changed the rollout meanwhile."""

    def edit(document: Desired) -> Desired:
        if not any(rule.rollout == seen for rule in document.rules):
            raise rollouts.NoSuchRule(f"rollout {seen.id} was changed meanwhile")
        if decision.verb == "halt":
            return rollouts.halted(document, seen.id, halt=True)
        return rollouts.promoted(document, seen.id)

    return edit


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `control` can be told."""
    usual = Thresholds()
    parser.add_argument("--fleet", default="default")
    parser.add_argument("--id", action="append", default=[], help="a rollout; default: all")
    parser.add_argument(
        "--confirmed-pct", type=float, default=100 * usual.share, help="of a ring, to go on"
    )
    parser.add_argument("--confirmed", type=int, default=usual.least, help="at least so many")
    parser.add_argument("--failed", type=int, default=usual.failures, help="so many, to halt")
    parser.add_argument(
        "--failed-pct",
        type=float,
        default=100 * usual.failed_share,
        help="and of those that came to an end",
    )
    parser.add_argument("--every-s", type=float, default=10.0, help="between two looks")
    parser.add_argument("--settle-s", type=float, default=3.0, help="for what the broker keeps")
    parser.add_argument("--once", action="store_true", help="one look: for a timer")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--client-id", default="edge-agent-rollouts")
    parser.add_argument("--username")
    parser.add_argument("--password-file", type=Path)
    parser.add_argument(
        "--ca-file", type=Path, help="encrypted; PEM of who signed the broker's key"
    )


def control(desk: SigningDesk, options: argparse.Namespace) -> Iterator[str]:
    """Run the command: yield sentences until it is ended, or with --once after one look."""
    broker = BrokerOptions(
        host=options.host,
        port=options.port,
        username=options.username,
        password_file=options.password_file,
        tls=TlsOptions(ca_file=options.ca_file) if options.ca_file else None,
    )
    thresholds = Thresholds(
        options.confirmed_pct / 100, options.confirmed, options.failed, options.failed_pct / 100
    )
    controller = Controller(desk, options.fleet, thresholds, options.id, options.dry_run)
    with StatusBoard(broker, options.client_id, settle_s=options.settle_s) as board:
        try:
            yield from _looks(controller, board, options)
        except KeyboardInterrupt:
            return


def _looks(
    controller: Controller, board: StatusBoard, options: argparse.Namespace
) -> Iterator[str]:
    pause = threading.Event()
    if options.once:
        for _ in range(int(ONCE_S / LOOK_S)):
            if board.complete:
                yield from controller.step(board.slots(), complete=True)
                return
            pause.wait(LOOK_S)
        raise RepositoryError(f"broker: {board.detail or 'never came to an end'}")
    trouble = ""
    while True:
        detail = f"broker: {board.detail}" if board.detail else ""
        try:
            yield from controller.step(board.slots(), complete=board.complete)
        except (RepositoryError, SyncError, rollouts.NoSuchRule, OSError) as error:
            detail = f"refused: {error}"
        if detail not in {"", trouble}:
            yield detail
        trouble = detail
        pause.wait(options.every_s)
