"""TensorFlow Lite: names, quantisation, refused models, and the published results of real ones."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.errors import ModelError
from tests import tiny_tflite
from tools import golden

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.backends.base import Backend

pytestmark = pytest.mark.tflite


def load(name: str) -> Backend:
    return tflite.create(BackendContext(tiny_tflite.model_bytes(name)))


@pytest.mark.parametrize("name", tiny_tflite.KINDS)
def test_the_model_files_are_what_their_builder_makes(name: str) -> None:
    pytest.importorskip("ai_edge_litert", reason="it brings the schema")
    assert tiny_tflite.build(tiny_tflite.KINDS[name]) == tiny_tflite.model_bytes(name)


def test_tensors_are_named_as_in_the_signature() -> None:
    backend = load("add")
    assert [spec.name for spec in (*backend.inputs, *backend.outputs)] == ["a", "b", "total"]


def test_tensors_have_their_own_names_where_there_is_no_signature() -> None:
    backend = load("add_without_signature")
    names = [spec.name for spec in (*backend.inputs, *backend.outputs)]
    assert names == ["serving_default_a:0", "serving_default_b:0", "PartitionedCall"]


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(ModelError, match="two tensors have one name: x, x"):
        load("add_same_names")


def test_a_tensor_whose_name_is_no_text_is_refused() -> None:
    model = tiny_tflite.model_bytes("add_without_signature")
    damaged = model.replace(b"serving_default_a", b"serving_default_\xb8")
    with pytest.raises(ModelError, match="inputs and outputs"):
        tflite.create(BackendContext(damaged))


def test_a_quantised_tensor_tells_its_scale_and_zero_point() -> None:
    backend = load("add_int8")
    for spec in (*backend.inputs, *backend.outputs):
        assert (spec.dtype, spec.scale, spec.zero_point) == ("int8", 0.5, -3)
    stored = np.array([[7, -3, 120]], np.int8)  # 5.0, 0.0, 61.5
    outputs = backend.run({"a": stored, "b": stored})
    assert outputs["total"].tolist() == [[17, -3, 127]]  # 10.0, 0.0, and 123 saturates


def test_a_tensor_that_is_quantised_per_channel_is_refused() -> None:
    parameters = {"scales": np.array([0.5, 0.25]), "zero_points": np.array([0, 0])}
    details = {
        "name": "x",
        "index": 0,
        "dtype": np.int8,
        "shape": np.array([1, 2]),
        "shape_signature": np.array([1, 2]),
        "quantization_parameters": parameters,
    }
    with pytest.raises(ModelError, match="x is quantised per channel"):
        tflite._specs([details], {})


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("mobilenet_v1_0.25_128_quant_edgetpu", "compiled for an Edge TPU"),
        ("model_invoking_error", "operator 'fake-op-double' is none that this runtime knows"),
        ("person_detect_model", "quantized_dimension must be in range"),
    ],
)
def test_a_malformed_model_is_refused_in_words(model: str, said: str, shared_data: Path) -> None:
    """In a process of its own: native code may end the process instead of raising."""
    path = shared_data / "malformed_models" / f"{model}.tflite"
    code = """
import sys
from pathlib import Path
from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.errors import ModelError
try:
    tflite.create(BackendContext(Path(sys.argv[1]).read_bytes()))
except ModelError as error:
    sys.exit(str(error))
"""
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done
    assert said in done.stderr
    assert len(done.stderr.splitlines()[-1]) < 400


@pytest.mark.parametrize("model", ["kws_ref_model", "vww_96_int8", "pretrainedResnet_quant"])
def test_eight_bit_models_run_on_xnnpack(model: str, shared_data: Path) -> None:
    path = shared_data / "mlperf_tiny" / "models" / f"{model}.tflite"
    backend = tflite.create(BackendContext(path.read_bytes()))
    operators = backend._interpreter._get_ops_details()  # type: ignore[attr-defined]
    assert "DELEGATE" in {operator["op_name"] for operator in operators}
    backend.close()


def test_loading_and_closing_again_and_again_is_safe(shared_data: Path) -> None:
    model = (shared_data / "mlperf_tiny" / "models" / "kws_ref_model.tflite").read_bytes()
    stored = np.zeros((1, 49, 10, 1), np.int8)
    answers = []
    for _ in range(50):
        backend = tflite.create(BackendContext(model))
        answers.append(backend.run({backend.inputs[0].name: stored})[backend.outputs[0].name])
        backend.close()
    assert all((answer == answers[0]).all() for answer in answers)


def test_published_models_give_their_published_results(shared_data: Path) -> None:
    failed = [check for check in golden.checks(shared_data) if not check.passed]
    assert not failed


def test_golden_ends_with_an_error_where_a_result_differs(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same data, but for another model under the name of the keyword spotter's pictures."""
    for name in ("mlperf_tiny", "third_party_models"):
        (tmp_path / name).mkdir()
        for path in (shared_data / name).iterdir():
            (tmp_path / name / path.name).symlink_to(path)
    burger = tmp_path / "third_party_models" / "burger.jpg"
    burger.unlink()
    burger.symlink_to(shared_data / "third_party_models" / "cats_and_dogs.jpg")
    assert golden.main(["--data", str(tmp_path), "--keep-going"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL  mobilenet_v1_0.25_224_quant, burger.jpg: class" in printed
    assert "golden: 2 checks failed" in printed
