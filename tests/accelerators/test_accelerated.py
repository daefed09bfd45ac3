"""A model on an accelerator: proved before it runs there, answered by the CPU when it fails."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.errors import AcceleratorError
from tests.accelerators.line import BUNDLE, assert_on_cpu, assert_right
from tests.bundles import write_bundle
from tools.accel import stand_ins

if TYPE_CHECKING:
    from pathlib import Path

    from tests.accelerators.conftest import Begin
    from tests.conftest import WaitFor

pytestmark = pytest.mark.tflite


def test_a_delegate_that_works_runs_the_model(
    begin: Begin, library: Path, wait_for: WaitFor
) -> None:
    line = begin(stand_ins.delegate(library))
    assert_right(line.answer())  # before it is loaded, the CPU answers
    assert line.backend.accelerator == "cpu"
    wait_for(lambda: line.report.is_effective)
    assert_right(line.answer())
    assert line.backend.accelerator == "libtestdelegate.so"
    assert (line.report.reason, line.report.share) == ("", 1.0)
    assert line.counted == []


def test_the_share_is_what_the_delegate_has_taken(
    begin: Begin, library: Path, wait_for: WaitFor
) -> None:
    line = begin(stand_ins.delegate(library, claim=5))
    wait_for(lambda: line.report.is_effective)
    assert line.report.share == pytest.approx(5 / 17)


@pytest.mark.usefixtures("gpu")
def test_a_gpu_runs_the_model(begin: Begin, wait_for: WaitFor) -> None:
    line = begin("gpu")
    wait_for(lambda: line.report.reason != "starting")
    assert (line.report.effective, line.report.share) == ("gpu", 1.0), line.report
    assert_right(line.answer())


@pytest.mark.usefixtures("exact_npu")
def test_an_npu_runs_the_model(begin: Begin, wait_for: WaitFor) -> None:
    line = begin(stand_ins.NPU)
    wait_for(lambda: line.report.reason != "starting")
    assert (line.report.effective, line.report.share) == ("npu", 1.0), line.report
    assert_right(line.answer())


@pytest.mark.usefixtures("npu")
def test_a_model_that_went_to_the_cpu_unseen_is_not_taken_for_accelerated(
    begin: Begin, wait_for: WaitFor
) -> None:
    """There is no NPU; LiteRT runs it on the CPU and calls it fully accelerated."""
    line = begin("npu")
    wait_for(lambda: line.report.reason != "starting")
    assert_on_cpu(line, "unavailable")


@pytest.mark.parametrize(
    ("options", "reason", "said"),
    [
        ({"fault": "refuse_load"}, "unavailable", "the device is in use"),
        ({"fault": "refuse_graph"}, "refused_graph", "not supported; Restored original"),
        ({"claim": 0}, "refused_graph", "takes none of the model's operators"),
        ({"fault": "refuse_run"}, "refused_run", "the device is busy; Node number"),
        ({"fault": "crash_load"}, "crashed", "while loading the model"),
        ({"fault": "crash_run"}, "crashed", "ended by SIGABRT"),
        ({"fault": "hang_load"}, "hung", "no end of loading the model"),
        ({"fault": "hang_run"}, "hung", "no end of running the model"),
        ({"fault": "wrong"}, "wrong_answers", "golden_in_0.npz: output_0 differs in"),
        ({"nonsense": 1}, "unavailable", "there is no such option"),
    ],
)
def test_a_delegate_that_fails_from_the_start_leaves_the_cpu_and_says_why(
    begin: Begin, library: Path, wait_for: WaitFor, options: Any, reason: str, said: str
) -> None:
    # What hangs is waited for in full; anything else has all the time that a busy machine takes.
    fault = options.get("fault")
    limits = {"hang_load": {"load_s": 1.0}, "hang_run": {"run_timeout_s": 1.0}}.get(fault, {})
    line = begin(stand_ins.delegate(library, **options), **limits)
    wait_for(lambda: line.report.reason != "starting")
    assert_on_cpu(line, reason)
    assert said in line.report.detail
    assert line.counted[0] == "accelerator_fallbacks"


def test_a_library_that_is_not_there_is_named(begin: Begin, wait_for: WaitFor) -> None:
    line = begin({"delegate": "/usr/lib/libnone.so"})
    wait_for(lambda: line.report.reason != "starting")
    assert_on_cpu(line, "library_missing")
    assert "/usr/lib/libnone.so" in line.report.detail


def test_a_library_for_another_machine_is_named(
    begin: Begin, foreign_library: Path, wait_for: WaitFor
) -> None:
    line = begin(stand_ins.delegate(foreign_library))
    wait_for(lambda: line.report.reason != "starting")
    assert_on_cpu(line, "wrong_architecture")
    assert "another kind of machine" in line.report.detail


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("refuse_run", "refused_run"), ("crash_run", "crashed"), ("hang_run", "hung")],
)
def test_a_fault_under_way_is_answered_by_the_cpu_at_once_and_its_end_noticed(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor, fault: str, reason: str
) -> None:
    switch = tmp_path / "fault"
    line = begin(stand_ins.delegate(library, fault=fault, **{"while": str(switch)}))
    wait_for(lambda: line.report.is_effective)
    line.answer()
    if fault == "hang_run":
        line.remote.deadline_s = 0.3  # a second by itself
    switch.touch()
    assert_on_cpu(line, reason)  # the very item in which it fails
    switch.unlink()
    wait_for(lambda: line.report.is_effective)
    assert_right(line.answer())
    assert line.backend.accelerator == "libtestdelegate.so"
    assert line.counted == ["accelerator_fallbacks"]


def test_wrong_answers_after_a_return_are_found_before_an_item_gets_one(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    switch = tmp_path / "fault"
    line = begin(stand_ins.delegate(library, fault="wrong", **{"while": str(switch)}))
    wait_for(lambda: line.report.is_effective)
    line.remote.kill()  # whatever ended it
    switch.touch()
    assert_right(line.answer())
    wait_for(lambda: line.report.reason == "wrong_answers")
    assert_on_cpu(line, "wrong_answers")
    switch.unlink()
    wait_for(lambda: line.report.is_effective)
    assert_right(line.answer())


def test_a_device_that_is_unplugged_is_taken_back_when_it_is_there_again(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    device = tmp_path / "device"
    device.touch()
    line = begin(stand_ins.delegate(library, device=str(device)))
    wait_for(lambda: line.report.is_effective)
    device.unlink()
    assert_right(line.answer())
    assert line.backend.accelerator == "cpu"
    wait_for(lambda: line.report.reason == "disappeared")
    device.touch()
    wait_for(lambda: line.report.is_effective)
    line.answer()
    assert line.backend.accelerator == "libtestdelegate.so"


def test_a_delegate_that_leaks_costs_its_own_process(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    switch = tmp_path / "fault"
    switch.touch()
    accelerator = stand_ins.delegate(library, fault="leak", **{"while": str(switch)})
    line = begin(accelerator, limit=("prlimit", f"--data={300 << 20}"))
    wait_for(lambda: line.report.reason == "crashed")
    assert_on_cpu(line, "crashed")


def test_where_the_cpu_must_not_step_in_every_run_says_what_is_wrong(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    switch = tmp_path / "fault"
    switch.touch()
    accelerator = stand_ins.delegate(library, fault="refuse_run", **{"while": str(switch)})
    line = begin(accelerator, strict=True)
    line.backend.wait_settled(threading.Event())
    with pytest.raises(AcceleratorError, match=r"refused_run: .*busy"):
        line.answer()
    assert (line.report.effective, line.backend.accelerator) == ("none", "none")
    switch.unlink()
    wait_for(lambda: line.report.is_effective)
    assert_right(line.answer())


def test_without_golden_samples_nothing_is_believed(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    task = {"kind": "classify", "preprocess": {"kind": "image"}}
    rule = {"kind": "threshold", "fail_at": 0.5}
    model = (BUNDLE / "model.tflite").read_bytes()
    bundle = write_bundle(tmp_path / "bare", model, task=task, rule=rule, labels="a\nb\nc\nd\ne\n")
    line = begin(stand_ins.delegate(library), bundle=bundle)
    wait_for(lambda: line.report.reason != "starting")
    assert_on_cpu(line, "unproven")


def test_the_process_ends_with_whoever_started_it(
    begin: Begin, library: Path, wait_for: WaitFor
) -> None:
    line = begin(stand_ins.delegate(library))
    wait_for(lambda: line.report.is_effective)
    child = line.process._child
    assert child is not None
    os.close(child.leash_fd)  # as the kernel does when the worker dies
    child.leash_fd = -1
    assert child.process.wait(10) == -9
    child.control.close()


def test_models_that_share_a_process_fall_and_return_together(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    switch = tmp_path / "fault"
    crashing = stand_ins.delegate(library, fault="crash_run", **{"while": str(switch)})
    first = begin(crashing)
    second = begin(stand_ins.delegate(library), process=first.process)
    wait_for(lambda: first.report.is_effective and second.report.is_effective)
    assert first.process._child is second.process._child
    switch.touch()
    assert_on_cpu(first, "crashed")
    assert_on_cpu(second, "crashed")
    switch.unlink()
    wait_for(lambda: first.report.is_effective and second.report.is_effective)
    assert_right(second.answer())
