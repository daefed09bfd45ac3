"""Tasks that give a score alone: classify, regress, and anomaly without a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pydantic import ValidationError

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.errors import ModelError
from edge_agent.tasks.base import TaskContext
from edge_agent.types import Prediction, TensorSpec, Window
from tests.test_task_contract import PICTURE_INPUT, create_task, picture

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.tasks.base import Task


def task(
    kind: str,
    outputs: int | tuple[int, ...],
    labels: tuple[str, ...] = (),
    **postprocess: object,
) -> Task:
    shape = (1, outputs) if isinstance(outputs, int) else outputs
    specs = (TensorSpec("y", shape, "float32"),)
    return create_task(kind, postprocess, TaskContext(PICTURE_INPUT, specs, labels))


def answer(made: Task, *values: float) -> Prediction:
    return made.interpret({"y": np.array([values], np.float32)}, picture())


def test_the_score_of_a_plain_classifier_is_the_probability_of_the_best_label() -> None:
    found = answer(task("classify", 3, ("cat", "dog", "cow")), 0.2, 0.7, 0.1)
    assert found.label == "dog"
    assert found.score == pytest.approx(0.7)


def test_without_labels_the_label_is_the_index() -> None:
    assert answer(task("classify", 3), 0.2, 0.7, 0.1).label == "1"


def test_with_normal_labels_the_score_is_what_the_others_have_together() -> None:
    made = task("classify", 4, ("good", "fine", "scratch", "dent"), normal=["good", "fine"])
    found = answer(made, 0.35, 0.25, 0.3, 0.1)
    assert found.label == "good"
    assert found.score == pytest.approx(0.4)


def test_a_reject_is_put_down_to_the_likeliest_label_that_is_not_good() -> None:
    labels = ("good", "fine", "scratch", "dent")
    made = task("classify", 4, labels, normal=["good", "fine"])
    assert answer(made, 0.35, 0.25, 0.1, 0.3).reject_label == "dent"
    assert answer(made, 0.1, 0.1, 0.5, 0.3).reject_label == "scratch"
    assert answer(task("classify", 4, labels), 0.35, 0.25, 0.1, 0.3).reject_label == "good"
    assert answer(task("classify", 4, labels, normal=list(labels)), 0, 0, 0, 1).reject_label == ""


def test_logits_become_probabilities_by_softmax_without_overflow() -> None:
    made = task("classify", 2, ("good", "bad"), normal=["good"], activation="softmax")
    assert answer(made, 0.0, np.log(3.0)).score == pytest.approx(0.75)
    assert answer(made, -1e30, 1e30).score == 1.0
    assert answer(made, 1e30, -1e30).score == 0.0


@pytest.mark.parametrize(
    ("logit", "label", "score"),
    [(2.0, "bad", 0.880797), (-2.0, "good", 0.119203), (0.0, None, 0.5)],
)
def test_a_single_value_says_how_likely_the_second_label_is(
    logit: float, label: str | None, score: float
) -> None:
    made = task("classify", 1, ("good", "bad"), normal=["good"], activation="sigmoid")
    found = answer(made, logit)
    assert found.score == pytest.approx(score, abs=1e-6)
    assert label in {None, found.label}


def test_independent_classes_never_score_more_than_1() -> None:
    made = task("classify", 3, ("good", "a", "b"), normal=["good"], activation="sigmoid")
    assert answer(made, 0.0, 9.0, 9.0).score == 1.0


@pytest.mark.parametrize(
    ("labels", "normal", "said"),
    [
        (("a", "b"), (), "3 classes, the labels are 2"),
        (("a", "b", "c", "d"), (), "3 classes, the labels are 4"),
        (
            ("a", "b", "c"),
            ("d",),
            "/task/postprocess/normal: no such label: 'd'; there are: a, b, c",
        ),
        ((), ("3",), "/task/postprocess/normal: no such label: '3'"),
    ],
)
def test_labels_that_do_not_match_the_classes_are_a_wrong_model(
    labels: tuple[str, ...], normal: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        task("classify", 3, labels, normal=normal)


def test_a_model_with_a_free_number_of_classes_is_held_to_its_labels() -> None:
    made = task("classify", (1, -1), ("a", "b"))
    assert answer(made, 0.1, 0.9).label == "b"
    with pytest.raises(ModelError, match="gave 3 classes"):
        answer(made, 0.1, 0.2, 0.7)


def test_a_regression_is_scaled_shifted_and_clipped_in_its_unit() -> None:
    made = task("regress", 1, scale=125.0, offset=-1.0, clip_min=0.0, clip_max=120.0, unit="cycles")
    found = answer(made, 0.5)
    assert (found.score, found.unit, found.label, found.defects) == (61.5, "cycles", "", ())
    assert answer(made, -3.0).score == 0.0
    assert answer(made, 3.0).score == 120.0


def test_a_regression_reads_the_value_at_its_index() -> None:
    assert answer(task("regress", 3, index=2), 1.0, 2.0, 3.0).score == 3.0
    with pytest.raises(ModelError, match="has 3 values, the last one has index 2"):
        task("regress", 3, index=3)
    with pytest.raises(ModelError, match="gave 2 values"):
        answer(task("regress", (1, -1), index=2), 1.0, 2.0)


def test_clip_limits_must_be_in_order() -> None:
    with pytest.raises(ValidationError, match="clip_min must be at most clip_max"):
        task("regress", 1, clip_min=2.0, clip_max=1.0)


def test_an_anomaly_score_is_1_at_the_calibrated_threshold() -> None:
    made = task("anomaly", 1, form="score", normal_score=0.02)
    assert answer(made, 0.02).score == pytest.approx(1.0)
    assert answer(made, 0.05).score == pytest.approx(2.5)


def test_the_score_and_the_map_are_told_apart_by_their_size() -> None:
    specs = (TensorSpec("m", (1, 8, 8, 1), "float32"), TensorSpec("s", (1, 1), "float32"))
    made = create_task("anomaly", {"form": "score_and_map"}, TaskContext(PICTURE_INPUT, specs))
    outputs = {"m": np.ones((1, 8, 8, 1), np.float32), "s": np.array([[0.3]], np.float32)}
    found = made.interpret(outputs, picture())
    assert found.score == pytest.approx(0.3)
    assert found.heatmap is not None
    assert found.heatmap.shape == (8, 8)


@pytest.mark.parametrize(
    ("form", "outputs", "said"), [("score", (1, 4), "a score: y"), ("map", (1, 1), "a map: y")]
)
def test_a_model_without_the_output_that_the_form_needs_is_refused(
    form: str, outputs: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ModelError, match=f"no output of the model is {said}"):
        task("anomaly", outputs, form=form)


@pytest.mark.tflite
@pytest.mark.parametrize("model", ["ad01_fp32", "ad01_int8"])
@pytest.mark.parametrize("error", ["squared", "absolute"])
def test_a_real_autoencoder_scores_what_it_can_not_reconstruct(
    model: str, error: str, shared_data: Path
) -> None:
    """MLPerf Tiny's autoencoder on 5 x 128 features; the score is its reconstruction error."""
    content = (shared_data / "mlperf_tiny" / "models" / f"{model}.tflite").read_bytes()
    backend = tflite.create(BackendContext(content))
    channels = [f"c{index}" for index in range(128)]
    preprocess = {
        "kind": "window", "channels": channels, "samples": 5, "hop": 5, "rate_hz": 10.0
    }  # fmt: skip
    made = create_task(
        "anomaly",
        {"form": "reconstruction", "error": error},
        TaskContext(backend.inputs, backend.outputs),
        preprocess,
    )
    random = np.random.default_rng(3)
    smooth = np.full((5, 128), -10.0, np.float32)
    scores = []
    rough = smooth + 8 * random.standard_normal((5, 128)).astype(np.float32)
    for series, samples in enumerate((smooth, rough)):
        item = Window(samples, tuple(channels), 10.0, 0, 0, 0, series=series)
        tensors = made.prepare(item)
        outputs = backend.run(tensors)
        scores.append(made.interpret(outputs, item).score)
        given, back = (
            (tensor[0].astype(np.float64) - spec.zero_point) * (spec.scale or 1.0)
            for tensor, spec in (
                (tensors[backend.inputs[0].name], backend.inputs[0]),
                (outputs[backend.outputs[0].name], backend.outputs[0]),
            )
        )
        wanted = np.abs(given - back) if error == "absolute" else (given - back) ** 2
        assert scores[-1] == pytest.approx(wanted.mean(), rel=1e-4)
    assert scores[1] > scores[0]
