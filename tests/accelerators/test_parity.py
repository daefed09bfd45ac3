"""What `make accel` says of a model: where it would inspect, and by how much answers differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tools.accel import kernels, parity, shipped, stand_ins

if TYPE_CHECKING:
    from tools.accel.subjects import Subject

pytestmark = pytest.mark.tflite

ITEMS = 12


@pytest.fixture(scope="module")
def motor() -> Subject:
    """Return the model of the motor with windows of simulated ones."""
    subject = shipped.shipped("motor-bearing", Path(), ITEMS)
    assert subject is not None
    return subject


def test_a_row_tells_what_differs_and_where_the_agent_would_inspect(
    motor: Subject, library: Path
) -> None:
    accelerators = {
        "works": stand_ins.by_word("delegate", library),
        "lies": stand_ins.options(stand_ins.delegate(library, fault="wrong")),
        "is away": stand_ins.options(stand_ins.delegate(library, fault="refuse_load")),
    }
    on_cpu, works, lies, away = parity.compare(motor, accelerators, 60.0)
    assert (on_cpu.inputs, on_cpu.within, on_cpu.flips, on_cpu.steps) == (ITEMS, ITEMS, 0, 0.0)
    assert (works.inputs, works.within, works.inspects_on) == (ITEMS, ITEMS, "works")
    assert (works.share, works.refused) == (1.0, "")
    assert lies.within < ITEMS
    assert lies.inspects_on == "cpu"
    assert lies.refused.startswith("wrong_answers: golden sample ")
    assert (away.inputs, away.inspects_on) == (0, "cpu")
    assert away.refused.startswith("unavailable: ")


def test_what_is_too_slow_is_asked_what_rounding_moves_most(motor: Subject, library: Path) -> None:
    accelerators = {"delegate": stand_ins.by_word("delegate", library)}
    _, in_full = parity.compare(motor, accelerators, 60.0)
    _, cut = parity.compare(motor, accelerators, 0.0)
    assert cut.inputs == 1
    assert in_full.furthest
    assert cut.furthest == in_full.furthest


def test_the_delegate_answers_as_the_runtimes_own_kernels_to_the_bit(
    motor: Subject, library: Path
) -> None:
    accelerators = {"delegate": stand_ins.by_word("delegate", library)}
    own = kernels.by_own_kernels(motor.model, motor.inputs)
    _, row = parity.compare(motor, accelerators, 60.0)
    xnnpack = kernels.by_xnnpack(motor.model, motor.inputs)
    assert row.furthest == max(kernels.furthest(own, xnnpack).values()) > 0.0


def test_a_step_is_that_of_the_last_eight_bits_of_an_output() -> None:
    path = shipped.MODELS / "ballscrew-pitting" / "model.tflite"
    assert kernels.steps(path.read_bytes()) == {"output_0": 1 / 256, "output_1": 1 / 256}
    mixed = shipped.MODELS / "ballscrew-good" / "model.tflite"
    assert kernels.steps(mixed.read_bytes()) == {}  # its last layers are in real numbers


def test_the_largest_difference_is_over_all_values_of_an_output() -> None:
    some = {3: {"x": np.array([1, 2], np.uint8)}}
    others = {3: {"x": np.array([5, 2], np.uint8)}, 4: {"x": np.array([99, 99], np.uint8)}}
    assert kernels.furthest(some, others) == {"x": 4.0}
