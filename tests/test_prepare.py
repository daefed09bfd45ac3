"""From an item to a tensor: exactly what the manifest says, in the shape the model has."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import BadInput, ModelError
from edge_agent.inference.prepare import preparer
from edge_agent.inference.preprocess import ImagePreprocess, WindowPreprocess, ZScore
from edge_agent.inference.quantisation import dequantise, quantise
from edge_agent.tasks.base import TaskContext
from edge_agent.types import Frame, TensorSpec, Window

PIXELS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
FRAME = Frame(PIXELS, 0, 0, 0)


def picture_tensor(preprocess: ImagePreprocess, spec: TensorSpec) -> np.ndarray:
    return preparer(preprocess, TaskContext((spec,), ())).prepare(FRAME)[spec.name]


def window_options(samples: int, channels: int, **more: object) -> WindowPreprocess:
    names = tuple(f"c{index}" for index in range(channels))
    return WindowPreprocess.model_validate(
        {
            "kind": "window",
            "channels": names,
            "samples": samples,
            "hop": samples,
            "rate_hz": 10.0,
            **more,
        }
    )


def window(samples: np.ndarray) -> Window:
    names = tuple(f"c{index}" for index in range(samples.shape[1]))
    return Window(samples.astype(np.float32), names, 10.0, 0, 0, 0)


def window_tensor(samples: np.ndarray, spec: TensorSpec) -> np.ndarray:
    made = preparer(window_options(*samples.shape), TaskContext((spec,), ()))
    return made.prepare(window(samples))[spec.name]


def test_pixels_are_normalised_per_channel_in_the_order_of_colours_asked_for() -> None:
    options = ImagePreprocess(
        kind="image", color="rgb", mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0)
    )
    found = picture_tensor(options, TensorSpec("x", (1, 6, 8, 3), "float32"))
    wanted = (PIXELS[:, :, ::-1].astype(np.float64) - [10, 20, 30]) / [2, 4, 5]
    np.testing.assert_array_equal(found[0], wanted.astype(np.float32))
    assert found.dtype == np.float32
    assert found.flags.c_contiguous


def test_pixels_are_quantised_with_the_scale_of_the_input() -> None:
    options = ImagePreprocess(kind="image", color="bgr", mean=(0.0,), std=(255.0,))
    spec = TensorSpec("x", (-1, 6, 8, 3), "int8", 0.01, -50)
    found = picture_tensor(options, spec)
    wanted = np.clip(np.rint(PIXELS / 255.0 / 0.01 - 50), -128, 127)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found[0], wanted)


def test_an_input_that_stores_pixels_gets_pixels() -> None:
    """MobileNet's uint8 input: (v - 128) / 128 in steps of 1/128 around 128 is v itself."""
    options = ImagePreprocess(kind="image", color="bgr", mean=(128.0,), std=(128.0,))
    spec = TensorSpec("x", (1, 6, 8, 3), "uint8", 0.0078125, 128)
    np.testing.assert_array_equal(picture_tensor(options, spec)[0], PIXELS)


def test_channels_come_first_where_the_input_has_them_first() -> None:
    options = ImagePreprocess(kind="image", color="bgr", std=(1.0,))
    found = picture_tensor(options, TensorSpec("x", (-1, 3, 6, 8), "float32"))
    assert found.shape == (1, 3, 6, 8)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found[0], PIXELS.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(1, 6, 8, 1), (1, 1, 6, 8), (1, 6, 8)])
def test_a_grey_input_gets_one_channel_in_its_own_shape(shape: tuple[int, ...]) -> None:
    options = ImagePreprocess(kind="image", color="gray", std=(1.0,))
    found = picture_tensor(options, TensorSpec("x", shape, "float32"))
    assert found.shape == shape
    wanted = cv2.cvtColor(PIXELS, cv2.COLOR_BGR2GRAY)
    np.testing.assert_array_equal(found.reshape(6, 8), wanted)


def test_a_picture_is_resized_to_the_input() -> None:
    options = ImagePreprocess(kind="image", color="bgr", resize="letterbox", std=(1.0,), pad=7)
    found = picture_tensor(options, TensorSpec("x", (1, 12, 12, 3), "float32"))[0]
    assert (found[0] == 7).all()
    assert (found[-1] == 7).all()
    assert (found[1:10] != 7).any()


def test_only_the_region_of_interest_is_seen() -> None:
    options = ImagePreprocess(kind="image", color="bgr", std=(1.0,))
    spec = TensorSpec("x", (1, 2, 3, 3), "float32")
    made = preparer(options, TaskContext((spec,), (), roi=(4, 1, 3, 2)))
    np.testing.assert_array_equal(made.prepare(FRAME)["x"][0], PIXELS[1:3, 4:7])


@pytest.mark.parametrize(
    ("shape", "color", "said"),
    [
        ((1, 6, 8, 3), "gray", "has 3 channels and preprocess/color 'gray' makes 1"),
        ((1, 6, 8, 1), "rgb", "has 1 channels and preprocess/color 'rgb' makes 3"),
        ((1, 640), "rgb", r"shape \[1, 640\] takes no single picture"),
        ((4, 6, 8, 3), "rgb", "takes no single picture"),
        ((1, -1, -1, 3), "rgb", "takes no single picture"),
        ((1, 6, 8, 5), "rgb", "takes no single picture"),
    ],
)
def test_an_input_that_takes_no_such_picture_is_a_wrong_model(
    shape: tuple[int, ...], color: str, said: str
) -> None:
    options = ImagePreprocess.model_validate({"kind": "image", "color": color})
    with pytest.raises(ModelError, match=said):
        preparer(options, TaskContext((TensorSpec("x", shape, "float32"),), ()))


