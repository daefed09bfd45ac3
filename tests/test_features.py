"""What a model reads of a window must not depend on how the series was cut, or on who asks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge_agent.errors import BadInput
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.sensing.features import WindowFeatures
from edge_agent.types import Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA, START, PER = 0.1, 7, 30.0
ZSCORE = {"kind": "zscore", "mean": [1.0, -2.0], "std": [2.0, 0.5]}
EMA = {"kind": "ema", "alpha": ALPHA}
DELTA = {"kind": "delta_from_start", "samples": START}
AGE = {"kind": "age", "per": PER}


def preprocess(features: list[dict[str, Any]], samples: int = 10, hop: int = 1) -> WindowPreprocess:
    tree = {
        "kind": "window",
        "channels": ["a", "b"],
        "samples": samples,
        "hop": hop,
        "rate_hz": 100.0,
        "pad": "edge",
        "features": features,
    }
    return WindowPreprocess.model_validate_json(json.dumps(tree))


def window(rows: NDArray[np.floating], end: int, samples: int = 10, series: int = 0) -> Window:
    """Return the window of `samples` rows that ends before row `end`, padded at the edge."""
    first = end - samples
    padded = np.concatenate(
        [np.repeat(rows[:1], max(0, -first), axis=0), rows[max(0, first) : end]]
    )
    return Window(
        padded.astype(np.float32), ("a", "b"), 100.0, 0, 0, 0, series=series, first_sample=first
    )


def series_of_rows(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(3, 2, (count, 2)).astype(np.float32)


def offline(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    """zscore, delta_from_start, ema, age of a whole series at once, straight from definitions."""
    z = (rows.astype(np.float64) - [1.0, -2.0]) / [2.0, 0.5]
    count = np.arange(1, len(z) + 1)
    early = np.minimum(count, START)
    delta = z - np.array([z[:n].mean(axis=0) for n in early])
    both = np.concatenate([z, delta], axis=1)
    weights = [(1 - ALPHA) ** np.arange(n)[::-1] for n in count]
    ema = np.array([w @ both[: len(w)] / w.sum() for w in weights])
    age = np.clip((count - 1) / PER - 1, -1, 1)
    return np.concatenate([both, ema, age[:, None]], axis=1)


@pytest.mark.parametrize("hop", [1, 3, 10])
def test_features_of_a_stream_equal_those_of_the_whole_series(hop: int) -> None:
    rows = series_of_rows(75)
    features = WindowFeatures(preprocess([ZSCORE, DELTA, EMA, AGE], hop=hop))
    wanted = offline(rows)
    for end in range(1, 76, hop):
        got = features.apply(window(rows, end))
        first = max(0, end - 10)
        padded = np.concatenate([np.repeat(wanted[:1], 10 - (end - first), 0), wanted[first:end]])
        np.testing.assert_allclose(got, padded, rtol=1e-5, atol=1e-5)
        assert got.dtype == np.float32


@given(st.lists(st.integers(1, 10), min_size=1, max_size=20))
def test_features_do_not_depend_on_the_hop(steps: list[int]) -> None:
    rows = series_of_rows(210)
    every, some = (WindowFeatures(preprocess([DELTA, EMA, AGE])) for _ in range(2))
    ends = np.cumsum(steps)
    each = [every.apply(window(rows, end)) for end in range(1, int(ends[-1]) + 1)]
    for end in ends:
        np.testing.assert_array_equal(some.apply(window(rows, int(end))), each[int(end) - 1])


def test_a_new_series_forgets_the_old_one() -> None:
    first, second = series_of_rows(30, 1), series_of_rows(30, 2)
    features = WindowFeatures(preprocess([DELTA, EMA, AGE]))
    for end in range(1, 31):
        features.apply(window(first, end))
    fresh = WindowFeatures(preprocess([DELTA, EMA, AGE]))
    for end in range(1, 31):
        got = features.apply(window(second, end, series=1))
        np.testing.assert_array_equal(got, fresh.apply(window(second, end, series=1)))


def test_after_a_missing_window_the_state_starts_afresh_but_the_age_stays_true() -> None:
    rows = series_of_rows(60)
    features = WindowFeatures(preprocess([EMA, AGE]))
    features.apply(window(rows, 12))
    got = features.apply(window(rows, 40))
    fresh = WindowFeatures(preprocess([EMA, AGE])).apply(window(rows, 40))
    np.testing.assert_array_equal(got, fresh)
    np.testing.assert_allclose(got[-1, -1], 39 / PER - 1, rtol=1e-6)


def test_the_same_window_twice_gives_the_same_features() -> None:
    rows = series_of_rows(20)
    features = WindowFeatures(preprocess([ZSCORE, DELTA, EMA, AGE]))
    once = features.apply(window(rows, 15))
    np.testing.assert_array_equal(features.apply(window(rows, 15)), once)


def test_a_window_with_nan_is_refused_and_leaves_no_trace() -> None:
    rows = series_of_rows(20)
    features, untroubled = (WindowFeatures(preprocess([EMA])) for _ in range(2))
    for each in (features, untroubled):
        each.apply(window(rows, 11))
    broken = rows.copy()
    broken[11, 1] = np.nan
    with pytest.raises(BadInput) as caught:
        features.apply(window(broken, 12))
    assert caught.value.reason == "nan"
    np.testing.assert_array_equal(
        features.apply(window(rows, 12)), untroubled.apply(window(rows, 12))
    )


def test_a_window_of_another_shape_or_of_other_channels_is_refused() -> None:
    rows = series_of_rows(20)
    features = WindowFeatures(preprocess([]))
    with pytest.raises(BadInput) as caught:
        features.apply(window(rows, 12, samples=8))
    assert caught.value.reason == "shape"
    turned = Window(rows[:10], ("b", "a"), 100.0, 0, 0, 0)
    with pytest.raises(BadInput) as caught:
        features.apply(turned)
    assert caught.value.reason == "channels"


def test_without_memory_a_window_is_taken_as_it_is_whatever_came_before() -> None:
    features = WindowFeatures(preprocess([ZSCORE, AGE]))
    features.apply(window(series_of_rows(20, 1), 12))
    other = window(series_of_rows(20, 2), 12)
    fresh = WindowFeatures(preprocess([ZSCORE, AGE])).apply(other)
    np.testing.assert_array_equal(features.apply(other), fresh)


def test_without_features_samples_pass_unchanged() -> None:
    rows = series_of_rows(10)
    np.testing.assert_array_equal(WindowFeatures(preprocess([])).apply(window(rows, 10)), rows)


def test_normalise_takes_mean_and_deviation_of_each_column_and_survives_a_flat_one() -> None:
    rows = series_of_rows(10)
    rows[:, 1] = 4.0
    got = WindowFeatures(preprocess([{"kind": "normalise"}])).apply(window(rows, 10))
    np.testing.assert_allclose(got[:, 0].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(got[:, 0].std(), 1, rtol=1e-5)
    np.testing.assert_array_equal(got[:, 1], np.zeros(10))
    only = [{"kind": "normalise", "scale": False}]
    centred = WindowFeatures(preprocess(only)).apply(window(rows, 10))
    np.testing.assert_allclose(centred[:, 0], rows[:, 0] - rows[:, 0].mean(), rtol=1e-5)


def test_spectrum_bands_find_the_envelope_of_a_modulated_carrier_and_zscore_scales_them() -> None:
    time_s = np.arange(100) / 100.0
    carrier = (1 + 0.8 * np.cos(2 * np.pi * 4 * time_s)) * np.sin(2 * np.pi * 30 * time_s)
    rows = np.stack([carrier, np.zeros(100)], axis=1)
    bands = {"kind": "spectrum_bands", "edges_hz": [1.0, 3.0, 6.0, 7.0, 49.0]}
    plain = WindowFeatures(preprocess([bands], samples=100)).apply(window(rows, 100, 100))
    assert plain[:, 0].argmax() == 3
    envelope = bands | {"envelope_hz": [20.0, 40.0]}
    steps = [envelope, {"kind": "zscore", "mean": [1.0], "std": [2.0]}]
    got = WindowFeatures(preprocess(steps, samples=100)).apply(window(rows, 100, 100))
    assert got.shape == (4, 2)
    assert got[:, 0].argmax() == 1
    np.testing.assert_allclose(got[1, 0], (np.log10(0.8**2 / 2) - 1) / 2, atol=1e-3)


@pytest.mark.parametrize(
    ("features", "says"),
    [
        ([{"kind": "normalise"}, EMA], "ema must come before"),
        ([{"kind": "zscore", "mean": [0.0, 1.0, 2.0], "std": [1.0]}], "1 or 2 numbers"),
        ([EMA, ZSCORE], "1 or 4 numbers"),
        ([{"kind": "spectrum_bands", "edges_hz": [1.0, 2.0]}], "must rise by 10"),
        ([{"kind": "spectrum_bands", "edges_hz": [10.0, 60.0]}], "within 0..50"),
        ([{"kind": "spectrum_bands", "edges_hz": [10.0, 30.0, 20.0]}], "must rise"),
        (
            [{"kind": "spectrum_bands", "edges_hz": [10.0, 30.0], "envelope_hz": [40.0, 20.0]}],
            "within 0..50",
        ),
    ],
)
def test_features_that_cannot_follow_each_other_are_refused_with_the_manifest(
    features: list[dict[str, Any]], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        preprocess(features)


def test_a_hop_beyond_the_window_is_refused_where_every_sample_counts() -> None:
    with pytest.raises(ValidationError, match="hop must not exceed samples"):
        preprocess([EMA], hop=11)
    preprocess([AGE], hop=11)


def test_the_shape_that_the_manifest_foretells_is_the_shape_that_comes() -> None:
    options = preprocess([ZSCORE, DELTA, EMA, AGE])
    got = WindowFeatures(options).apply(window(series_of_rows(10), 10))
    assert got.shape == options.output_shape == (10, 9)
