"""Simulated gateways in a few processes, each with many of them, that poll in rounds.

python-tuf takes 16 MB in each process: a process for every gateway would take what no machine has.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from edge_agent import __version__
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.supplier import Place, RepositorySupplier
from edge_agent.mqtt.broker import Connection
from edge_agent.mqtt.broker_options import BrokerOptions
from tools.fleet_sim.gateway import SLOT, SimulatedGateway

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe
    from pathlib import Path
    from types import TracebackType

    from edge_agent.modelstore.desired import ModelRef
    from edge_agent.reporting.model_messages import ModelStatusMessage

GATEWAYS_A_SITE = 10
QUOTA_BYTES = 64 << 20
BROKER_S = 30.0
# A round of a thousand takes half a minute where two cores do everything.
ROUND_S = 600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What all gateways have in common. `errs`: devices on which the version `bad` fails."""

    url: str
    root: Path
    stores: Path
    broker_port: int
    bad: str
    errs: frozenset[str]


def device(number: int) -> str:
    """Return the name of a gateway."""
    return f"gw-{number:05}"


def site(number: int) -> str:
    """Return the plant that a gateway stands in."""
    return f"plant-{number // GATEWAYS_A_SITE:04}"


class Fleet:
    """`count` gateways between `with` and its end; one thread uses it."""

    def __init__(self, plan: Plan, count: int, processes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Pipe] = []
        self._processes = []
        for share in range(processes):
            ours, theirs = context.Pipe()
            numbers = range(share, count, processes)
            process = context.Process(target=_gateways, args=(plan, numbers, theirs), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        self._gather()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            process.kill()

    def poll(self) -> dict[str, ModelStatusMessage]:
        """Have every gateway poll once, and the broker have their word.

        Returns the newest status of each device.
        """
        for pipe in self._pipes:
            pipe.send("poll")
        return self._gather()

    def _gather(self) -> dict[str, ModelStatusMessage]:
        said: dict[str, ModelStatusMessage] = {}
        deadline_s = time.monotonic() + ROUND_S
        for pipe in self._pipes:
            if not pipe.poll(max(0.0, deadline_s - time.monotonic())):
                raise TimeoutError("the simulated gateways hang")
            said |= pipe.recv()
        return said


def _gateways(plan: Plan, numbers: range, pipe: Pipe) -> None:
    """Be these gateways until the pipe closes."""
    voice = _Voice(plan.broker_port, f"fleet-{numbers.start}")
    gateways = {device(number): _gateway(plan, number, voice) for number in numbers}
    try:
        while True:
            voice.flush()
            pipe.send({name: gateway.said for name, gateway in gateways.items()})
            pipe.recv()
            for gateway in gateways.values():
                gateway.poll()
    except (EOFError, BrokenPipeError):
        voice.connection.stop()


class _Voice:
    """One connection for all gateways of a process; says again what a lost one did not deliver."""

    def __init__(self, port: int, client_id: str) -> None:
        self._lock = threading.Lock()
        self._open: dict[int, tuple[str, bytes]] = {}
        self._newest: dict[str, int] = {}
        self._lost = threading.Event()
        self._number = 0
        self.connection = Connection(
            BrokerOptions(port=port, keepalive_s=60),
            client_id,
            on_acked=self._acked,
            on_lost=self._lost.set,
        )
        self.connection.start()

    def say(self, topic: str, payload: bytes) -> None:
        """Publish a status, as soon as the broker takes it."""
        self._number += 1
        with self._lock:
            self._open[self._number] = (topic, payload)
            self._newest[topic] = self._number
        self._publish(self._number, topic, payload)

    def flush(self) -> None:
        """Wait until the broker has all of it."""
        deadline_s = time.monotonic() + BROKER_S
        while self._open:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"broker: {len(self._open)} statuses are not acknowledged")
            if self._lost.is_set() and self.connection.connected:
                self._lost.clear()
                self._say_again()
            time.sleep(0.005)

    def _say_again(self) -> None:
        with self._lock:
            # Of a topic only the newest counts, and must be the last that the broker gets.
            self._open = {n: said for n, said in self._open.items() if n == self._newest[said[0]]}
            again = list(self._open.items())
        for number, (topic, payload) in again:
            self._publish(number, topic, payload)

    def _publish(self, number: int, topic: str, payload: bytes) -> None:
        deadline_s = time.monotonic() + BROKER_S
        while not self.connection.publish(topic, payload, retain=True, token=number):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"broker: {self.connection.detail}")
            time.sleep(0.005)

    def _acked(self, number: int, _reason: str | None) -> None:
        with self._lock:
            self._open.pop(number, None)


def _gateway(plan: Plan, number: int, voice: _Voice) -> SimulatedGateway:
    name = device(number)
    store = plan.stores / name
    place = Place(
        store=str(store),
        url=plan.url,
        root=str(plan.root),
        fleet="default",
        device=name,
        site=site(number),
        line="1",
        hw=("cpu",),
        tags=(),
        agent_version=__version__,
        quota_bytes=QUOTA_BYTES,
    )

    def errs(model: ModelRef) -> bool:
        return model.version == plan.bad and name in plan.errs

    topic = f"sim/{site(number)}/hall/1/cell/edge/{name}/model/{SLOT}/status"
    return SimulatedGateway(
        RepositorySupplier(place, threading.Event()),
        StoreLayout(store),
        errs,
        lambda payload: voice.say(topic, payload),
    )
