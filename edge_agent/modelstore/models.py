"""The agent's models: the bundles of its config, or with [sync] those that came from a repository.

Without [sync] nothing behind it is imported.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.mqtt.broker_options import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.delivery.publisher import Publisher
    from edge_agent.mqtt.broker_options import Message
    from edge_agent.processes import wire
    from edge_agent.processes.worker_options import WorkerOptions


@dataclass(frozen=True, slots=True)
class ModelPorts:
    """What the agent offers; all of it from any thread.

    `folder`: where relative paths of the config start. `workers`: the orders that a config means.
    `moved`: give the workers their orders again, as they are now. `order`: tell a pipeline.
    """

    folder: Path
    state_folder: Path
    publisher: Publisher
    workers: Callable[[Config, int], list[WorkerOptions]]
    order: Callable[[wire.Order], bool]
    moved: Callable[[None], None]


class Models:
    """One agent's; safe to use from any thread."""

    def __init__(self, config: Config, ports: ModelPorts) -> None:
        """Find out what is in force: an agent that ended in the midst of a change is answered."""
        self._ports = ports
        self._synced = None
        if config.sync is not None:
            # It costs memory, and most of it is of no use to an agent that gets its models by hand.
            from edge_agent.modelstore.synced import Synced  # noqa: PLC0415

            self._synced = Synced(config, config.sync, ports, os.environ)

    @property
    def alive(self) -> bool:
        """Whether its threads run: if not, a bug ended them."""
        return self._synced is None or self._synced.updater.alive

    def start(self) -> None:
        """Begin to look for models."""
        if self._synced is not None:
            self._synced.updater.start()

    def stop(self) -> None:
        """Begin nothing any more."""
        if self._synced is not None:
            self._synced.updater.stop()

    def workers(self, config: Config, rev: int) -> list[WorkerOptions]:
        """Return the orders that a config means, with the models that are in force."""
        workers = self._ports.workers(config, rev)
        return workers if self._synced is None else self._synced.in_force(workers)

    def configure(self, config: Config, rev: int) -> None:
        """Go over to another config."""
        if self._synced is not None:
            self._synced.configure(config, self._ports.workers(config, rev))

    def heard(self, message: wire.Report) -> None:
        """Take what a worker reports."""
        if self._synced is not None:
            for report in message.pipelines:
                self._synced.updater.report(report)

    def lost(self, pipelines: tuple[str, ...], reason: str) -> None:
        """Note that a worker died."""
        if self._synced is not None:
            self._synced.updater.lost(pipelines, reason)

    def subscriptions(self) -> list[Subscription]:
        """Return what the agent has to hear for this."""
        if self._synced is None:
            return []
        updater = self._synced.updater

        def nudged(_: Message) -> None:
            updater.nudge()

        return [Subscription(self._ports.publisher.topics.model_nudge, 0, nudged)]
