"""Which retained topics a broker may hold of this agent's pipelines: on the disk, to clear later.

A pipeline may leave the config while the agent is stopped, or while the broker is away. What was
retained of it stays in the file until the broker has taken the empty message that clears it.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from edge_agent.durable import write_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from edge_agent.config import Config
    from edge_agent.reporting.topics import Topics

log = logging.getLogger(__name__)

RETRY_S = 10.0


class Retained:
    """The file; `taken` may come from any thread, all else from the agent's own."""

    def __init__(
        self, path: Path, topics: Topics, mono_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Read the file; topics of another device are none of ours to clear."""
        self._path = path
        self._root = f"{topics.root}/"
        self._written = frozenset(topic for topic in _read(path) if topic.startswith(self._root))
        self._shown: frozenset[str] = frozenset()
        self._gone = self._written
        self._changed = False
        self._lock = threading.Lock()
        self._mono_s = mono_s
        self._retry_s = 0.0  # when to write again after the disk refused, if it did

    def shows(self, topics: Iterable[str]) -> frozenset[str]:
        """Note that these are used from now on; return those that are to be cleared."""
        with self._lock:
            shown = frozenset(topics)
            self._gone = (self._gone | self._shown) - shown
            self._shown = shown
            self._changed = True
            gone = self._gone
        self.step()
        return gone

    def taken(self, topic: str, payload: bytes) -> None:
        """Note that the broker has taken a message: an empty one clears its topic."""
        if payload:
            return
        with self._lock:
            self._gone -= {topic}
            self._changed = True

    def step(self) -> None:
        """Write the file where something has changed; often called, seldom with anything to do."""
        if not self._changed or self._mono_s() < self._retry_s:
            return
        with self._lock:
            self._changed = False
            found = self._shown | self._gone
        if found == self._written:
            return
        try:
            write_file(self._path, msgspec.json.encode(sorted(found)))
        except OSError as error:
            if not self._retry_s:
                log.warning("retained topics: cannot be kept: %s", error)
            self._changed, self._retry_s = True, self._mono_s() + RETRY_S
        else:
            self._written, self._retry_s = found, 0.0


def topics_of(config: Config, topics: Topics) -> list[str]:
    """Return the topics on which the pipelines of a config leave something behind."""
    found: list[str] = []
    for name, pipeline in config.pipelines.items():
        found += topics.retained(pipeline.family, name)
        if config.sync is not None:
            found.append(topics.model(pipeline.slot or name))
    return found


def _read(path: Path) -> list[str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        log.warning("retained topics: %s cannot be read: %s", path.name, error)
        return []
