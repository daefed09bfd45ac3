"""The pipelines of one worker: started, changed and ended one by one while the others run on.

    new --start--> running --changed, restarted--> leaving --ended--> running, with its successor
                   running --no longer wanted----> leaving --ended--> gone

A change within variants.LIVE_FIELDS starts nothing anew. Nothing here waits for a pipeline to end:
the worker's main thread has heartbeats to send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.config import PipelineOptions
from edge_agent.line.variants import same_line
from edge_agent.processes.wire import Configure, Restart, Snapshot, Succeed, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edge_agent.line.pipeline_thread import PipelineThread
    from edge_agent.processes.wire import Order, PipelineReport

    Make = Callable[[str, PipelineOptions, int], PipelineThread]


@dataclass
class _Member:
    options: PipelineOptions
    thread: PipelineThread
    leaving: bool = False
    wanted: bool = True


class Crew:
    """One thread uses it. `make` builds the thread of a pipeline for a revision of the config."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._members: dict[str, _Member] = {}
        self._last_words: list[PipelineReport] = []
        self._told_states: list[str] = []
        self._config_rev = 0
        self._told_rev = 0

    def configure(self, config_rev: int, pipelines: Mapping[str, PipelineOptions]) -> None:
        """Go over to these pipelines, as far as they differ from what runs."""
        self._told_rev = self._told_rev or config_rev  # the first is told by its reports
        self._config_rev = config_rev
        for name, member in self._members.items():
            member.wanted = name in pipelines
            if not member.wanted:
                self._leave(member)
        for name, options in pipelines.items():
            present = self._members.get(name)
            if present is None:
                self._start(name, options)
                continue
            live = same_line(present.options, options)
            present.options = options
            if live and not present.leaving:
                present.thread.follow(options, config_rev)
            else:
                self._leave(present)

    def obey(self, order: Configure | Order) -> None:
        """Do what the agent orders; an order for a pipeline that has gone is forgotten."""
        if isinstance(order, Configure):
            read = {name: _read_options(text) for name, text in order.pipelines.items()}
            self.configure(order.config_rev, read)
            return
        member = self._members.get(order.pipeline)
        match order:
            case _ if member is None:
                return
            case Restart():
                self._leave(member)
            case Trigger():
                member.thread.trigger(order)
            case Snapshot(snapshot_id):
                member.thread.snapshot(snapshot_id)
            case Succeed():
                member.thread.succeed(order)
                if order.step == "keep":
                    # The config that follows names it: nothing is to be started anew.
                    model = {"model": order.folder}
                    member.options = member.options.model_copy(update=model)

    def step(self) -> int:
        """Follow up what has ended; return a revision once its change is complete, else 0."""
        for name, member in list(self._members.items()):
            if member.leaving and member.thread.join(0.0):
                self._last_words.append(member.thread.report())
                member.thread.forget()
                if member.wanted:
                    self._start(name, member.options, member.thread.open_snapshots())
                else:
                    del self._members[name]
        if self.changing or self._told_rev == self._config_rev:
            return 0
        self._told_rev = self._config_rev
        return self._config_rev

    @property
    def has_news(self) -> bool:
        """Whether a pipeline has ended or is in another state, and no report has told of it."""
        return bool(self._last_words) or self._states() != self._told_states

    @property
    def changing(self) -> bool:
        """Whether a pipeline is about to end."""
        return any(member.leaving for member in self._members.values())

    @property
    def settled(self) -> bool:
        """Whether no pipeline is about to end, or has just begun."""
        return not self.changing and "loading" not in self._states()

    def reports(self) -> list[PipelineReport]:
        """Return how each pipeline is doing, after the last words of those that have ended."""
        last_words, self._last_words = self._last_words, []
        self._told_states = self._states()
        return last_words + [member.thread.report() for member in self._members.values()]

    def stop(self) -> None:
        """Have all pipelines finish what they accepted."""
        for member in self._members.values():
            self._leave(member)

    def join(self, timeout_s: float) -> bool:
        """Wait until all have finished; return whether they have."""
        return all(member.thread.join(timeout_s) for member in self._members.values())

    def _states(self) -> list[str]:
        return [member.thread.state for member in self._members.values()]

    def _start(self, name: str, options: PipelineOptions, snapshots: tuple[str, ...] = ()) -> None:
        member = _Member(options, self._make(name, options, self._config_rev))
        self._members[name] = member
        for snapshot_id in snapshots:
            member.thread.snapshot(snapshot_id)
        member.thread.start()

    def _leave(self, member: _Member) -> None:
        if not member.leaving:
            member.leaving = True
            member.thread.stop()


def _read_options(text: bytes) -> PipelineOptions:
    return PipelineOptions.model_validate_json(text)  # by worker_options.write_options
