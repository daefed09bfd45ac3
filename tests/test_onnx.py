"""ONNX: what ONNX Runtime does its own way. The contract of backends is tested elsewhere."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from edge_agent.backends import onnx
from edge_agent.backends.base import BackendContext
from edge_agent.errors import ModelError
from tests import tiny_onnx

pytest.importorskip("onnxruntime", reason="an extra")


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
