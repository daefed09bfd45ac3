"""When the updater looks and when it begins: polls, nudges and windows, by clocks of the test."""

from __future__ import annotations

import itertools
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from edge_agent.modelstore.desired import ModelRef, Rollout, Stage
from edge_agent.modelstore.gateway import Gateway, Slot
from edge_agent.modelstore.layout import StoreLayout
from edge_agent.modelstore.slot_record import Generation, SlotRecord
from edge_agent.modelstore.slots import SlotFolder
from edge_agent.modelstore.supplier import Fetched, Look, News, Refusal
from edge_agent.modelstore.updater import NUDGE_LEAST_S, Updater
from tests.agents import MODELS
from tools.fleet_sim.gateway import StubTest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from edge_agent.modelstore.desired_source import OpenAction, SlotReport
    from tests.conftest import WaitFor

SLOT, POLL_S, DAY_S = "plates", 300.0, 86_400
NEWS = News(
    slot=SLOT,
    model=ModelRef("conveyor-parts", "2.0.0"),
    digest="0" * 64,
    seq=2,
    blobs=(),
    length=0,
    manifest=b"",
)


def rolled_out(rollout_id: str, version: str) -> News:
    """Return the model file of NEWS, wanted by this rollout under this version."""
    model = ModelRef("conveyor-parts", version)
    rollout = Rollout(rollout_id, model, (Stage(100.0),), jitter_s=0.0)
    return msgspec.structs.replace(NEWS, model=model, rollout=rollout)


@dataclass
class Station:
    """An updater whose clocks the test sets; what it asks of a repository is written down."""

    store: Path
    news: tuple[News, ...] = ()
    refused: dict[str, Refusal] = field(default_factory=dict)
    mono_s: float = 0.0
    clock_s: float = field(default_factory=time.time)
    looks_s: list[float] = field(default_factory=list)
    fetches: list[News] = field(default_factory=list)
    shown: list[bytes] = field(default_factory=list)

    def look(self, _running: Mapping[str, ModelRef]) -> Look:
        self.looks_s.append(self.mono_s)
        return Look(news=self.news, refused=self.refused)

    def fetch(
        self, news: News, _folder: Path, _keep: Collection[str], _say: Callable[[int], None]
    ) -> Fetched:
        self.fetches.append(news)
        return Fetched(0, 0)

    def tell(self, action: OpenAction, _reports: Collection[SlotReport]) -> OpenAction | None:
        return action

    def stop(self) -> None:
        """There is nothing to stop."""

    def updater(self, window: str | None) -> Updater:
        gateway = Gateway(
            device="gw-1",
            layout=StoreLayout(self.store),
            supplier=self,
            poll_s=POLL_S,
            window=window,
            pause=False,
            show=lambda _slot, payload: self.shown.append(payload),
            order=lambda _: True,
            moved=lambda: None,
            test=lambda _: StubTest(),
            clock_s=lambda: self.clock_s,
            mono_s=lambda: self.mono_s,
            rng=random.Random(3),
        )
        slot = Slot(SLOT, (SLOT,), frozenset({SLOT}), MODELS / "conveyor-parts")
        return Updater([slot], gateway)

    def in_twelve_hours(self) -> str:
        """Return a window that is shut now."""
        hour = (time.localtime(self.clock_s).tm_hour + 12) % 24
        return f"{hour:02}:00-{(hour + 1) % 24:02}:00"

    def open_window(self) -> None:
        """Let time pass until then."""
        self.clock_s += DAY_S / 2 - 60 * time.localtime(self.clock_s).tm_min

    def later(self, updater: Updater, seconds: float) -> dict[str, Any]:
        """Let time pass; return the latest status: what is told is gathered for a while."""
        self.mono_s += seconds
        updater.lost(("nobody",), "so that it does not wait for its next round")
        status: dict[str, Any] = json.loads(self.shown[-1])
        return status

    @property
    def record(self) -> SlotRecord:
        return SlotFolder(StoreLayout(self.store), SLOT).record.read()


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path / "models")


@pytest.fixture
def start(station: Station) -> Iterator[Callable[..., Updater]]:
    started: list[Updater] = []

    def run(window: str | None = None) -> Updater:
        started.append(station.updater(window))
        started[-1].start()
        return started[-1]

    yield run
    for each in started:
        each.stop()


def test_polls_are_spread_by_a_fifth(
    station: Station, start: Callable[..., Updater], wait_for: WaitFor
) -> None:
    updater = start()
    wait_for(lambda: station.looks_s)
    while len(station.looks_s) < 6:
        station.mono_s += POLL_S / 100
        updater.lost(("nobody",), "so that it does not wait for its next round")
        time.sleep(0.001)
    apart_s = [after - before for before, after in itertools.pairwise(station.looks_s)]
    assert min(apart_s) >= 0.8 * POLL_S
    assert len({round(each_s) for each_s in apart_s}) > 1


