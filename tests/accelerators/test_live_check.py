"""An accelerator that gives the golden answers and other wrong ones: the CPU's check finds it."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.acceleration.live_check import LiveCheck
from edge_agent.acceleration.proof import KEPT, Proof, Sample
from edge_agent.errors import ModelError
from edge_agent.modelstore.manifest import SelfTestCase
from tests.accelerators.line import assert_on_cpu, assert_right
from tools.accel import stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.types import Tensors
    from tests.accelerators.conftest import Begin
    from tests.accelerators.line import Line
    from tests.conftest import WaitFor

pytestmark = pytest.mark.tflite

CASE = SelfTestCase.model_validate({"in": "a", "out": "b", "atol": 0.5})
UNLIKE_ANY_GOLDEN = 77  # the first byte of an item


def found_wrong(line: Line) -> bool:
    """Run an item; return whether the accelerator's answers are no more believed."""
    line.answer()
    return str(line.report.reason) == "wrong_answers"


def test_answers_that_become_wrong_in_service_are_found_and_the_cpu_goes_on(
    begin: Begin, library: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    switch = tmp_path / "fault"
    accelerator = stand_ins.delegate(library, fault="wrong", **{"while": str(switch)})
    line = begin(accelerator, check_share=1.0)
    wait_for(lambda: line.report.is_effective)
    assert_right(line.answer())
    switch.touch()
    wait_for(lambda: found_wrong(line))
    assert_on_cpu(line, "wrong_answers")
    switch.unlink()
    wait_for(lambda: line.report.is_effective)
    assert_right(line.answer())
    assert line.counted.count("accelerator_fallbacks") == 1


def test_a_delegate_that_is_wrong_from_some_run_on_is_found_each_time(
    begin: Begin, library: Path, wait_for: WaitFor
) -> None:
    line = begin(stand_ins.delegate(library, fault="wrong", after=60), check_share=1.0)
    wait_for(lambda: line.report.is_effective)
    wait_for(lambda: found_wrong(line))
    assert "an item in service: output_0 differs in" in line.report.detail
    wait_for(lambda: line.report.is_effective)  # loaded anew, it is right again
    wait_for(lambda: found_wrong(line))


def test_what_is_wrong_for_some_items_alone_does_not_return_with_the_golden_ones(
    begin: Begin, library: Path, wait_for: WaitFor
) -> None:
    tries: list[float] = []

    def rests() -> Iterator[float]:
        for _ in itertools.count():
            tries.append(0.0)
            yield 0.01

    accelerator = stand_ins.delegate(library, fault="wrong", item=UNLIKE_ANY_GOLDEN)
    line = begin(accelerator, check_share=1.0, rests=rests)
    wait_for(lambda: line.report.is_effective)
    assert_right(line.answer())
    line.given["args_0"].flat[0] = UNLIKE_ANY_GOLDEN
    wait_for(lambda: found_wrong(line))
    fallen_ns, first = line.report.since_ns, len(tries)
    wait_for(lambda: len(tries) > first + 3)
    assert (line.report.effective, line.report.since_ns) == ("cpu", fallen_ns)
    assert line.report.detail.startswith("an item in service: ")


def test_without_a_share_of_the_time_nothing_is_checked(
    begin: Begin, library: Path, wait_for: WaitFor
) -> None:
    line = begin(stand_ins.delegate(library, fault="wrong", item=UNLIKE_ANY_GOLDEN))
    wait_for(lambda: line.report.is_effective)
    line.given["args_0"].flat[0] = UNLIKE_ANY_GOLDEN
    for _ in range(20):
        line.answer()
    line.close()  # its thread has done what it was given
    assert line.report.is_effective
    assert line.counted == []


class Clock:
    """A CPU whose run takes ten milliseconds, and what it was asked."""

    def __init__(self, answer: float = 1.0) -> None:
        self.now_s = 100.0
        self.answer = answer
        self.runs = 0

    def run(self, given: Tensors) -> Tensors:
        self.runs += 1
        self.now_s += 0.010
        if math.isnan(self.answer):
            raise ModelError("the model is closed")
        return {name: np.full_like(array, self.answer) for name, array in given.items()}


def checked(clock: Clock, answers: list[float], share: float = 0.02) -> Any:
    """Offer items ten milliseconds apart; return what was found wrong."""
    found: list[Any] = []
    live = LiveCheck(clock.run, [CASE], share, lambda: clock.now_s)
    for answer in answers:
        live.offer({"x": np.zeros(3)}, {"x": np.full(3, answer)})
        live.end()
        if (wrong := live.until_wrong(lambda _: None)) is not None:
            found.append(wrong)
        clock.now_s += 0.010
    return found


def test_the_cpu_is_as_busy_with_checks_as_is_allowed_and_no_more() -> None:
    clock = Clock()
    assert checked(clock, [1.0] * 500) == []
    assert clock.runs == pytest.approx(0.02 * 500, abs=1)
    rich = Clock()
    checked(rich, [1.0] * 50, share=1.0)
    assert rich.runs == 50


def test_what_is_within_the_tolerance_is_right_and_what_is_not_is_kept() -> None:
    clock = Clock()
    assert checked(clock, [1.0, 1.5, 0.5], share=1.0) == []
    ((item, complaint),) = checked(clock, [1.6], share=1.0)
    assert complaint == "x differs in 3 of 3 values, by up to 0.6 where 0.5 is allowed"
    np.testing.assert_array_equal(item.wanted["x"], [1.0] * 3)


def test_where_the_cpu_has_no_answer_there_is_nothing_to_hold_against() -> None:
    assert checked(Clock(math.nan), [5.0, 5.0]) == []


def test_the_newest_items_are_kept_and_not_too_many() -> None:
    proof = Proof(())
    for number in range(KEPT + 2):
        proof = proof.with_item(Sample(str(number), CASE, {}, {}))
    assert [item.what for item in proof.kept] == [str(n) for n in range(2, KEPT + 2)]
