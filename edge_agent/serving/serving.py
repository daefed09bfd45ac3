"""Puts checks, metrics and the HTTP server together for one agent."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from edge_agent.serving.collector import Collector
from edge_agent.serving.exposition import CONTENT_TYPE
from edge_agent.serving.facts import pipeline_facts
from edge_agent.serving.web import Answer, Web, health

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.config import Config
    from edge_agent.serving.checks import PipelineFacts
    from edge_agent.serving.collector import Places
    from edge_agent.serving.readiness import Seen


class Serving:
    """The agent's loop calls `step`; the rest happens when somebody asks over HTTP."""

    def __init__(self, config: Config, places: Places) -> None:
        self._config = config
        self._places = places
        self._collector = Collector(places)
        self._web = self._new_web()

    def start(self) -> None:
        """Begin to serve."""
        self._web.start()

    def step(self, mono_s: float, *, at_once: bool = False) -> None:
        """Look at the health of everything, once a second; `at_once`: something has changed."""
        self._places.readiness.step(mono_s, self._facts, at_once=at_once)

    def configure(self, config: Config) -> None:
        """Go over to another config; the server begins anew if its own options differ."""
        before, self._config = self._config, config
        self._places.readiness.options = config.health
        if before.http != config.http:
            self._web.stop()
            self._web = self._new_web()
            self._web.start()

    def stop(self) -> None:
        """Serve no more."""
        self._web.stop()

    def _new_web(self) -> Web:
        pages = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._metrics}
        return Web(self._config.http, pages)

    def _facts(self, seen: Mapping[str, Seen]) -> list[PipelineFacts]:
        return pipeline_facts(self._places.views(), self._config, seen)

    def _healthz(self) -> Answer:
        return health([self._places.readiness.alive()])

    def _readyz(self) -> Answer:
        # The loop that looks at everything may be what has stopped: ask for that anew.
        readiness = self._places.readiness
        seen = [check for check in readiness.states if check.name != "agent_alive"]
        return health([readiness.alive(), *seen] if seen else [])

    def _metrics(self) -> Answer:
        return Answer(HTTPStatus.OK, CONTENT_TYPE, self._collector.collect())
