"""ONNX: what ONNX Runtime does its own way. The contract of backends is tested elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.backends import onnx
from edge_agent.backends.base import BackendContext
from edge_agent.errors import AcceleratorError, ModelError
from edge_agent.inference.accelerator import AcceleratorOptions
from tests import tiny_onnx

if TYPE_CHECKING:
    from edge_agent.backends.base import Backend

onnxruntime = pytest.importorskip("onnxruntime", reason="an extra")


def test_a_quantised_model_takes_and_gives_real_values() -> None:
    backend = onnx.create(BackendContext(tiny_onnx.quantised_model(scale=0.5, zero_point=3)))
    assert {spec.dtype for spec in (*backend.inputs, *backend.outputs)} == {"float32"}
    real = np.array([[0.2, 0.3, 1e9, -1e9]], np.float32)
    assert backend.run({"x": real})["y"].tolist() == [[0.0, 0.5, 62.0, -65.5]]


def test_an_operator_that_the_runtime_does_not_know_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"cannot be loaded: .*vendor\.example:Add"):
        onnx.create(BackendContext(tiny_onnx.add_model("vendor.example")))


def test_a_model_of_strings_is_refused() -> None:
    with pytest.raises(ModelError, match=r"tensor a is of type tensor\(string\)"):
        onnx.create(BackendContext(tiny_onnx.string_model()))


def test_a_model_that_fails_for_one_input_works_for_the_next() -> None:
    backend = onnx.create(BackendContext(tiny_onnx.failing_model()))
    with pytest.raises(ModelError, match=r"the model failed: .*MatMul"):
        backend.run({"a": np.ones((2, 3), np.float32)})
    assert backend.run({"a": np.ones((3, 3), np.float32)})["y"].tolist() == [[3.0] * 3] * 3


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # what Python does for a missing package
    with pytest.raises(ModelError, match=r"edge-agent\[onnx\]"):
        onnx.create(BackendContext(tiny_onnx.add_model()))


def on_provider(model: bytes, provider: str, **options: str | int | bool) -> Backend:
    chosen = AcceleratorOptions(provider=provider, options=dict(options))
    return onnx.create(BackendContext(model, accelerator=chosen))


def refused(model: bytes, accelerator: AcceleratorOptions) -> AcceleratorError:
    with pytest.raises(AcceleratorError) as refusal:
        onnx.create(BackendContext(model, accelerator=accelerator))
    return refusal.value


def test_a_provider_that_takes_every_node_says_so() -> None:
    backend = on_provider(tiny_onnx.quantised_model(0.5, 3), "CPUExecutionProvider")
    assert (backend.accelerator, backend.share) == ("CPUExecutionProvider", 1.0)
    assert backend.run({"x": np.ones((1, 4), np.float32)})["y"].tolist() == [[1.0] * 4]


def test_the_cpu_says_nothing_of_a_share() -> None:
    assert onnx.create(BackendContext(tiny_onnx.add_model())).share is None


def test_a_provider_that_is_not_installed_is_refused_by_name_with_those_that_are() -> None:
    error = refused(tiny_onnx.add_model(), AcceleratorOptions(provider="QNNExecutionProvider"))
    assert error.reason == "library_missing"
    assert error.detail.startswith("QNNExecutionProvider is not installed; this ONNX Runtime 1.")
    assert "CPUExecutionProvider" in error.detail


def test_a_provider_that_takes_no_node_is_refused_and_the_cpu_does_not_run_in_its_name() -> None:
    provider = "AzureExecutionProvider"  # in every wheel; it takes operators that call a cloud
    assert provider in onnxruntime.get_available_providers()
    error = refused(tiny_onnx.add_model(), AcceleratorOptions(provider=provider))
    assert (error.reason, error.detail) == (
        "refused_graph",
        f"{provider} takes no node of this model",
    )


@pytest.mark.parametrize(
    "accelerator", [AcceleratorOptions(hardware="gpu"), AcceleratorOptions(delegate="/lib/libx.so")]
)
def test_what_is_no_provider_does_not_run_onnx_models(accelerator: AcceleratorOptions) -> None:
    error = refused(tiny_onnx.add_model(), accelerator)
    assert error.reason == "unavailable"
    assert error.detail.endswith(f"not on {accelerator.name}")


def test_a_damaged_model_is_the_models_fault_whatever_was_to_run_it() -> None:
    with pytest.raises(ModelError, match="the model cannot be loaded") as error:
        on_provider(b"no model", "CPUExecutionProvider")
    assert not isinstance(error.value, AcceleratorError)


def test_a_run_that_fails_on_a_provider_is_the_providers_and_the_next_one_works() -> None:
    backend = on_provider(tiny_onnx.failing_model(), "CPUExecutionProvider")
    with pytest.raises(AcceleratorError, match=r"refused_run: .*MatMul"):
        backend.run({"a": np.ones((2, 3), np.float32)})
    assert backend.run({"a": np.ones((3, 3), np.float32)})["y"].tolist() == [[3.0] * 3] * 3


def test_the_share_is_of_the_nodes_and_none_is_a_refusal() -> None:
    parts = [("CPUExecutionProvider", 1), ("XExecutionProvider", 2), ("XExecutionProvider", 1)]
    assert onnx.share_of("XExecutionProvider", parts) == 0.75
    with pytest.raises(AcceleratorError, match="YExecutionProvider takes no node"):
        onnx.share_of("YExecutionProvider", parts)
