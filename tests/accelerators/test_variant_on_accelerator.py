"""The file that a bundle has for an accelerator: it runs there, and the plain one without it."""

from __future__ import annotations

import itertools
import shutil
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.acceleration.accelerated import Acceleration
from edge_agent.acceleration.process import AcceleratorProcess
from edge_agent.commands.bundler import add_variant
from edge_agent.inference.accelerator import AcceleratorOptions
from edge_agent.inference.model import load_model
from tests.agents import MODELS
from tests.tiny_tflite import model_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_agent.acceleration.report import AccelerationReport
    from edge_agent.inference.model import Model
    from tests.conftest import WaitFor


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return shutil.copytree(MODELS / "conveyor-parts", tmp_path / "parts")


@pytest.fixture
def edge_tpu(library: Path, tmp_path: Path) -> Path:
    """Return the test delegate, called as the Edge TPU's is."""
    shutil.copy(library, tmp_path / "libedgetpu.so.1")
    return tmp_path / "libedgetpu.so.1"


@pytest.fixture
def compiled(shared_data: Path) -> Path:
    return shared_data / "malformed_models" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite"


@contextmanager
def tried(bundle: Path, library: Path, wait_for: WaitFor) -> Iterator[AccelerationReport]:
    """Load the bundle, wait for the first try, run it once; yield what became of it."""
    with closing(AcceleratorProcess()) as process:
        acceleration = Acceleration(
            pipeline="camera",
            accelerator=AcceleratorOptions(delegate=str(library)),
            process=process,
            load_s=30.0,
            run_timeout_s=10.0,
            rests=lambda: itertools.repeat(60.0),
        )
        model = load_model(bundle, threads=1, roi=None, acceleration=acceleration)
        with closing(model.backend):
            wait_for(lambda: report_of(model).reason != "starting")
            given = dict(np.load(bundle / "golden_in_0.npz"))
            wanted = dict(np.load(bundle / "golden_out_0.npz"))
            answer = model.backend.run(given)
            assert all(np.abs(answer[name] - wanted[name]).max() < 0.2 for name in wanted)
            yield report_of(model)


def report_of(model: Model) -> AccelerationReport:
    assert model.acceleration is not None
    return model.acceleration


def test_the_variant_runs_on_the_accelerator(
    bundle: Path, edge_tpu: Path, wait_for: WaitFor
) -> None:
    add_variant(bundle / "model.tflite", bundle, "edgetpu")
    with tried(bundle, edge_tpu, wait_for) as report:
        assert (report.effective, report.reason) == ("libedgetpu.so.1", "")


def test_it_is_the_variant_that_the_accelerator_gets_and_not_the_plain_one(
    bundle: Path, edge_tpu: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    (tmp_path / "other.tflite").write_bytes(model_bytes("add"))
    add_variant(tmp_path / "other.tflite", bundle, "edgetpu")
    with tried(bundle, edge_tpu, wait_for) as report:
        assert (report.effective, report.reason) == ("cpu", "refused_graph")
        assert "tensor" in report.detail


def test_a_compiled_model_without_its_device_falls_back_to_the_plain_one(
    bundle: Path, compiled: Path, tmp_path: Path, wait_for: WaitFor
) -> None:
    add_variant(compiled, bundle, "edgetpu")
    with tried(bundle, tmp_path / "libedgetpu.so.1", wait_for) as report:
        assert (report.effective, report.reason) == ("cpu", "library_missing")
        assert "libedgetpu.so.1: No such file" in report.detail


def test_a_compiled_model_that_the_delegate_does_not_take_says_so(
    bundle: Path, compiled: Path, edge_tpu: Path, wait_for: WaitFor
) -> None:
    add_variant(compiled, bundle, "edgetpu")
    with tried(bundle, edge_tpu, wait_for) as report:
        assert report.effective == "cpu"
        assert "edgetpu-custom-op" in report.detail


def test_a_variant_that_did_not_come_is_said_and_the_cpu_inspects(
    bundle: Path, compiled: Path, edge_tpu: Path, wait_for: WaitFor
) -> None:
    add_variant(compiled, bundle, "edgetpu")
    (bundle / "model-edgetpu.tflite").unlink()
    with tried(bundle, edge_tpu, wait_for) as report:
        assert (report.effective, report.reason) == ("cpu", "unavailable")
        assert "[sync]" in report.detail
