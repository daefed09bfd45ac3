"""What happens to the simulated fleet: a first model, a bad one that must be halted, a good one."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from edge_agent.modelstore.desired import (
    Gateway,
    Match,
    ModelRef,
    Rollout,
    Stage,
    bucket,
    takes_part,
)
from edge_agent.mqtt.broker_options import BrokerOptions
from tests.conftest import Mosquitto
from tests.modelstore.plant import write_bundle
from tools.fleet_sim.fleet import Fleet, Plan, device, site
from tools.fleet_sim.gateway import SLOT
from tools.fleet_sim.web import serve
from tools.repo import publishing, rollouts
from tools.repo.control import Thresholds
from tools.repo.controller import Controller
from tools.repo.signing import SigningDesk
from tools.repo.status_board import StatusBoard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from edge_agent.reporting.model_messages import ModelStatusMessage
    from tools.fleet_sim.web import Traffic, Web
    from tools.repo.control import SlotStatus

FIRST, BAD, GOOD = (ModelRef("wear", f"{number}.0.0") for number in (1, 2, 3))
RINGS_PCT = (1.0, 25.0, 100.0)
ERRING_SHARE = 0.05
ROUNDS_MOST = 8
IDS_MOST = 2000
HEARD_S = 60.0


class NotAsExpected(Exception):
    """The fleet did something else than it should; the text says what."""


@dataclass(frozen=True, slots=True)
class Row:
    """One part of the story, and what it cost."""

    gateways: int
    part: str
    rounds: int
    traffic: Traffic
    took_s: float


@dataclass(frozen=True, slots=True)
class Settings:
    """`failures`: so many halt a rollout. `nginx`: where it is installed."""

    gateways: int
    failures: int
    model_bytes: int = 200_000
    processes: int = 4
    nginx: bool = True


@dataclass
class Story:
    """A fleet that runs. `say` hears sentences."""

    settings: Settings
    desk: SigningDesk
    web: Web
    fleet: Fleet
    board: StatusBoard
    controller: Controller
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)

    def tell(self) -> list[Row]:
        """Go through it; return what each part cost. Raises NotAsExpected."""
        everyone = self.settings.gateways
        self._default(FIRST)
        with self._part("first model, all at once") as rounds:
            self._poll(rounds)
        self._require(FIRST, everyone, {"confirmed": everyone})
        with self._part("poll without news") as rounds:
            self._poll(rounds)
        with self._part("bad model, until halted") as rounds:
            bad = bad_rollout(self.settings)
            self._begin(bad)
            self._until(rounds, lambda: self._stands() == "25 %, halted")
        self._require_halted(bad)
        with self._part("poll while halted") as rounds:
            self._poll(rounds)
        self._require_halted(bad)
        with self._part("good model, through all rings") as rounds:
            self._begin(good_rollout(self.settings))
            self._until(rounds, lambda: self._stands() == f"default {GOOD}")
        self._require(GOOD, everyone, {"confirmed": everyone})
        return self.rows

    def _default(self, model: ModelRef) -> None:
        publishing.edit_desired(
            self.desk,
            "default",
            lambda document: rollouts.with_default(document, SLOT, Match(), model),
        )

    def _begin(self, rollout: Rollout) -> None:
        publishing.edit_desired(
            self.desk,
            "default",
            lambda document: rollouts.with_rollout(document, SLOT, Match(), rollout),
        )

    @contextmanager
    def _part(self, name: str) -> Iterator[Counter[str]]:
        before, began_s = self.web.traffic(), time.monotonic()
        rounds: Counter[str] = Counter()
        yield rounds
        took_s = time.monotonic() - began_s
        traffic = self.web.traffic().since(before)
        self.rows.append(Row(self.settings.gateways, name, rounds["all"], traffic, took_s))

    def _poll(self, rounds: Counter[str]) -> None:
        """Have all poll once; return once their statuses have come by the broker."""
        said = self.fleet.poll()
        rounds["all"] += 1
        _await(lambda: heard(said, self.board.slots()))

    def _until(self, rounds: Counter[str], reached: Callable[[], bool]) -> None:
        while not reached():
            if rounds["all"] == ROUNDS_MOST:
                raise NotAsExpected(f"after {ROUNDS_MOST} polls of all: {self._stands()}")
            self._poll(rounds)
            for line in self.controller.step(self.board.slots(), complete=self.board.complete):
                if "published" not in line:
                    self.say(f"  {line}")

    def _stands(self) -> str:
        rule = publishing.read_desired(self.desk, "default").rules[0]
        if rule.rollout is None:
            return f"default {rule.default}"
        halted = ", halted" if rule.rollout.halted else ""
        return f"{rule.rollout.stages[rule.rollout.stage].pct:g} %{halted}"

    def _require_halted(self, rollout: Rollout) -> None:
        """See that the second ring has it, but for those on which it errs, and nobody else."""
        everyone = self.settings.gateways
        ring = reached(rollout, 1, everyone)
        erring = ring & erring_devices(everyone)
        rest = everyone - len(erring)
        self._require(BAD, len(ring) - len(erring), {"confirmed": rest, "rolled_back": len(erring)})

    def _require(self, model: ModelRef, runs: int, states: dict[str, int]) -> None:
        messages = [slot.message for slot in self.board.slots()]
        running = sum(message.from_ == str(model) for message in messages)
        # Rolled back, then halted: nothing else is wanted there, and the slot is idle.
        found = Counter(
            "rolled_back" if each.state in {"rolled_back", "idle", "failed"} else each.state
            for each in messages
        )
        if running != runs or dict(found) != states:
            raise NotAsExpected(
                f"{running} run {model} and not {runs}; states {dict(found)}, not {states}"
            )


@contextmanager
def story(settings: Settings, folder: Path, say: Callable[[str], None] = print) -> Iterator[Story]:
    """Start a repository, its web server, a broker, a controller and the fleet in `folder`."""
    desk = SigningDesk(folder / "repo", [folder / "keys"])
    publishing.init(desk, folder / "keys", {})
    bundles = [
        write_bundle(
            folder / model.version, version=model.version, seq=seq, size=settings.model_bytes
        )
        for seq, model in enumerate((FIRST, BAD, GOOD), start=1)
    ]
    publishing.add_models(desk, bundles, min_seq=None)
    # With its default of 1,000 messages for each consumer it drops what a fleet says at once.
    broker = Mosquitto(folder, "allow_anonymous true\nmax_queued_messages 0")
    broker.start()
    options = BrokerOptions(port=broker.port, keepalive_s=60)
    try:
        with (
            serve(desk.folder, folder / "web", nginx=settings.nginx) as web,
            StatusBoard(options, "rollouts", settle_s=0.0) as board,
        ):
            plan = Plan(
                web.url,
                desk.folder / "metadata" / "1.root.json",
                folder / "stores",
                broker.port,
                BAD.version,
                erring_devices(settings.gateways),
            )
            thresholds = Thresholds(share=0.9, failures=settings.failures)
            online = SigningDesk(desk.folder, [folder / "keys" / "online"])
            controller = Controller(online, "default", thresholds)
            _await(lambda: board.complete)
            with Fleet(plan, settings.gateways, settings.processes) as fleet:
                yield Story(settings, online, web, fleet, board, controller, say)
    finally:
        broker.stop()


def heard(said: Mapping[str, ModelStatusMessage], slots: Iterable[SlotStatus]) -> bool:
    """Say whether `slots` is what each said last: another model may end in the same state."""
    return said == {slot.message.device: slot.message for slot in slots}


def erring_devices(gateways: int) -> frozenset[str]:
    """Return the 5 % of devices, at least one, on which the bad model errs."""
    names = sorted(map(device, range(gateways)), key=lambda name: bucket("errs", name))
    return frozenset(names[: max(1, round(ERRING_SHARE * gateways))])


def reached(rollout: Rollout, stage: int, gateways: int) -> frozenset[str]:
    """Return the devices of a ring."""
    there = msgspec.structs.replace(rollout, stage=stage)
    numbers = range(gateways)
    return frozenset(device(n) for n in numbers if takes_part(there, Gateway(device(n), site(n))))


def bad_rollout(settings: Settings) -> Rollout:
    """Return a rollout of the bad model that shows its fault in the second ring, and not before."""
    erring = erring_devices(settings.gateways)

    def fits(rollout: Rollout) -> bool:
        first, second = (reached(rollout, stage, settings.gateways) for stage in (0, 1))
        enough = len(second & erring) >= max(
            settings.failures, Thresholds().failed_share * len(second)
        )
        return bool(first) and not first & erring and enough

    return _first_that("bad", BAD, fits)


def good_rollout(settings: Settings) -> Rollout:
    """Return a rollout of the good model whose first ring has somebody in it."""
    return _first_that("good", GOOD, lambda it: bool(reached(it, 0, settings.gateways)))


def _first_that(name: str, to: ModelRef, fits: Callable[[Rollout], bool]) -> Rollout:
    """Return the first that fits: which gateways a ring has, only its id decides."""
    stages = tuple(map(Stage, RINGS_PCT))
    for number in range(IDS_MOST):
        rollout = Rollout(id=f"{name}-{number}", to=to, stages=stages, jitter_s=0.0)
        if fits(rollout):
            return rollout
    raise NotAsExpected("too few gateways for rings of 1 % and 25 %, or for so many failures")


def _await(happens: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + HEARD_S
    while not happens():
        if time.monotonic() > deadline_s:
            raise NotAsExpected(f"the broker is not heard within {HEARD_S:g} s")
        time.sleep(0.01)
