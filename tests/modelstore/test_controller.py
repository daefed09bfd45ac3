"""The controller signs what follows from the statuses on a real broker, each step once."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_agent.mqtt.broker import BrokerOptions, Connection
from edge_agent.reporting.messages import encode
from tests.modelstore.plant import add_model, write_bundle
from tests.modelstore.statuses import GATEWAYS, NEW, OLD, RING, SLOT, fleet_with, seen, status
from tools.repo import publishing, rollouts
from tools.repo.__main__ import main
from tools.repo.control import Thresholds
from tools.repo.controller import Controller
from tools.repo.signing import SigningDesk
from tools.repo.status_board import StatusBoard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.reporting.model_messages import ModelStatusMessage
    from tests.conftest import Mosquitto, WaitFor

# ---------------------------------------------------------------------- the repository


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Return a repository with the rollout in its first ring."""
    path = tmp_path / "repo"
    assert main(["init", str(path)]) == 0
    for version, seq, slot in ((OLD.version, 1, ["--slot", SLOT]), (NEW.version, 2, [])):
        bundle = write_bundle(tmp_path / f"wear-{seq}", version=version, seq=seq)
        assert add_model(path, bundle, *slot) == 0
    begin = ["rollout", str(path), "--slot", SLOT, "--to", str(NEW), "--stages", "10,50,100"]
    assert main([*begin, "--id", "r1"]) == 0
    return path


def desk_of(repo: Path) -> SigningDesk:
    return SigningDesk(repo, [repo.with_name("repo-keys") / "online"])


def stands(repo: Path) -> str:
    """Return where the rollout is: its stage, `halted`, or `default`."""
    rule = publishing.read_desired(desk_of(repo), "default").rules[0]
    if rule.rollout is None:
        return f"default {rule.default}"
    return "halted" if rule.rollout.halted else f"stage {rule.rollout.stage}"


def test_online_keys_take_a_rollout_to_its_end_and_each_step_is_taken_once(repo: Path) -> None:
    controller = Controller(desk_of(repo), "default", Thresholds())
    slots = [seen(message) for message in fleet_with("confirmed")]
    assert controller.step(slots, complete=True)[0].startswith("r1: promote: 10 %: ")
    assert stands(repo) == "stage 1"
    assert "wait" in controller.step(slots, complete=True)[0]
    assert controller.step(slots, complete=True) == []
    assert stands(repo) == "stage 1"
    everyone = [seen(status(name, "confirmed")) for name in GATEWAYS]
    controller.step(everyone, complete=True)
    assert stands(repo) == "stage 2"
    # Another one, started anew, knows all of it from the document.
    Controller(desk_of(repo), "default", Thresholds()).step(everyone, complete=True)
    assert stands(repo) == f"default {NEW}"
    assert controller.step(everyone, complete=True) == []


def test_a_halt_is_signed_once_and_stays_until_a_person_goes_on(repo: Path) -> None:
    controller = Controller(desk_of(repo), "default", Thresholds(failures=1))
    slots = [seen(message) for message in fleet_with("rolled_back", "errs")]
    said = controller.step(slots, complete=True)
    assert "1 gave it up (errs 1)" in said[0]
    assert stands(repo) == "halted"
    epoch = publishing.read_desired(desk_of(repo), "default").epoch
    controller.step(slots, complete=True)
    assert publishing.read_desired(desk_of(repo), "default").epoch == epoch


def test_a_dry_run_says_the_same_and_signs_nothing(repo: Path) -> None:
    controller = Controller(desk_of(repo), "default", Thresholds(), dry_run=True)
    slots = [seen(message) for message in fleet_with("confirmed")]
    before = (repo / "metadata" / "timestamp.json").read_bytes()
    assert controller.step(slots, complete=True)[0].startswith("r1: promote: ")
    assert controller.step(slots, complete=True) == []
    assert (repo / "metadata" / "timestamp.json").read_bytes() == before
    assert stands(repo) == "stage 0"


def test_rollouts_that_were_not_named_are_left_alone(repo: Path) -> None:
    controller = Controller(desk_of(repo), "default", Thresholds(), only=["r2"])
    slots = [seen(message) for message in fleet_with("confirmed")]
    assert controller.step(slots, complete=True) == []
    assert stands(repo) == "stage 0"


def test_what_a_controller_that_was_killed_left_half_done_is_finished(repo: Path) -> None:
    desk = desk_of(repo)
    document = rollouts.promoted(publishing.read_desired(desk, "default"), "r1")
    # It ended after the files and before any signature.
    without_keys = SigningDesk(repo, [])
    publishing.edit_desired(without_keys, "default", lambda _: document)
    assert (repo / "staged" / "rollout.json").exists()
    said = Controller(desk, "default", Thresholds()).step([], complete=True)
    assert any(line.startswith("rollout ") for line in said)
    assert not (repo / "staged" / "rollout.json").exists()
    assert stands(repo) == "stage 1"


def test_a_document_that_somebody_put_there_is_not_signed(repo: Path) -> None:
    plain = repo / "targets" / "rollout" / "default" / "desired.json"
    plain.write_bytes(plain.read_bytes().replace(b'"pct": 10', b'"pct": 50'))
    slots = [seen(message) for message in fleet_with("confirmed")]
    Controller(desk_of(repo), "default", Thresholds()).step(slots, complete=True)
    rule = publishing.read_desired(desk_of(repo), "default").rules[0]
    assert rule.rollout is not None
    assert [stage.pct for stage in rule.rollout.stages] == [10.0, 50.0, 100.0]


