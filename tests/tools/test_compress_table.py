"""What a variant is measured by, and which one the table names as chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tools.compress.failures import CompressFailed
from tools.compress.measure import Latency
from tools.compress.scoring import Metric, chosen_metric
from tools.compress.table import CHOSEN, Row, smallest, table
from tools.compress.tflite_file import Weights
from tools.compress.variants import Variant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def test_the_metric_follows_from_the_targets() -> None:
    likely = np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)
    assert chosen_metric("", likely, np.array([1, 0])).name == "accuracy"
    assert chosen_metric("", likely, np.array([0.5, 0.1])).name == "rmse"
    assert chosen_metric("", likely, None).name == "difference"
    with pytest.raises(CompressFailed, match="--metric accuracy needs targets"):
        chosen_metric("accuracy", likely, None)


@pytest.mark.parametrize(
    ("outputs", "targets", "sentence"),
    [
        (2, [0, 4], "targets go to 4, the model has 2 outputs$"),
        (
            1,
            [0, 120],
            "the model has 1 output, which tells 0 from 1; for values instead",
        ),
        (2, [-1, 1], "targets begin at -1; classes are counted from 0"),
        (2, ["ok", "worn"], "targets must be class numbers"),
        (2, [[0, 1], [1, 0]], r"one class number an item, and the targets hold \[2\]"),
    ],
)
def test_targets_that_are_no_classes_of_the_model_are_refused(
    outputs: int, targets: list[Any], sentence: str
) -> None:
    with pytest.raises(CompressFailed, match=sentence):
        chosen_metric("accuracy", np.zeros((2, outputs), np.float32), np.array(targets))


def test_fewer_classes_than_outputs_and_whole_numbers_as_values_are_taken() -> None:
    likely = np.zeros((2, 5), np.float32)
    assert chosen_metric("", likely, np.array([0, 1])).name == "accuracy"
    assert chosen_metric("rmse", likely[:, :1], np.array([0, 120])).name == "rmse"
    assert chosen_metric("", likely[:, :1], np.array([False, True])).name == "accuracy"


def test_accuracy_of_one_output_takes_half_or_zero_as_its_border() -> None:
    targets = np.array([0, 1, 1])
    likely = np.array([[0.4], [0.6], [0.3]], np.float32)
    assert Metric("accuracy").value(likely, targets) == pytest.approx(2 / 3)
    assert Metric("accuracy", logits=True).value(likely - 0.35, targets) == pytest.approx(1 / 3)


def test_losses_are_in_points_or_in_percent_of_the_float_models_error() -> None:
    assert Metric("accuracy").lost(0.9, 0.895) == pytest.approx(0.5)
    assert Metric("rmse").lost(10.0, 10.1) == pytest.approx(1.0)


def test_targets_of_another_shape_than_the_answers_are_refused() -> None:
    with pytest.raises(CompressFailed, match=r"answers \[4\] values an item and the targets"):
        Metric("rmse").value(np.zeros((3, 4), np.float32), np.zeros((3, 2)))


def row(name: str, size: int, validation: float, test: float, p50_ms: float = 0.1) -> Row:
    variant = Variant(name, "int8", b"x" * size)
    return Row(variant, size // 2, Weights(100, 10), validation, test, Latency(p50_ms, 0.2))


def test_the_smallest_variant_within_the_loss_allowed_on_validation_is_chosen() -> None:
    rows = [row("whole", 900, 0.90, 0.90), row("good", 300, 0.897, 0.88), row("bad", 100, 0.5, 0.9)]
    metric = Metric("accuracy")
    assert smallest(rows, metric, 0.5).variant.shape == "good"
    assert smallest(rows, metric, 0.1).variant.shape == "whole"
    lines = table(rows, [Variant("x", "int8", failure="saturated")], metric, rows[1])
    assert len({len(line) for line in lines[:-1]}) == 1
    assert CHOSEN in lines[3]
    assert "+0.30" in lines[3], "lost on the validation part, which is what it is chosen by"
    assert "+2.00" in lines[3]
    assert lines[-1] == "stopped: x, int8: saturated"


def test_of_files_as_small_the_one_that_loses_least_is_chosen_and_then_the_fastest() -> None:
    whole = row("whole", 9000, 0.90, 0.90)
    slow, fast = row("slow", 3000, 0.897, 0.9, p50_ms=0.3), row("fast", 3010, 0.897, 0.9)
    better = row("better", 3020, 0.899, 0.9, p50_ms=0.3)
    metric = Metric("accuracy")
    assert smallest([whole, slow, fast], metric, 0.5) is fast
    assert smallest([whole, slow, fast, better], metric, 0.5) is better


def test_a_metric_knows_what_looking_at_nothing_gets() -> None:
    targets = np.repeat([0, 1], [60, 40])
    assert Metric("accuracy").chance(targets) == pytest.approx(0.6 + 2 * np.sqrt(0.24 / 100))
    assert 0.5 < (Metric("auroc").chance(targets) or 0) < 0.65
    assert Metric("rmse").chance(np.array([1.0, 3.0])) == 1.0
    assert Metric("difference").chance(targets) is None
