"""A published model that both stand-ins run "fully accelerated", and wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.acceleration.accelerated import Accelerated, Acceleration
from edge_agent.acceleration.process import AcceleratorProcess
from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.inference.model import load_model
from tools.accel import published, stand_ins
from tools.bundling.bundle import Draft, write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import WaitFor

# Two pictures of each class: a sample of one class alone would show nothing.
PICTURES = 20
ATOL = 3.0  # of 255 steps: more than kernels differ by where they compute the same


@pytest.fixture
def resnet(shared_data: Path, tmp_path: Path) -> Path:
    """Return a bundle of MLPerf Tiny's int8 ResNet with real pictures as golden samples."""
    path = shared_data / "mlperf_tiny" / "models" / "pretrainedResnet_quant.tflite"
    pictures, _ = published.cifar(shared_data, PICTURES)
    draft = Draft(
        model_id="resnet",
        version="1.0.0",
        seq=1,
        task={"kind": "classify", "preprocess": {"kind": "image"}},
        decision={"rule": {"kind": "threshold", "fail_at": 0.5}},
        license={"spdx": "Apache-2.0"},
        source={},
        model=path.read_bytes(),
        precision="int8",
        golden=published.of_pictures(path, pictures, "").inputs,
        atol=ATOL,
        p95_ms_max=1000.0,
    )
    write_bundle(tmp_path / "resnet", draft)
    return tmp_path / "resnet"


@pytest.mark.parametrize(("kind", "accelerator"), [("gpu", "gpu"), ("npu", stand_ins.NPU)])
def test_a_model_that_an_accelerator_runs_wrongly_stays_on_the_cpu_and_says_why(
    resnet: Path, kind: str, accelerator: Any, wait_for: WaitFor, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(kind)
    process = AcceleratorProcess()
    options = stand_ins.options(accelerator)
    acceleration = Acceleration("line", options, process, load_s=60.0, run_timeout_s=30.0)
    model = load_model(resnet, threads=1, roi=None, acceleration=acceleration)
    backend = model.backend
    assert isinstance(backend, Accelerated)
    try:
        wait_for(lambda: backend.report().reason != "starting", 60)
        report = backend.report()
        assert (report.effective, report.reason) == ("cpu", "wrong_answers"), report
        assert "golden sample golden_in_" in report.detail
        given = dict(np.load(resnet / "golden_in_0.npz"))
        on_cpu = tflite.create(BackendContext(model.bundle.model))
        for name, answer in on_cpu.run(given).items():
            np.testing.assert_array_equal(backend.run(given)[name], answer)
        assert backend.accelerator == "cpu"
    finally:
        backend.close()
        process.close()
        backend.join(10)
