"""Alerts without a connection: what a consumer of a broker that takes everything would hear."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

from edge_agent.reporting.alerts import Alerts
from edge_agent.reporting.subjects import Subject
from edge_agent.reporting.topics import Topics
from tests.agents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.reporting.messages import AlertKind

TOPICS = Topics(ROOT, "gw-01")


class Told:
    """The broker acknowledges nothing until somebody listens."""

    def __init__(self, folder: Path, *subjects: Subject) -> None:
        self._sent: deque[tuple[str, bytes]] = deque()
        self._heard: list[dict[str, Any]] = []
        self.alerts = Alerts(TOPICS, folder / "alerts.json")
        self.alerts.watch(frozenset(subjects))
        self.alerts.start(lambda topic, payload: self._sent.append((topic, payload)))

    def heard(self) -> list[dict[str, Any]]:
        """Return all that was published, {} for an empty message."""
        while self._sent:
            topic, payload = self._sent.popleft()
            self._heard.append(json.loads(payload or b"{}"))
            self.alerts.taken(topic, payload)
        return self._heard

    def changes(self) -> list[tuple[str, str]]:
        """Return the kinds, and whether each was raised or cleared."""
        return [(each["kind"], each["alert"]) for each in self.heard()]


def about(
    kind: AlertKind, pipeline: str = "camera", *, chart: str = "", machine: bool = False
) -> Subject:
    return Subject("pdm" if machine else "qc", pipeline, kind, chart)
