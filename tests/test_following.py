"""What a pipeline follows without beginning anew, and that it does, whenever it is told."""

from __future__ import annotations

import _ctypes
import gc
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.line.capture import NewestCapture
from edge_agent.line.pipeline import Pipeline
from edge_agent.line.pipeline_thread import PipelineThread
from edge_agent.line.variants import same_line
from edge_agent.sources.simulator import ConveyorSource
from tests.agents import MODELS
from tests.control import camera
from tests.lone_pipeline import lone_pipeline, pipeline_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.config import PipelineOptions
    from edge_agent.types import Verdict
    from tests.conftest import WaitFor


def options(**more: Any) -> PipelineOptions:
    return pipeline_options(camera(**more))


def pipeline(folder: Path, tell: Callable[[Verdict], None], **more: Any) -> PipelineThread:
    return lone_pipeline(options(**more), folder, tell)


@pytest.mark.parametrize(
    ("more", "follows"), [({}, True), ({"accelerator": "gpu"}, False)], ids=["cpu", "gpu"]
)
def test_an_accelerators_process_begins_anew_where_a_run_may_take_another_time(
    more: dict[str, Any], *, follows: bool
) -> None:
    before, after = options(run_timeout_s=1.0, **more), options(run_timeout_s=9.0, **more)
    assert same_line(before, after) == follows


def test_what_is_said_of_evidence_while_a_model_is_loaded_holds_once_it_is(
    tmp_path: Path, wait_for: WaitFor
) -> None:
    shutil.copytree(MODELS / "conveyor-parts", tmp_path / "model")
    manifest = tmp_path / "model" / "manifest.json"
    text = manifest.read_bytes()
    manifest.unlink()
    os.mkfifo(manifest)  # who loads it waits until somebody writes it
    verdicts: list[Verdict] = []
    outcomes = ["pass", "fail", "uncertain"]
    thread = pipeline(tmp_path, verdicts.append, model="model", evidence={"keep": outcomes})
    thread.start()
    wait_for((tmp_path / "evidence").is_dir)
    thread.follow(options(model="model", evidence={"keep": []}), 2)
    manifest.write_bytes(text)
    wait_for(lambda: len(verdicts) > 2)
    thread.stop()
    assert thread.join(60)
    assert {verdict.evidence for verdict in verdicts} == {""}


def count_parts() -> int:
    parts = (PipelineThread, Pipeline, NewestCapture, ConveyorSource)
    return sum(isinstance(thing, parts) for thing in gc.get_objects())


def test_a_pipeline_that_was_built_anew_gives_back_its_models_and_source_at_once(
    tmp_path: Path, wait_for: WaitFor
) -> None:
    """Left to Python's search for cycles, they may lie there ten times over."""
    verdicts: list[Verdict] = []
    gc.collect()
    gc.disable()
    before = count_parts()
    try:
        thread = pipeline(tmp_path, verdicts.append)
        thread.start()
        wait_for(lambda: verdicts)
        classes = len(_ctypes.CFuncPtr.__subclasses__())
        thread.stop()
        assert thread.join(60)
        thread.forget()
        del thread
        assert count_parts() == before
        thread = pipeline(tmp_path, verdicts.append)
        thread.start()
        thread.stop()
        assert thread.join(60)
        assert len(_ctypes.CFuncPtr.__subclasses__()) == classes
    finally:
        gc.enable()
