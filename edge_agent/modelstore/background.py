"""One job at a time in a thread: looks, downloads and self-tests take long, and decide nothing."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING, Any

from edge_agent import threads
from edge_agent.errors import EdgeAgentError, SyncError

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class Background:
    """Whoever gives jobs takes their results; the thread is its own."""

    def __init__(self, name: str = "models-job") -> None:
        self._jobs: queue.SimpleQueue[tuple[str, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._results: dict[str, Any] = {}
        self._busy = ""
        self._thread = threads.thread(self._run, name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread runs: if not, a bug ended it."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """End once the job at hand has ended, or after `timeout_s`."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    @property
    def idle(self) -> bool:
        """Whether another job may be given: none runs, and no result waits."""
        return not self._busy

    def give(self, name: str, job: Callable[[], Any]) -> None:
        """Do a job; its result can be taken by its name, and only then another one given."""
        self._busy = name
        self._jobs.put((name, job))

    @property
    def finished(self) -> list[str]:
        """The names of jobs whose results wait to be taken."""
        return list(self._results)

    def take(self, name: str) -> Any:  # noqa: ANN401  whatever the job returns
        """Return once what a job returned, or the SyncError that ended it; None: nothing yet."""
        if name not in self._results:
            return None
        self._busy = ""
        return self._results.pop(name)

    def _run(self) -> None:
        while (given := self._jobs.get()) is not None:
            name, job = given
            try:
                self._results[name] = job()
            except SyncError as error:
                self._results[name] = error
            except EdgeAgentError as error:
                self._results[name] = SyncError("bad_document", str(error))
            except OSError as error:
                self._results[name] = SyncError("disk", str(error))
