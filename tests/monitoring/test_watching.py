"""Alerts and states as they are published: once per change, and the worst is what is retained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.monitoring.report import AlertReport, DriftReport, SourceReport, WatchReport
from edge_agent.reporting.watching import Watching
from tests.alerts import TOPICS, Told, about

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.monitoring.report import ReferenceOrigin
    from edge_agent.reporting.topics import Family


class Shown:
    """What was published, in order."""

    def __init__(self, folder: Path) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.told = Told(folder, about("drift"), about("reject_rate"))
        self.alerts = self.told.changes
        self.watching = Watching(TOPICS, self.show, self.told.alerts)

    def show(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic.rpartition("/")[2], json.loads(payload)))

    def take(
        self,
        *,
        state: str = "connected",
        origin: ReferenceOrigin = "bundle",
        judged: bool = True,
        family: Family = "qc",
        **raised: bool | None,
    ) -> None:
        alerts = [
            AlertReport(kind=kind, raised=value, message="so", value=0.9, limit=0.8)  # type: ignore[arg-type]
            for kind, value in raised.items()
        ]
        source = SourceReport(kind="camera", state=state, detail="", since_ns=10**18)
        drift = DriftReport(origin=origin, items=300, figures=[])
        report = WatchReport(source=source, drift=drift, alerts=alerts if judged else None)
        self.watching.take("camera", family, report)


@pytest.fixture
def shown(tmp_path: Path) -> Shown:
    return Shown(tmp_path)


def test_a_state_is_shown_when_it_changes_and_not_with_every_report(shown: Shown) -> None:
    for state in ("connected", "connected", "dark", "dark", "connected"):
        shown.take(state=state)
    states = [m["state"] for leaf, m in shown.messages if leaf == "source"]
    assert states == ["connected", "dark", "connected"]


def test_a_pipeline_of_another_family_is_told_of_on_its_own_topics(tmp_path: Path) -> None:
    shown = Shown(tmp_path)
    shown.take(drift=True)
    shown.told.alerts.watch(frozenset({about("drift", machine=True)}))
    shown.take(drift=True, family="pdm")
    # Each family has a topic of its own, and they come in any order.
    assert sorted(each["alert"] for each in shown.told.heard()) == ["cleared", "raised", "raised"]
    shown.messages.clear()
    shown.watching.publish()
    assert {message["family"] for _, message in shown.messages} == {"pdm"}


def test_an_alert_is_raised_and_cleared_once_with_one_id(shown: Shown) -> None:
    for raised in (None, False, True, True, False, False):
        shown.take(drift=raised)
        shown.alerts()
    assert shown.alerts() == [("drift", "cleared"), ("drift", "raised"), ("drift", "cleared")]
    ids = [each["id"] for each in shown.told.heard()]
    assert ids[1] == ids[2] != ids[0]


def test_a_worker_that_begins_again_clears_no_alert_before_it_knows(shown: Shown) -> None:
    for raised in (True, None, None, True):
        shown.take(drift=raised)
    assert shown.alerts() == [("drift", "raised")]


def test_a_model_without_a_reference_ends_the_alert_of_the_one_before(shown: Shown) -> None:
    shown.take(drift=True, reject_rate=False)
    shown.take(judged=False, origin="none")  # it is being loaded: nothing is known
    shown.take(origin="learning")  # it will say in time
    assert shown.alerts() == [("drift", "raised")]
    shown.take(origin="none", reject_rate=False)
    assert shown.alerts()[1:] == [("drift", "cleared")]


def test_what_is_retained_is_raised_as_long_as_anything_is(shown: Shown) -> None:
    shown.take(drift=True, reject_rate=True)
    shown.alerts()
    shown.take(drift=True, reject_rate=False)
    assert shown.alerts()[-2:] == [("reject_rate", "cleared"), ("drift", "raised")]
    shown.take(drift=False, reject_rate=False)
    assert shown.alerts()[-1] == ("drift", "cleared")
