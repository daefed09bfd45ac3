"""Every way from a network to an int8 model ends at the gate, which a spoiled model does not pass.

The networks here are such that int8 must spoil them: what the answer hangs on shares a tensor, and
so its 256 steps, with values a million times as large.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tools.compress import quantise  # noqa: E402  need torch
from tools.compress.variants import AS_GIVEN, Settings, Shape, variants  # noqa: E402
from tools.recordings.product import quantised  # noqa: E402
from tools.train import detect  # noqa: E402
from tools.training import good_parts, photo_recipe  # noqa: E402  need torch
from tools.training.detector import Decoded, Detector  # noqa: E402
from tools.training.photo_nets import PREPROCESS  # noqa: E402
from tools.training.pictures import normalised  # noqa: E402

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(600),
    # torch and the converters warn of what is to change in themselves.
    pytest.mark.filterwarnings("ignore"),
]

SMALL, LARGE = 1e-3, 1e3
ITEMS = 240


class Drowned(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is untyped here
    """[n, 3, ...] to [n, 1, ...]: the sum of small values, read out of a tensor with large ones."""

    def forward(self, values: Any) -> Any:
        """Return the sum; the large values count for nothing."""
        both = torch.cat([values * SMALL, values.abs() * LARGE], 1)
        weights = torch.tensor([1 / SMALL] * 3 + [0.0] * 3)
        return (both * weights.reshape(1, 6, *[1] * (values.ndim - 2))).sum(1, keepdim=True)


class Score(Drowned):
    """One number for a picture."""

    def forward(self, values: Any) -> Any:
        """Return [n, 1]."""
        return super().forward(values.mean((2, 3)))


class MapAndScore(Drowned):
    """A map of a picture's cells, and its mean."""

    def forward(self, values: Any) -> Any:
        """Return [n, 1, h, w] and [n, 1]."""
        cells = super().forward(values)
        return cells, cells.mean((2, 3))


def photos() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 200, (ITEMS, 1, 1, 3))
    return (level + rng.integers(0, 55, (ITEMS, 32, 32, 3))).astype(np.uint8)


def test_a_recipe_over_photos_stops_a_spoiled_model() -> None:
    made = photo_recipe.Made(Score().eval(), maps=False, task={}, rule={}, labels=(), golden=())
    samples = list(normalised(photos(), PREPROCESS)[:, None])
    with pytest.raises(quantise.QuantisationFailed, match="correlates with float"):
        photo_recipe.compiled(made, samples, samples[:100])


def test_the_recipe_of_good_photos_stops_a_spoiled_model() -> None:
    lesson = good_parts.Lesson(photos(), ["one"] * ITEMS, PREPROCESS, 0)
    with pytest.raises(quantise.QuantisationFailed, match="correlates with float"):
        good_parts.compiled(MapAndScore().eval(), lesson)


def test_a_recipe_over_recordings_stops_a_spoiled_model() -> None:
    windows = np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)
    with pytest.raises(quantise.QuantisationFailed, match="correlates with float"):
        quantised(Drowned().eval(), windows)


def test_compression_keeps_a_spoiled_variant_out_and_says_why() -> None:
    inputs = np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)
    whole = quantise.float_model(Drowned(), inputs[:1], picture=False)
    settings = Settings(calibration=200)
    made = variants(Shape(AS_GIVEN, whole), "tflite", inputs[:200], inputs[200:], settings)
    (int8,) = (each for each in made if each.precision == "int8")
    assert not int8.model
    assert "correlates with float" in int8.failure


def test_compression_of_onnx_keeps_a_spoiled_variant_out_and_says_why() -> None:
    pytest.importorskip("onnx")
    inputs = np.random.default_rng(0).normal(size=(ITEMS, 3)).astype(np.float32)
    shape = Shape(AS_GIVEN, drowned_onnx())
    made = variants(shape, "onnx", inputs[:200], inputs[200:], Settings(calibration=200))
    (int8,) = (each for each in made if each.precision == "int8")
    assert not int8.model
    assert "correlates with float" in int8.failure


def drowned_onnx() -> bytes:
    helper: Any = importlib.import_module("onnx.helper")
    arrays: Any = importlib.import_module("onnx.numpy_helper")
    kernels = {
        "spread": np.vstack([np.eye(3) * SMALL, np.eye(3) * LARGE]),
        "read": np.array([[1 / SMALL] * 3 + [0.0] * 3]),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "spread"], ["both"], transB=1),
        helper.make_node("Gemm", ["both", "read"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info("x", 1, [1, 3])],
        [helper.make_tensor_value_info("y", 1, [1, 1])],
        [arrays.from_array(value.astype(np.float32), name) for name, value in kernels.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def test_int8_boxes_are_as_fine_as_float_ones_beside_sure_scores() -> None:
    torch.manual_seed(0)
    network = Detector((32, 32), labels=2)
    with torch.no_grad():
        network.classes.weight *= 50  # logits of a wide range, as of a detector that has learned
    samples = list(normalised(photos(), PREPROCESS)[:, None])
    whole, int8 = photo_recipe.compiled(
        photo_recipe.Made(
            Decoded(network, (32, 32)).eval(), maps=False, task={}, rule={}, labels=(), golden=()
        ),
        samples,
        [],
    )
    wanted, found = (quantise.run_model(model, samples[:5]) for model in (whole, int8))
    assert np.ptp(wanted[:, 4:]) > 0.5
    assert np.abs(found - wanted)[:, :4].max() < 0.05


def test_a_detector_that_loses_its_boxes_in_int8_is_refused() -> None:
    detect.check_lost(0.76, 0.70)
    with pytest.raises(quantise.QuantisationFailed, match=r"precision of 0\.061 where .* 0\.761"):
        detect.check_lost(0.761, 0.061)
