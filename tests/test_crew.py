"""The pipelines of a worker, with threads that end when the test says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from edge_agent.config import PipelineOptions
from edge_agent.processes.crew import Crew
from edge_agent.processes.wire import Restart, Snapshot
from tests.control import camera

if TYPE_CHECKING:
    from edge_agent.line.pipeline_thread import PipelineThread


class Thread:
    """Takes snapshots and never answers one; ends when it may."""

    def __init__(self) -> None:
        self.may_end = False
        self.state = "loading"
        self.asked: list[str] = []

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Begin to end."""

    def join(self, _timeout_s: float) -> bool:
        return self.may_end

    def report(self) -> Any:
        return "a report"

    def forget(self) -> None:
        """Let go of models."""

    def snapshot(self, snapshot_id: str) -> None:
        self.asked.append(snapshot_id)

    def open_snapshots(self) -> tuple[str, ...]:
        return tuple(self.asked)


@pytest.fixture
def threads() -> list[Thread]:
    return []


@pytest.fixture
def crew(threads: list[Thread]) -> Crew:
    def make(_name: str, _options: PipelineOptions, _rev: int) -> PipelineThread:
        threads.append(Thread())
        return cast("PipelineThread", threads[-1])

    crew = Crew(make)
    crew.configure(1, {"one": PipelineOptions.model_validate_json(json.dumps(camera()))})
    return crew


def test_a_snapshot_asked_while_a_pipeline_is_built_anew_is_the_new_ones(
    crew: Crew, threads: list[Thread]
) -> None:
    crew.obey(Restart("one"))
    crew.obey(Snapshot("s1", "one"))
    crew.step()
    threads[0].may_end = True
    crew.step()
    assert threads[1].asked == ["s1"]


def test_a_pipeline_that_runs_or_has_ended_is_news_until_a_report_has_told_of_it(
    crew: Crew, threads: list[Thread]
) -> None:
    def seen() -> tuple[bool, bool]:
        return crew.has_news, crew.settled

    crew.reports()
    assert seen() == (False, False), "it loads: a look now and again"
    threads[0].state = "running"
    assert seen() == (True, True)
    crew.reports()
    assert seen() == (False, True)
    crew.obey(Restart("one"))
    threads[0].may_end = True
    crew.step()
    assert seen() == (True, False)
    assert len(crew.reports()) == 2, "the last words, and the successor's first"
