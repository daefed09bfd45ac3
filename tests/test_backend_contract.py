"""What every backend must do, run on each of them with a model of its own: total = a + b."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent import registry
from edge_agent.backends.base import BackendContext
from edge_agent.errors import ModelError
from tests import tiny_onnx, tiny_tflite

if TYPE_CHECKING:
    from edge_agent.backends.base import Backend

MODELS = {"tflite": lambda: tiny_tflite.model_bytes("add"), "onnx": tiny_onnx.add_model}
MARKS = {"tflite": pytest.mark.tflite}
KINDS = [pytest.param(kind, marks=MARKS.get(kind, ())) for kind in registry.kinds("backends")]
every_backend = pytest.mark.parametrize("kind", KINDS)


def create(kind: str, model: bytes | None = None, threads: int = 1) -> Backend:
    if kind == "onnx" and importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is an extra")
    content = MODELS[kind]() if model is None else model
    backend: Backend = registry.plugin("backends", kind).create(BackendContext(content, threads))
    return backend


def ones(rows: int = 1) -> np.ndarray:
    return np.ones((rows, 3), np.float32)


def test_every_backend_has_a_model_here() -> None:
    assert set(registry.kinds("backends")) == set(MODELS)


@every_backend
def test_inputs_and_outputs_have_names_types_and_shapes(kind: str) -> None:
    backend = create(kind)
    specs = [*backend.inputs, *backend.outputs]
    assert [spec.name for spec in specs] == ["a", "b", "total"]
    assert {(spec.shape, spec.dtype, spec.scale) for spec in specs} == {((-1, 3), "float32", 0.0)}
    assert backend.accelerator == "cpu"


@every_backend
@pytest.mark.parametrize("threads", [1, 2])
def test_named_tensors_go_in_and_named_tensors_come_out(kind: str, threads: int) -> None:
    a = np.array([[1.0, 2.0, 3.0]], np.float32)
    outputs = create(kind, threads=threads).run({"b": 10 * a, "a": a})
    assert outputs.keys() == {"total"}
    np.testing.assert_array_equal(outputs["total"], 11 * a)


@every_backend
def test_a_size_that_may_vary_may_vary_from_run_to_run(kind: str) -> None:
    backend = create(kind)
    for rows in (1, 4, 4, 2, 1):
        a = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        np.testing.assert_array_equal(backend.run({"a": a, "b": a})["total"], 2 * a)


@every_backend
def test_an_output_that_is_kept_does_not_stop_the_next_run(kind: str) -> None:
    backend = create(kind)
    kept = [backend.run({"a": ones(), "b": ones()})["total"] for _ in range(3)]
    assert len(kept) == 3


@every_backend
def test_a_transposed_array_means_what_it_holds_and_not_how_it_lies(kind: str) -> None:
    a = np.arange(6, dtype=np.float32).reshape(3, 2).T
    np.testing.assert_array_equal(create(kind).run({"a": a, "b": ones(2)})["total"], a + 1)


@every_backend
@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"a": ones()}, "input b is missing"),
        ({"a": ones(), "b": ones(), "c": ones()}, "no such input: 'c'"),
        ({"a": ones(), "b": ones().astype(np.float64)}, "input b wants float32, not float64"),
        ({"a": ones(), "b": ones().astype(np.int8)}, "input b wants float32, not int8"),
        ({"a": np.ones((1, 4), np.float32), "b": ones()}, r"input a wants shape \[-1, 3\]"),
        ({"a": np.ones(3, np.float32), "b": ones()}, r"input a wants shape .* not \[3\]"),
    ],
)
def test_a_wrong_tensor_is_refused_by_name_and_the_next_run_works(
    kind: str, tensors: dict[str, np.ndarray], said: str
) -> None:
    backend = create(kind)
    with pytest.raises(ModelError, match=said):
        backend.run(tensors)
    assert backend.run({"a": ones(), "b": ones()})["total"].sum() == 6


@every_backend
def test_a_closed_model_says_so(kind: str) -> None:
    backend = create(kind)
    backend.close()
    backend.close()
    with pytest.raises(ModelError, match="closed"):
        backend.run({"a": ones(), "b": ones()})


@every_backend
@pytest.mark.parametrize("content", ["", "text", "half", "cut", "zeros"])
def test_bytes_that_are_no_model_are_refused_in_words(kind: str, content: str) -> None:
    """In a process of its own: for some broken bytes native code ends the process instead."""
    create(kind).close()
    code = f"""
import sys
from edge_agent import registry
from edge_agent.backends.base import BackendContext
from edge_agent.errors import ModelError
from tests.test_backend_contract import MODELS
whole = MODELS[{kind!r}]()
broken = {{"": b"", "text": b"<html>login</html>" * 40, "half": whole[:len(whole) // 2],
          "cut": whole[:-60], "zeros": bytes(500)}}[{content!r}]
try:
    registry.plugin("backends", {kind!r}).create(BackendContext(broken))
except ModelError as error:
    sys.exit(f"refused: {{error}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    killed = done.returncode < 0
    assert killed or "refused: the model cannot be loaded: " in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