# ---------------------------------------------------------------------- the broker


class Fleet:
    """Publishes statuses as agents do: retained, each on its gateway's topic."""

    def __init__(self, broker: Mosquitto, wait_for: WaitFor) -> None:
        self._acked: list[str | None] = []
        self._published = 0
        self._wait_for = wait_for
        options = BrokerOptions(host=broker.host, port=broker.port)
        self.connection = Connection(
            options, "fleet", on_acked=lambda _, why: self._acked.append(why)
        )
        self.connection.start()
        wait_for(lambda: self.connection.connected)

    def say(self, messages: list[ModelStatusMessage]) -> None:
        for message in messages:
            topic = f"acme/graz/m/1/3/edge/{message.device}/model/{message.slot}/status"
            payload = encode(message)
            publish = partial(self.connection.publish, topic, payload, retain=True, token=topic)
            self._wait_for(publish)
            self._published += 1
        self._wait_for(lambda: len(self._acked) == self._published)
        assert set(self._acked) == {None}


@pytest.fixture
def fleet(mosquitto: Mosquitto, wait_for: WaitFor) -> Iterator[Fleet]:
    made = Fleet(mosquitto, wait_for)
    yield made
    made.connection.stop()


def once(repo: Path, broker: Mosquitto, *more: str) -> int:
    where = ["--host", broker.host, "--port", str(broker.port), "--settle-s", "0.5"]
    keys = str(repo.with_name("repo-keys") / "online")
    return main(["control", str(repo), "--keys", keys, "--once", *where, *more])


def test_one_look_reads_what_the_broker_keeps(
    repo: Path, mosquitto: Mosquitto, fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.say(fleet_with("trial", count=len(RING)))
    assert once(repo, mosquitto) == 0
    assert stands(repo) == "stage 0"
    fleet.say(fleet_with("confirmed"))
    assert once(repo, mosquitto, "--dry-run") == 0
    assert stands(repo) == "stage 0"
    assert once(repo, mosquitto) == 0
    assert stands(repo) == "stage 1"
    fleet.say(fleet_with("rolled_back", "errs", 2))
    assert once(repo, mosquitto, "--failed", "2") == 0
    assert stands(repo) == "halted"
    assert "2 gave it up (errs 2)" in capsys.readouterr().out


def test_what_is_no_status_is_dropped_and_counted_and_an_empty_one_takes_the_slot_away(
    mosquitto: Mosquitto, fleet: Fleet, wait_for: WaitFor
) -> None:
    options = BrokerOptions(host=mosquitto.host, port=mosquitto.port)
    with StatusBoard(options, "board", settle_s=0.1) as board:
        wait_for(lambda: board.complete)
        fleet.say([status("gw-1", "idle"), status("gw-2", "idle")])
        wait_for(lambda: len(board.slots()) == 2)
        topic = "acme/graz/m/1/3/edge/{}/model/spindle/status"
        fleet.connection.publish(topic.format("gw-3"), b'{"state": 7')
        fleet.connection.publish(topic.format("gw-1"), b"", retain=True)
        wait_for(lambda: len(board.slots()) == 1)
        assert board.malformed == 1


def test_nothing_is_complete_without_a_broker_and_what_it_kept_is_heard_again(
    mosquitto: Mosquitto, fleet: Fleet, wait_for: WaitFor
) -> None:
    options = BrokerOptions(host=mosquitto.host, port=mosquitto.port)
    with StatusBoard(options, "board", settle_s=0.1) as board:
        fleet.say([status("gw-1", "idle")])
        wait_for(lambda: board.complete and board.slots())
        mosquitto.stop()
        wait_for(lambda: not board.complete and board.detail)
        assert board.slots() == []
        mosquitto.start()
        wait_for(lambda: fleet.connection.connected)
        fleet.connection.publish("acme/graz/m/1/3/edge/gw-2/model/spindle/status", b"")
        fleet.connection.publish(
            "acme/graz/m/1/3/edge/gw-1/model/spindle/status",
            encode(status("gw-1", "confirmed")),
            retain=True,
        )
        wait_for(lambda: board.complete and board.slots())


@contextmanager
def running(repo: Path, broker: Mosquitto) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command as a service does."""
    command = [sys.executable, "-m", "tools.repo", "control", str(repo)]
    where = ["--port", str(broker.port), "--settle-s", "0.3", "--every-s", "0.1"]
    process = subprocess.Popen([*command, *where], cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def test_a_controller_that_is_killed_goes_on_where_it_was(
    repo: Path, mosquitto: Mosquitto, fleet: Fleet, wait_for: WaitFor
) -> None:
    def reaches(place: str) -> Callable[[], bool]:
        return lambda: stands(repo) == place

    with running(repo, mosquitto) as process:
        fleet.say(fleet_with("confirmed"))
        wait_for(reaches("stage 1"))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    fleet.say([status(name, "confirmed") for name in GATEWAYS])
    assert stands(repo) == "stage 1"
    with running(repo, mosquitto):
        wait_for(reaches(f"default {NEW}"))
