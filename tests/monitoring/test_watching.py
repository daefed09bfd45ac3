"""Alerts and states as they are published: once per change, and the worst is what is retained."""

from __future__ import annotations

import json
from typing import Any

from edge_agent.monitoring.report import AlertReport, DriftReport, SourceReport, WatchReport
from edge_agent.reporting.alerts import Alerts
from edge_agent.reporting.topics import Topics
from edge_agent.reporting.watching import Watching

TOPICS = Topics("acme/edge/gw", "gw")


class Shown:
    """What was published, in order."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.watching = Watching(TOPICS, self.show, Alerts(self.show))

    def show(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic.rpartition("/")[2], json.loads(payload)))

    def alerts(self) -> list[tuple[str, str]]:
        return [(m["kind"], m["alert"]) for leaf, m in self.messages if leaf == "alert"]

    def take(self, *, state: str = "connected", **raised: bool | None) -> None:
        alerts = [
            AlertReport(kind=kind, raised=value, message="so", value=0.9, limit=0.8)  # type: ignore[arg-type]
            for kind, value in raised.items()
        ]
        source = SourceReport(kind="camera", state=state, detail="", since_ns=10**18)
        drift = DriftReport(origin="bundle", items=300, figures=[])
        report = WatchReport(source=source, drift=drift, alerts=alerts)
        self.watching.take("camera", "qc", report)


def test_a_state_is_shown_when_it_changes_and_not_with_every_report() -> None:
    shown = Shown()
    for state in ("connected", "connected", "dark", "dark", "connected"):
        shown.take(state=state)
    states = [m["state"] for leaf, m in shown.messages if leaf == "source"]
    assert states == ["connected", "dark", "connected"]


def test_an_alert_is_raised_and_cleared_once_with_one_id() -> None:
    shown = Shown()
    for raised in (None, False, True, True, False, False):
        shown.take(drift=raised)
    assert shown.alerts() == [("drift", "cleared"), ("drift", "raised"), ("drift", "cleared")]
    ids = [m["id"] for leaf, m in shown.messages if leaf == "alert"]
    assert ids[1] == ids[2] != ids[0]


def test_a_worker_that_begins_again_clears_no_alert_before_it_knows() -> None:
    shown = Shown()
    for raised in (True, None, None, True):
        shown.take(drift=raised)
    assert shown.alerts() == [("drift", "raised")]


def test_what_is_retained_is_raised_as_long_as_anything_is() -> None:
    shown = Shown()
    shown.take(drift=True, reject_rate=True)
    shown.take(drift=True, reject_rate=False)
    assert shown.alerts()[-2:] == [("reject_rate", "cleared"), ("drift", "raised")]
    shown.take(drift=False, reject_rate=False)
    assert shown.alerts()[-1] == ("drift", "cleared")