def test_a_nudge_brings_the_next_look_forward_but_not_at_once(
    station: Station, start: Callable[..., Updater], wait_for: WaitFor
) -> None:
    updater = start()
    wait_for(lambda: station.looks_s)
    updater.nudge()
    while len(station.looks_s) == 1:
        station.mono_s += 0.1
        updater.lost(("nobody",), "so that it does not wait for its next round")
        time.sleep(0.001)
    assert NUDGE_LEAST_S <= station.looks_s[1] - station.looks_s[0] < 0.8 * POLL_S


def test_outside_its_window_a_model_waits_and_in_it_it_comes(
    station: Station, start: Callable[..., Updater], wait_for: WaitFor
) -> None:
    station.news = (NEWS,)
    start(window=station.in_twelve_hours())
    wait_for(lambda: station.record.state == "deferred")
    assert station.fetches == []
    station.open_window()
    wait_for(lambda: station.record.state == "staged")
    assert station.fetches == [NEWS]


def test_the_same_file_in_another_rollout_or_version_is_followed_while_it_waits(
    station: Station, start: Callable[..., Updater], wait_for: WaitFor
) -> None:
    station.news = (rolled_out("a", "2.0.0"),)
    updater = start(window=station.in_twelve_hours())
    wait_for(lambda: station.later(updater, 0.1)["state"] == "deferred")
    for rollout_id, version in (("b", "2.0.0"), ("c", "2.0.1"), ("d", "2.0.2")):
        station.news = (rolled_out(rollout_id, version),)
        wanted = ("deferred", f"conveyor-parts@{version}", rollout_id)

        def is_told(wanted: tuple[str, ...] = wanted) -> bool:
            status = station.later(updater, POLL_S / 50)
            return (status["state"], status["to"], status["rollout_id"]) == wanted

        wait_for(is_told)
    assert "waits for the window" in station.later(updater, 0.1)["detail"]
    assert station.fetches == []
    station.open_window()
    wait_for(lambda: station.record.state == "staged")
    assert station.fetches == [rolled_out("d", "2.0.2")]
    candidate = station.record.candidate
    assert candidate is not None
    assert (candidate.generation.model, candidate.rollout_id) == (station.news[0].model, "d")


def test_a_file_in_quarantine_stays_there_under_every_name_until_it_is_released(
    station: Station,
    start: Callable[..., Updater],
    wait_for: WaitFor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = SlotFolder(StoreLayout(station.store), SLOT)
    bad = Generation(number=1, model=NEWS.model, digest=NEWS.digest, seq=2)
    folder.record.write(SlotRecord(**SlotRecord().quarantining(bad, "errs: 5 of 5")))  # type: ignore[arg-type]
    updater = start()
    for rollout_id, version in (("a", "2.0.0"), ("b", "2.0.1")):
        station.news = (rolled_out(rollout_id, version),)
        wait_for(lambda to=version: station.later(updater, POLL_S / 50)["to"].endswith(to))  # type: ignore[misc]
        status = station.later(updater, 0.1)
        assert (status["state"], status["rollout_id"]) == ("failed", rollout_id)
        assert status["error"] == {"code": "quarantined", "detail": "errs: 5 of 5"}
    assert station.fetches == []
    folder.release(NEWS.digest, on=True)
    wait_for(lambda: station.record.state == "staged")
    wait_for(lambda: station.later(updater, 1.0)["state"] == "staged")
    assert station.fetches == [rolled_out("b", "2.0.1")]
    assert not station.record.quarantine
    assert not folder.releases
    said = "conveyor-parts@2.0.0 (000000000000) was released from quarantine at the gateway"
    shown = [json.loads(payload) for payload in station.shown]
    assert ("idle", said, None) in [(s["state"], s["detail"], s["error"]) for s in shown]
    assert "released from quarantine: errs: 5 of 5" in caplog.text


def test_a_slot_that_leaves_the_config_says_nothing_more(
    station: Station, start: Callable[..., Updater], wait_for: WaitFor
) -> None:
    station.news = (NEWS,)
    updater = start()
    wait_for(lambda: station.record.state == "staged")
    updater.configure([])
    wait_for(lambda: station.shown[-1] == b"")
    updater.stop()  # it tells what it had not told yet
    assert station.shown[-1] == b""


def test_a_model_that_must_not_come_is_named_with_its_rollout(
    station: Station, start: Callable[..., Updater], wait_for: WaitFor
) -> None:
    older = ModelRef("conveyor-parts", "1.3.0")
    station.refused[SLOT] = Refusal(
        model=older, rollout_id="plates-1.3.0", code="too_old", detail="no downgrade"
    )
    updater = start()
    wait_for(lambda: station.later(updater, 0.1)["state"] == "failed")
    status = station.later(updater, 0.1)
    assert (status["to"], status["rollout_id"]) == (str(older), "plates-1.3.0")
    assert status["error"] == {"code": "too_old", "detail": "no downgrade"}
