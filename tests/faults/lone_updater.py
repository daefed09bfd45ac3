"""The agent's updater without the agent: real trust, store and states; workers that agree at once.

    python -m tests.faults.lone_updater

forks for each order on standard input, so that one start costs tens of milliseconds, and says how
the fork ended. A model is loaded as a worker does: every file is hashed. So an update that ends
well has run whole files, and nothing else.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edge_agent.errors import ModelError
from edge_agent.line.succession_report import SuccessionReport
from edge_agent.modelstore.floors import FloorFile
from edge_agent.modelstore.gateway import Gateway, Slot
from edge_agent.modelstore.in_force import in_force
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.modelstore.slots import SlotFolder
from edge_agent.modelstore.supplier import Place, RepositorySupplier
from edge_agent.modelstore.updater import Updater
from edge_agent.processes import wire
from tools.fleet_sim.gateway import StubTest

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOT = "spindle"
REPORT_S = 0.002
# An update takes a tenth of a second; one that hangs is killed by SIGALRM.
HANGS_S = 60


@dataclass(frozen=True, slots=True)
class Order:
    """Where one gateway stands.

    `log`: a file that hears what it does, in lines of JSON. `wanted`: the model with which it ends;
    "": it ends as soon as it was refused something. `ahead_s`: how far its clock is ahead.
    """

    store: str
    url: str
    root: str
    factory: str
    log: str
    wanted: str
    quota_bytes: int
    poll_s: float = 3600.0
    ahead_s: float = 0.0


@dataclass
class _Workers:
    """Answer the updater as workers whose models do well; load what they are told to."""

    order: Order
    runs: str = ""
    failed: str = ""
    succession: SuccessionReport | None = None
    refused: str = ""

    def follow(self) -> None:
        """Run what is in force now."""
        layout, factory = StoreLayout(Path(self.order.store)), Path(self.order.factory)
        bundle = in_force(layout, SLOT, factory) or str(factory)
        self.failed = self._load(bundle)
        self.runs = "" if self.failed else bundle
        self._note("runs", bundle)

    def obey(self, order: wire.Order) -> bool:
        """Go one step."""
        if isinstance(order, wire.Succeed):
            phase: Any = {"load": "agreed", "swap": "well", "keep": "kept", "revert": None}[
                order.step
            ]
            detail = ""
            if order.step == "load":
                self._note("load", order.folder)
                detail = self._load(order.folder)
            code = "model" if detail else ""
            phase = "failed" if detail else phase
            self.succession = (
                SuccessionReport(folder=order.folder, phase=phase, code=code, detail=detail)
                if phase
                else None
            )
        return True

    def hear(self, _slot: str, status: bytes) -> None:
        """Take a status as the broker would."""
        error = json.loads(status)["error"]
        if error and error["code"] != self.refused:
            self.refused = error["code"]
            self._note("refused", self.refused)

    def report(self) -> wire.PipelineReport:
        """Say how the only pipeline is doing."""
        return wire.PipelineReport(
            pipeline="line",
            state="failed" if self.failed else "running",
            detail=self.failed,
            stage="",
            stage_since_mono_ns=0,
            totals={},
            latency_counts={},
            model="wear",
            model_version="",
            model_sha256="" if self.failed else "0",
            accelerator="",
            succession=self.succession,
        )

    def _load(self, bundle: str) -> str:
        try:
            load_bundle(Path(bundle))
        except ModelError as error:
            return str(error)
        return ""

    def _note(self, what: str, which: str) -> None:
        line = json.dumps([what, which]).encode() + b"\n"
        descriptor = os.open(self.order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line)
        os.close(descriptor)


def run(order: Order) -> None:
    """Be a gateway until it runs what is wanted, or has given it up."""
    signal.alarm(HANGS_S)
    layout, workers = StoreLayout(Path(order.store)), _Workers(order)
    workers.follow()
    supplier = RepositorySupplier(
        _place(order), threading.Event(), clock_s=lambda: time.time() + order.ahead_s
    )
    slot = Slot(SLOT, ("line",), frozenset({"line"}), Path(order.factory))
    gateway = Gateway(
        device="gw-1",
        layout=layout,
        supplier=supplier,
        poll_s=order.poll_s,
        window=None,
        pause=False,
        show=workers.hear,
        order=workers.obey,
        moved=workers.follow,
        test=lambda _: StubTest(),
        rng=random.Random(1),
    )
    updater = Updater([slot], gateway)
    updater.start()
    while not (_is_over(order, layout) if order.wanted else workers.refused):
        updater.report(workers.report())
        time.sleep(REPORT_S)
    updater.stop()


def _is_over(order: Order, layout: StoreLayout) -> bool:
    record = SlotFolder(layout, SLOT).record.read()
    if record.state == "failed" and record.error and record.error.code == "interrupted":
        return True
    if record.state != "confirmed" or record.active is None:
        return False
    known = FloorFile(layout.floor).read().confirmed_seqs
    kept = known.get(record.active.model.model_id) == record.active.seq
    return str(record.active.model) == order.wanted and kept


def _place(order: Order) -> Place:
    return Place(
        store=order.store,
        url=order.url,
        root=order.root,
        fleet="default",
        device="gw-1",
        site="plant",
        line="1",
        hw=("cpu",),
        tags=(),
        agent_version="1.0.0",
        quota_bytes=order.quota_bytes,
    )


class LoneUpdater:
    """Starts gateways in forks of one process, for a test."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.lone_updater"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | dict(environment),
            cwd=Path(__file__).parents[2],
        )

    def run(self, order: Order) -> int:
        """Have a gateway do its update; return its exit code, negative for a signal."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        stdin.flush()
        return int(stdout.readline())

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate(timeout=60)


def main(orders: IO[bytes]) -> None:
    """Fork for each order."""
    for line in orders:
        order = Order(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            run(order)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # Everything heavy is loaded before the first fork.
    import tuf.ngclient  # noqa: F401

    main(sys.stdin.buffer)
