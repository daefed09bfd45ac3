"""What the agent remembers of retained topics, to clear them when their pipeline is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.delivery.retained import Retained
from edge_agent.reporting.topics import topics
from tests.publisher.conftest import DEVICE, ROOT, Start

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Mosquitto, WaitFor

ONE, TWO = f"{ROOT}/qc/one/stats", f"{ROOT}/qc/two/stats"


def opened(folder: Path) -> Retained:
    return Retained(folder / "retained.json", topics(DEVICE))


def test_what_is_gone_is_to_be_cleared_until_the_broker_has_taken_that(tmp_path: Path) -> None:
    assert opened(tmp_path).shows([ONE, TWO]) == set()
    for _ in range(2):
        again = opened(tmp_path)
        assert again.shows([ONE]) == {TWO}
    again.taken(ONE, b"stats")
    again.taken(TWO, b"")
    again.step()
    assert opened(tmp_path).shows([ONE]) == set()


def test_what_goes_and_comes_back_while_the_agent_runs_is_not_cleared_any_more(
    tmp_path: Path,
) -> None:
    retained = opened(tmp_path)
    retained.shows([ONE, TWO])
    assert retained.shows([ONE]) == {TWO}
    assert retained.shows([ONE, TWO]) == set()


def test_what_a_full_disk_refused_is_written_once_there_is_room(tmp_path: Path) -> None:
    now_s = [100.0]
    file = tmp_path / "retained.json"
    retained = Retained(file, topics(DEVICE), lambda: now_s[0])
    file.mkdir()  # no file can take its place
    retained.shows([ONE, TWO])
    file.rmdir()
    retained.step()
    assert not file.exists(), "it is not tried at each look"
    now_s[0] += 60
    retained.step()
    assert opened(tmp_path).shows([ONE]) == {TWO}


def test_topics_of_another_device_and_a_damaged_file_are_left_alone(tmp_path: Path) -> None:
    other = topics(DEVICE.model_copy(update={"name": "gw12"}))
    Retained(tmp_path / "retained.json", other).shows([other.stats("qc", "one")])
    assert opened(tmp_path).shows([ONE]) == set()
    (tmp_path / "retained.json").write_bytes(b"[1")
    assert opened(tmp_path).shows([ONE]) == set()


def test_a_broker_that_was_away_is_told_when_it_comes(
    tmp_path: Path, mosquitto: Mosquitto, start: Start, wait_for: WaitFor
) -> None:
    mosquitto.stop()
    retained = opened(tmp_path)
    _, publisher = start(mosquitto, on_shown=[retained.taken])
    retained.shows([ONE, TWO])
    for topic in retained.shows([ONE]):
        publisher.state(topic, b"")
    assert retained.shows([ONE]) == {TWO}
    mosquitto.start()
    wait_for(lambda: not retained.shows([ONE]))
