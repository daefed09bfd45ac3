"""Each alert is raised once and cleared once; the broker may be away, the agent may end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.reporting import alerts
from edge_agent.reporting.alerts import GONE, Alerts, Said
from edge_agent.reporting.subjects import subjects_of
from edge_agent.reporting.topics import Topics
from tests.alerts import TOPICS, Told, about
from tests.test_config import good, parse

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.reporting.subjects import Subject
    from tests.conftest import WaitFor

DRIFT, PRODUCT, REJECTS = about("drift"), about("product"), about("reject_rate")
SO = Said("so")


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path, DRIFT, PRODUCT, REJECTS)


def again(folder: Path, *subjects: Subject) -> Told:
    """Return what a run tells that finds the file of the one before."""
    return Told(folder, *subjects)


def test_an_alert_is_raised_once_and_cleared_once_with_one_id(told: Told) -> None:
    assert not told.alerts.clear(DRIFT, SO)
    assert [told.alerts.raise_(DRIFT, SO) for _ in range(3)] == [True, False, False]
    assert [told.alerts.clear(DRIFT, SO) for _ in range(2)] == [True, False]
    assert told.changes() == [("drift", "raised"), ("drift", "cleared")]
    raised, cleared = told.heard()
    assert raised["id"] == cleared["id"]
    assert raised["raised_ts"] == cleared["raised_ts"] <= cleared["cleared_ts"]
    told.alerts.raise_(DRIFT, SO)
    assert told.heard()[-1]["id"] != raised["id"]


def test_no_change_is_overtaken_by_the_next_and_the_newest_that_stands_comes_last(
    told: Told,
) -> None:
    for subject in (DRIFT, PRODUCT):
        told.alerts.raise_(subject, SO)
        told.heard()
    # Faster than the broker answers: of a retained topic only the newest would be left.
    told.alerts.clear(PRODUCT, SO)
    told.alerts.raise_(REJECTS, SO)
    assert told.changes()[2:] == [("product", "cleared"), ("reject_rate", "raised")]
    told.alerts.clear(REJECTS, SO)
    assert told.changes()[4:] == [("reject_rate", "cleared"), ("drift", "raised")]


def test_what_nobody_has_heard_of_is_not_cleared_either(told: Told) -> None:
    told.alerts.raise_(DRIFT, SO)
    # The broker is away: all of this waits.
    for _ in range(1000):
        told.alerts.raise_(PRODUCT, SO)
        told.alerts.clear(PRODUCT, SO)
    told.alerts.clear(DRIFT, SO)
    assert told.changes() == [("drift", "raised"), ("drift", "cleared")]


def test_what_leaves_the_config_is_cleared_and_raised_no_more(told: Told) -> None:
    for subject in (DRIFT, PRODUCT):
        told.alerts.raise_(subject, SO)
    told.alerts.watch(frozenset({PRODUCT}))
    assert told.changes()[-2:] == [("drift", "cleared"), ("product", "raised")]
    assert told.heard()[-2]["message"] == GONE
    assert not told.alerts.raise_(DRIFT, SO)


def test_a_topic_is_emptied_after_what_is_told_on_it(told: Told) -> None:
    told.alerts.raise_(DRIFT, SO)
    told.alerts.watch(frozenset())
    for _ in range(3):  # as with each change of the config, until the broker has it
        assert told.alerts.empty(TOPICS.alerts("qc", "camera"))
    assert not told.alerts.empty(TOPICS.stats("qc", "camera"))
    assert [each.get("alert") for each in told.heard()] == ["raised", "cleared", None]


def test_what_stands_keeps_its_id_through_a_restart(tmp_path: Path, told: Told) -> None:
    told.alerts.raise_(DRIFT, SO)
    told.alerts.raise_(PRODUCT, SO)
    drift, product = told.heard()
    told.alerts.close()
    after = again(tmp_path, DRIFT, PRODUCT)
    assert after.heard() == [product]  # the newest
    assert not after.alerts.raise_(DRIFT, SO)
    after.alerts.clear(DRIFT, SO)
    assert after.heard()[1]["id"] == drift["id"]
    assert after.heard()[2:] == [product]


def test_what_a_full_disk_refused_is_written_once_there_is_room(
    tmp_path: Path,
    wait_for: WaitFor,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerts, "RETRY_S", 0.01)
    file = tmp_path / "alerts.json"
    file.mkdir()  # no file can take its place
    Told(tmp_path, DRIFT).alerts.raise_(DRIFT, SO)
    wait_for(lambda: "alerts: not written" in caplog.text)
    file.rmdir()
    wait_for(lambda: file.is_file() and b"drift" in file.read_bytes())


def test_what_the_broker_had_not_heard_is_told_after_a_restart(tmp_path: Path, told: Told) -> None:
    told.alerts.raise_(DRIFT, SO)
    told.heard()
    told.alerts.clear(DRIFT, SO)
    told.alerts.raise_(PRODUCT, SO)
    told.alerts.close()
    after = again(tmp_path, DRIFT)  # and a rule has left the config meanwhile
    assert after.changes() == [("drift", "cleared")]
    after.alerts.close()
    assert again(tmp_path, DRIFT).heard() == []


EMPTY = f'{{"root": "{TOPICS.root}", "untold": {{"{TOPICS.alerts("qc", "camera")}": []}}}}'


@pytest.mark.parametrize(
    "text", [b"", b"[]", b'{"root": 1}', b'{"root": "other/root"}', EMPTY.encode()]
)
def test_a_damaged_file_or_one_of_another_device_begins_anew(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "alerts.json").write_bytes(text)
    told = Told(tmp_path, DRIFT)
    assert told.alerts.raise_(DRIFT, SO)
    assert told.changes() == [("drift", "raised")]


def test_a_disk_that_refuses_stops_no_alert(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    told = Told(tmp_path / "file", DRIFT)
    told.alerts.raise_(DRIFT, SO)
    told.alerts.clear(DRIFT, SO)
    told.alerts.close()
    assert told.changes() == [("drift", "raised"), ("drift", "cleared")]


def test_alerts_of_another_device_are_left_alone(tmp_path: Path, told: Told) -> None:
    told.alerts.raise_(DRIFT, SO)
    told.alerts.close()
    other = Alerts(Topics("acme/other", "gw-02"), tmp_path / "alerts.json")
    assert other.stands(DRIFT) is None


def test_there_are_alerts_about_what_the_config_asks_for() -> None:
    tree = good()
    camera = tree["pipelines"].pop("camera-1")
    line: dict[str, Any] = {"score_chart": {}, "reject_chart": None}
    tree["pipelines"] = {
        "one": camera | {"line": line, "product": {"topic": "plc/product"}},
        "two": camera | {"drift": {"on": False}, "accelerator": "gpu"},
        "motor": camera | {"family": "pdm", "reject_rate": {"on": True}},
    }
    assert subjects_of(parse(tree)) == {
        about("drift", "one"),
        about("reject_rate", "one"),
        about("product", "one"),
        about("chart", "one", chart="score"),
        about("reject_rate", "two"),
        about("accelerator", "two"),
        about("condition", "motor", machine=True),
        about("drift", "motor", machine=True),
        about("reject_rate", "motor", machine=True),
    }
