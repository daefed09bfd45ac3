"""The alerts of all pipelines: of a machine's condition, of drift, of rejects, of charts.

Each pipeline has one retained topic for them. Every change is published on it; where one alert is
cleared while others are raised, the newest of those is published again after it, so that what is
retained says whether anything is wrong.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from edge_agent.reporting import messages

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.reporting.messages import AlertMessage


class Alerts:
    """Publishes through `show(topic, payload)`; safe from any thread."""

    def __init__(self, show: Callable[[str, bytes], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._raised: dict[str, dict[str, AlertMessage]] = {}

    def tell(self, topic: str, message: AlertMessage) -> None:
        """Publish that an alert was raised or cleared."""
        with self._lock:
            raised = self._raised.setdefault(topic, {})
            raised.pop(message.id, None)
            if message.alert == "raised":
                raised[message.id] = message
            self._show(topic, messages.encode(message))
            if message.alert == "cleared" and raised:
                newest = list(raised.values())[-1]
                self._show(topic, messages.encode(newest))
