"""What is told of an accelerator, and what is seen of a graph; without one."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from edge_agent.acceleration.process import AcceleratorProcess
from edge_agent.acceleration.report import AccelerationReport
from edge_agent.acceleration.wire import MOST_BYTES, SharedTensors
from edge_agent.commands.overview import Overview
from edge_agent.config import PipelineOptions
from edge_agent.inference.accelerator import CPU
from edge_agent.inference.external_delegate import share_of
from edge_agent.line.accelerating import wanted
from edge_agent.metrics import Counters
from edge_agent.reporting.accelerators import Accelerators
from edge_agent.types import TensorSpec
from tests.agents import ROOT
from tests.alerts import TOPICS, Told, about
from tests.serving.test_checks import of_pipeline

if TYPE_CHECKING:
    from pathlib import Path


def report(effective: str = "npu", reason: str = "", detail: str = "") -> AccelerationReport:
    share = 1.0 if effective == "npu" else None
    return AccelerationReport(
        requested="npu", effective=effective, reason=reason, detail=detail, since_ns=0, share=share
    )


def test_an_alert_is_raised_once_and_cleared_once(tmp_path: Path) -> None:
    broker = Told(tmp_path, about("accelerator", "line"))
    models = Accelerators(broker.alerts)
    assert models.take("line", "qc", report("cpu", "starting"))
    assert not models.take("line", "qc", report("cpu", "starting"))
    models.take("line", "qc", report())
    assert broker.heard() == []  # it was never away
    models.take("line", "qc", report("cpu", "hung", "no end of running the model"))
    models.take("line", "qc", report("cpu", "unavailable", "there is no device"))
    models.take("line", "qc", None)  # its worker begins again
    models.take("line", "qc", report("cpu", "unavailable", "there is no device"))
    models.take("line", "qc", report())
    told = broker.heard()
    assert broker.changes() == [("accelerator", "raised"), ("accelerator", "cleared")]
    assert told[0]["id"] == told[1]["id"]
    text = "the model runs on the CPU, not on npu: hung: no end of running the model"
    assert told[0]["message"] == text
    assert [each.effective for each in models.states({"line": 1})] == ["npu"]


def test_an_alert_about_one_accelerator_does_not_stand_for_the_next(tmp_path: Path) -> None:
    broker = Told(tmp_path, about("accelerator", "line"))
    models = Accelerators(broker.alerts)
    models.take("line", "qc", report("cpu", "unavailable"))
    assert len(broker.heard()) == 1
    models.take("line", "qc", None)  # its worker begins again, for another one
    other = msgspec.structs.replace(report("cpu", "library_missing"), requested="edgetpu")
    models.take("line", "qc", msgspec.structs.replace(other, reason="starting"))
    assert len(broker.heard()) == 2
    models.take("line", "qc", other)
    assert [each["message"] for each in broker.heard()] == [
        "the model runs on the CPU, not on npu: unavailable",
        "the model is to run on edgetpu now",
        "the model runs on the CPU, not on edgetpu: library_missing",
    ]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (None, "ok"),
        (report(), "ok"),
        (report("cpu", "starting"), "ok"),
        (report("cpu", "hung", "no end"), "warn"),
        (report("none", "hung", "no end"), "fail"),
    ],
)
def test_the_check_warns_on_the_cpu_and_fails_without_it(
    found: AccelerationReport | None, state: str
) -> None:
    finding = of_pipeline("accelerator", acceleration=found)
    assert finding.state == state
    assert finding.reason == ("" if state == "ok" else "npu: hung: no end")


def test_the_live_view_shows_what_runs_a_model_and_why_not() -> None:
    overview = Overview()
    topic = TOPICS.stats("qc", "line")
    numbers = {"state": "running", "passes": 1, "fails": 0, "uncertain": 0, "errors": 0}
    well = numbers | {"accelerator": "npu", "accelerator_requested": "npu"}
    overview.take(topic, msgspec.json.encode(well), 0.0)
    seen = overview.pipelines[ROOT, "qc", "line"]
    assert seen.accelerator == "npu"
    away = well | {"accelerator": "cpu", "accelerator_reason": "hung"}
    event = overview.take(topic, msgspec.json.encode(away), 1.0)
    assert seen.accelerator == "cpu, not npu: hung"
    assert event is not None
    assert event.text == "runs on cpu, not npu: hung"


def operator(name: str, inputs: list[int], outputs: list[int]) -> dict[str, Any]:
    return {"op_name": name, "inputs": np.array(inputs), "outputs": np.array(outputs)}


def test_the_share_counts_what_lies_between_a_groups_inputs_and_outputs() -> None:
    chain = [operator("CONV_2D", [n, 10 + n], [n + 1]) for n in range(4)]
    assert share_of(chain) == 0.0
    assert share_of([*chain, operator("DELEGATE", [1, 11, 12], [3])]) == 0.5
    both = [operator("DELEGATE", [0, 10], [1]), operator("DELEGATE", [2, 12, 13], [4])]
    assert share_of([*chain, *both]) == 0.75


@pytest.mark.parametrize(("worker", "shared"), [("usb", True), (None, False)])
def test_pipelines_of_a_worker_that_the_config_names_share_a_process(
    worker: str | None, *, shared: bool
) -> None:
    source = {"kind": "simulator", "scene": "conveyor"}
    tree = {"family": "qc", "model": "m", "source": source, "accelerator": "npu"}
    text = msgspec.json.encode(tree | ({"worker": worker} if worker else {}))
    options = PipelineOptions.model_validate_json(text)
    process = AcceleratorProcess()
    with ExitStack() as stack:
        found = wanted("line", options, process, Counters(), stack)
        assert found is not None
        assert (found.process is process) == shared
        on_cpu = options.model_copy(update={"accelerator": CPU})
        assert wanted("line", on_cpu, process, Counters(), stack) is None


def test_tensors_are_seen_from_either_side_and_their_memory_grows() -> None:
    memory = os.memfd_create("tensors")
    ours, theirs = SharedTensors(memory), SharedTensors(os.dup(memory))
    specs = [TensorSpec("a", (-1, 3), "float32"), TensorSpec("b", (2,), "int8")]
    for rows in (1, 100_000):
        (a, b), end = ours.views(specs, [(rows, 3), (2,)])
        a[:], b[:] = rows, 7
        (other, bytes_), same_end = theirs.views(specs, [(rows, 3), (2,)])
        assert (end, other.shape, other[-1, -1], bytes_[1]) == (same_end, (rows, 3), rows, 7)
    with pytest.raises(ValueError, match="tensors of"):
        ours.views(specs, [(MOST_BYTES, 3), (2,)])
    ours.close()
    theirs.close()
