"""A whole agent whose accelerator fails: how soon the CPU inspects, what is told, what returns."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from edge_agent.brief import brief
from edge_agent.commands import local_plant
from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_options import Subscription
from tools.accel import stand_ins
from tools.accel.shipped import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.mqtt.broker_options import BrokerOptions, Message

FPS = 20.0
WAIT_S = 60.0
SETTLE_S = 1.0
PROMISED_S = 2.0
SAID_MOST = 110  # characters: the row stays on two lines
PORT_OF_SYSTEM = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail; `begin` and `end` make it so. `at_load`: it is there from the start."""

    what: str
    reason: str
    accelerator: dict[str, Any]
    begin: Callable[[], object]
    end: Callable[[], object]
    at_load: bool = False
    on_failure: str = "fallback"


@dataclass
class Heard:
    """What the agent says, by topic below its root."""

    verdicts: list[dict[str, Any]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    stats: dict[str, Any] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Take one message."""
        content = msgspec.json.decode(message.payload)
        if message.topic.endswith("/verdict"):
            self.verdicts.append(content)
        elif message.topic.endswith("/status"):
            self.status = content
        else:
            self.stats = content

    @property
    def ran_on(self) -> str:
        """Return what ran the newest item."""
        return str(self.verdicts[-1]["accelerator"]) if self.verdicts else ""

    def told(self) -> str:
        """Return the reason on the status topic, or ""."""
        checks = self.status.get("checks", [])
        return next((c["reason"] for c in checks if c["name"] == "accelerator"), "")


def table(folder: Path, library: Path) -> int:
    """Print a row for each fault; return 1 where one does not do what is promised."""
    print(
        f"{'fault':<34} {'without it after':>16} {'longest gap':>11} {'errors':>6} "
        f"{'back after':>10}  on the status topic"
    )
    with local_plant.broker(PORT_OF_SYSTEM, folder) as broker:
        return max([_row(folder, broker, fault) for fault in _faults(folder, library)])


def _faults(folder: Path, library: Path) -> list[Fault]:
    switch, device = folder / "fault", folder / "device"
    path = folder / "libmoved.so"

    def install(source: Path) -> None:
        shutil.copy(source, path.with_suffix(".new"))
        os.replace(path.with_suffix(".new"), path)  # noqa: PTH105  as one step

    def own(fault: str) -> dict[str, Any]:
        return stand_ins.delegate(library, fault=fault, **{"while": str(switch)})

    def on() -> None:
        switch.touch()

    def off() -> None:
        switch.unlink(missing_ok=True)

    def gone() -> None:
        path.unlink(missing_ok=True)

    moved = stand_ins.delegate(path)
    other = stand_ins.foreign(library, folder / "libforeign.so")
    here = stand_ins.delegate(library, device=str(device))
    device.touch()
    return [
        Fault(
            "library missing",
            "library_missing",
            moved,
            gone,
            lambda: install(library),
            at_load=True,
        ),
        Fault(
            "wrong architecture",
            "wrong_architecture",
            moved,
            lambda: install(other),
            lambda: install(library),
            at_load=True,
        ),
        Fault("refuses the graph", "refused_graph", own("refuse_graph"), on, off, at_load=True),
        Fault("answers wrongly", "wrong_answers", own("wrong"), on, off, at_load=True),
        Fault("refuses at run", "refused_run", own("refuse_run"), on, off),
        Fault("answers wrongly in service", "wrong_answers", own("wrong"), on, off),
        Fault("hangs", "hung", own("hang_run"), on, off),
        Fault("crashes", "crashed", own("crash_run"), on, off),
        Fault("disappears and comes back", "", here, device.unlink, device.touch),
        Fault("hangs, on_failure = fail", "hung", own("hang_run"), on, off, on_failure="fail"),
    ]


def _row(folder: Path, broker: BrokerOptions, fault: Fault) -> int:
    heard = Heard()
    source = {"kind": "simulator", "scene": "conveyor", "fps": FPS}
    pipeline = {
        "family": "qc",
        "model": str(MODELS / "conveyor-parts"),
        "source": source,
        "evidence": {"keep": []},
        "accelerator": fault.accelerator,
        "on_failure": fault.on_failure,
    }
    if fault.at_load:
        fault.begin()
    topics = ("+/+/+/+/+/edge/+/status", "+/+/+/+/+/edge/+/qc/line/+")
    subscriptions = [Subscription(topic, 1, heard.take) for topic in topics]
    connection = Connection(broker, f"accel-{time.time_ns()}", subscriptions=subscriptions)
    name = Path(str(fault.accelerator["delegate"])).name
    with local_plant.agent(folder, broker, {"line": pipeline}):
        connection.start()
        try:
            return _measured(heard, fault, name)
        finally:
            connection.stop()


def _measured(heard: Heard, fault: Fault, name: str) -> int:
    without = "cpu" if fault.on_failure == "fallback" else "none"
    if not fault.at_load:
        _until(lambda: heard.ran_on == name)
        time.sleep(SETTLE_S)  # an ordinary second before it
        fault.begin()
    began_s = time.time()
    _until(lambda: heard.ran_on == without)
    after_s = 0.0 if fault.at_load else _first(heard, without, began_s) - began_s
    _until(lambda: fault.reason in heard.told() and bool(heard.told()))
    told = heard.told()
    if not fault.reason:
        _until(lambda: "disappeared" in heard.told())
        told = heard.told()
    fault.end()
    ended_s = time.time()
    _until(lambda: heard.ran_on == name)
    back_s = _first(heard, name, ended_s) - ended_s
    times = [_seconds(verdict["ts"]) for verdict in heard.verdicts]
    gap_s = max(after - before for before, after in itertools.pairwise(times))
    errors = sum(verdict["verdict"] == "error" for verdict in heard.verdicts)
    begun = "from the start" if fault.at_load else f"{after_s:.2f} s"
    print(
        f"{fault.what:<34} {begun:>16} {gap_s:>9.2f} s {errors:>6} {back_s:>8.1f} s  "
        f"{brief(told, SAID_MOST)}",
        flush=True,
    )
    return int(max(after_s, gap_s) > PROMISED_S or (without == "cpu" and errors > 0))


def _first(heard: Heard, name: str, since_s: float) -> float:
    """Return when the first item after `since_s` ran on `name`, in seconds since 1970."""
    times = [_seconds(v["ts"]) for v in heard.verdicts if v["accelerator"] == name]
    return min(each for each in times if each >= since_s)


def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {WAIT_S:.0f} s")
        time.sleep(0.02)


def _seconds(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()