def test_a_model_with_two_inputs_is_a_wrong_model() -> None:
    spec = TensorSpec("x", (1, 6, 8, 3), "float32")
    other = TensorSpec("y", (1, 4), "float32")
    with pytest.raises(ModelError, match=r"2 inputs \(x, y\)"):
        preparer(ImagePreprocess(kind="image"), TaskContext((spec, other), ()))


@pytest.mark.parametrize(
    "shape", [(1, 4, 3), (-1, 4, 3), (1, 4, 3, 1), (1, 1, 4, 3), (1, 12), (12,), (-1, -1, 3)]
)
def test_a_window_is_laid_out_row_by_row(shape: tuple[int, ...]) -> None:
    samples = np.arange(12.0).reshape(4, 3)
    found = window_tensor(samples, TensorSpec("x", shape, "float32"))
    assert found.shape == tuple(
        4 if size == -1 and at == 1 else abs(size) for at, size in enumerate(shape)
    )
    np.testing.assert_array_equal(found.reshape(4, 3), samples)


@pytest.mark.parametrize("shape", [(1, 3, 4), (-1, 3, 4, 1)])
def test_a_window_is_turned_where_the_input_has_channels_before_samples(
    shape: tuple[int, ...],
) -> None:
    samples = np.arange(12.0).reshape(4, 3)
    found = window_tensor(samples, TensorSpec("x", shape, "float32"))
    assert found.shape == tuple(abs(size) for size in shape)
    np.testing.assert_array_equal(found.reshape(3, 4), samples.T)


@pytest.mark.parametrize("shape", [(1, 13), (1, 6, 2), (2, 12), (1, 4, 3, 2), (1, 4)])
def test_a_window_that_does_not_fit_the_input_is_a_wrong_model(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="does not hold the 4 rows and 3 columns"):
        window_tensor(np.zeros((4, 3)), TensorSpec("x", shape, "float32"))


def test_features_are_made_before_the_window_is_quantised() -> None:
    feature = ZScore(kind="zscore", mean=(1.0, 2.0), std=(0.5, 4.0))
    options = window_options(3, 2, features=(feature,))
    spec = TensorSpec("x", (1, 3, 2), "int8", 0.1, 5)
    samples = np.array([[1.0, 2.0], [1.5, -2.0], [0.0, 10.0]])
    found = preparer(options, TaskContext((spec,), ())).prepare(window(samples))["x"]
    assert found.dtype == np.int8
    assert found[0].tolist() == [[5, 5], [15, -5], [-15, 25]]


def test_stored_values_of_a_quantised_input_survive_the_way_through_real_values() -> None:
    """So recorded int8 tensors can be played as windows of samples."""
    stored = np.arange(-128, 128, dtype=np.int8).reshape(64, 4)
    spec = TensorSpec("x", (1, 64, 4), "int8", 0.5847029089927673, 83)
    found = window_tensor(dequantise(stored, spec), spec)
    np.testing.assert_array_equal(found[0], stored)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_window_that_is_not_all_numbers_is_bad_input(value: float) -> None:
    samples = np.zeros((4, 3))
    samples[2, 1] = value
    with pytest.raises(BadInput) as refused:
        window_tensor(samples, TensorSpec("x", (1, 4, 3), "float32"))
    assert refused.value.reason == "nan"


def test_a_value_that_overflows_in_a_feature_is_bad_input() -> None:
    feature = ZScore(kind="zscore", mean=(0.0,), std=(1e-30,))
    spec = TensorSpec("x", (1, 2, 1), "float32")
    made = preparer(window_options(2, 1, features=(feature,)), TaskContext((spec,), ()))
    with np.errstate(over="ignore"), pytest.raises(BadInput) as refused:
        made.prepare(window(np.full((2, 1), 1e30)))
    assert refused.value.reason == "nan"


def test_items_of_the_other_kind_are_bad_input() -> None:
    picture = TensorSpec("x", (1, 6, 8, 3), "float32")
    with pytest.raises(BadInput) as refused:
        preparer(ImagePreprocess(kind="image"), TaskContext((picture,), ())).prepare(
            window(np.zeros((4, 3)))
        )
    assert refused.value.reason == "not_a_picture"
    samples = TensorSpec("x", (1, 4, 3), "float32")
    with pytest.raises(BadInput) as refused:
        preparer(window_options(4, 3), TaskContext((samples,), ())).prepare(FRAME)
    assert refused.value.reason == "not_a_window"


@given(
    stored=st.lists(st.integers(-128, 127), min_size=1, max_size=40),
    scale=st.floats(1e-6, 1e3, allow_subnormal=False),
    zero_point=st.integers(-128, 127),
)
def test_quantising_real_values_gives_back_what_was_stored(
    stored: list[int], scale: float, zero_point: int
) -> None:
    spec = TensorSpec("x", (1, -1), "int8", scale, zero_point)
    values = np.array(stored, np.int8)
    np.testing.assert_array_equal(quantise(dequantise(values, spec), spec), values)


def test_quantising_rounds_halves_to_even_and_saturates() -> None:
    spec = TensorSpec("x", (1, 6), "int8", 1.0, 0)
    values = np.array([0.5, 1.5, -0.5, -2.5, 500.0, -500.0])
    assert quantise(values, spec).tolist() == [0, 2, 0, -2, 127, -128]
