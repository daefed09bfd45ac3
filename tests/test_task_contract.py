"""What every task must do, run on each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edge_agent import registry
from edge_agent.errors import BadInput, ModelError
from edge_agent.tasks.base import TaskContext, TaskOptions
from edge_agent.types import Frame, Prediction, TensorSpec, Window

if TYPE_CHECKING:
    from edge_agent.tasks.base import Task
    from edge_agent.types import Item

PICTURE = {"kind": "image", "std": [1.0]}
PICTURE_INPUT = (TensorSpec("x", (1, 32, 32, 3), "float32"),)
WINDOW = {
    "kind": "window",
    "channels": ["c0", "c1"],
    "samples": 8,
    "hop": 8,
    "rate_hz": 10.0,
}
WINDOW_INPUT = (TensorSpec("x", (1, 8, 2), "float32"),)


@dataclass(frozen=True)
class Case:
    """Options of a task, and what a model for it gives."""

    postprocess: dict[str, Any]
    outputs: dict[str, np.ndarray]
    takes_windows: bool = True


def _floats(*shape: int) -> np.ndarray:
    return np.full(shape, 0.25, np.float32)


CASES = {
    "classify": Case({}, {"y": _floats(1, 4)}),
    "regress": Case({}, {"y": _floats(1, 1)}),
    "anomaly": Case({"form": "score"}, {"y": _floats(1, 1)}),
    "segment": Case({"threshold": 0.2}, {"y": _floats(1, 32, 32, 1)}, takes_windows=False),
    "detect": Case(
        {"decoder": "yolo_v5", "confidence": 0.01}, {"y": _floats(1, 7, 8)}, takes_windows=False
    ),
}


def specs_of(outputs: dict[str, np.ndarray]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, array.shape, array.dtype.name) for name, array in outputs.items())


def create_task(
    kind: str, postprocess: dict[str, Any], context: TaskContext, preprocess: object = None
) -> Task:
    tree = {"kind": kind, "preprocess": preprocess or PICTURE, "postprocess": postprocess}
    task: Task = registry.create("tasks", options_of(tree), context)
    return task


def options_of(tree: dict[str, Any]) -> TaskOptions:
    adapter: TypeAdapter[TaskOptions] = TypeAdapter(registry.options_type("tasks"))
    # Strict options take lists for tuples in JSON only, which is what a manifest is.
    return adapter.validate_json(TypeAdapter(dict[str, Any]).dump_json(tree))


def picture(width: int = 64, height: int = 48) -> Frame:
    return Frame(np.zeros((height, width, 3), np.uint8), 0, 0, 0)


def window() -> Window:
    return Window(np.zeros((8, 2), np.float32), ("c0", "c1"), 10.0, 0, 0, 0)


def create(kind: str, inputs: tuple[TensorSpec, ...] = PICTURE_INPUT) -> Task:
    case = CASES[kind]
    preprocess = WINDOW if inputs == WINDOW_INPUT else PICTURE
    context = TaskContext(inputs, specs_of(case.outputs))
    return create_task(kind, case.postprocess, context, preprocess)


every_task = pytest.mark.parametrize("kind", registry.kinds("tasks"))


def test_every_task_has_a_case_here() -> None:
    assert set(registry.kinds("tasks")) == set(CASES)


@pytest.mark.parametrize(
    ("kind", "postprocess", "scores"),
    [
        ("classify", {}, (0, 1)),
        ("detect", {"decoder": "yolo_v5"}, (0, 1)),
        ("segment", {}, (0, 1)),
        ("regress", {}, (-np.inf, np.inf)),
        ("regress", {"clip_min": 0.0}, (0, np.inf)),
        ("regress", {"clip_min": 0.0, "clip_max": 125.0}, (0, 125)),
        ("anomaly", {"form": "score"}, (-np.inf, np.inf)),
    ],
)
def test_a_task_says_which_scores_it_gives(
    kind: str, postprocess: dict[str, Any], scores: tuple[float, float]
) -> None:
    tree = {"kind": kind, "preprocess": PICTURE, "postprocess": postprocess}
    assert options_of(tree).score_range == scores


@every_task
def test_an_item_becomes_the_models_input_and_outputs_become_a_prediction(kind: str) -> None:
    items: list[tuple[Item, tuple[TensorSpec, ...]]] = [(picture(), PICTURE_INPUT)]
    if CASES[kind].takes_windows:
        items.append((window(), WINDOW_INPUT))
    for item, inputs in items:
        task = create(kind, inputs)
        tensors = task.prepare(item)
        assert {n: (t.shape, t.dtype.name) for n, t in tensors.items()} == {
            "x": (inputs[0].shape, "float32")
        }
        prediction = task.interpret(CASES[kind].outputs, item)
        assert isinstance(prediction, Prediction)
        assert type(prediction.score) is float
        assert np.isfinite(prediction.score)


@every_task
def test_the_same_outputs_get_the_same_prediction(kind: str) -> None:
    task = create(kind)
    task.prepare(picture())
    first, second = (task.interpret(CASES[kind].outputs, picture()) for _ in range(2))
    assert (first.score, first.label, first.defects) == (second.score, second.label, second.defects)


@every_task
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_output_that_is_no_number_is_bad_input(kind: str, value: float) -> None:
    task = create(kind)
    task.prepare(picture())
    broken = {name: array.copy() for name, array in CASES[kind].outputs.items()}
    broken["y"].reshape(-1)[-1] = value
    with pytest.raises(BadInput) as refused:
        task.interpret(broken, picture())
    assert refused.value.reason == "nan_output"


@every_task
def test_a_window_for_a_model_of_pictures_is_bad_input(kind: str) -> None:
    with pytest.raises(BadInput) as refused:
        create(kind).prepare(window())
    assert refused.value.reason == "not_a_picture"


@every_task
def test_outputs_are_dequantised_by_their_specs(kind: str) -> None:
    """0.25 stored as 15 in steps of 0.025 above 5."""
    case = CASES[kind]
    task = create(kind)
    task.prepare(picture())
    wanted = task.interpret(case.outputs, picture())
    stored = {name: np.full(a.shape, 15, np.uint8) for name, a in case.outputs.items()}
    specs = tuple(TensorSpec(name, a.shape, "uint8", 0.025, 5) for name, a in stored.items())
    quantised = create_task(kind, case.postprocess, TaskContext(PICTURE_INPUT, specs))
    quantised.prepare(picture())
    found = quantised.interpret(stored, picture())
    assert found.score == pytest.approx(wanted.score, rel=1e-6)
    assert len(found.defects) == len(wanted.defects)


@every_task
def test_a_heatmap_lies_over_the_whole_picture_between_0_and_1(kind: str) -> None:
    task = create(kind)
    task.prepare(picture())
    heatmap = task.interpret(CASES[kind].outputs, picture()).heatmap
    if heatmap is not None:
        assert heatmap.dtype == np.float32
        assert heatmap.ndim == 2
        assert heatmap.min() >= 0
        assert heatmap.max() <= 1


@every_task
def test_an_output_that_the_model_does_not_have_is_a_wrong_model(kind: str) -> None:
    case = CASES[kind]
    key = {"detect": "outputs", "anomaly": "score_output"}.get(kind, "output")
    value: object = ["other"] if kind == "detect" else "other"
    with pytest.raises(ModelError, match="no such output: 'other'; there are: y"):
        create_task(
            kind,
            {**case.postprocess, key: value},
            TaskContext(PICTURE_INPUT, specs_of(case.outputs)),
        )


@every_task
def test_an_unknown_option_is_refused(kind: str) -> None:
    case = CASES[kind]
    with pytest.raises(ValidationError, match="extra"):
        create_task(
            kind,
            {**case.postprocess, "nms": 0.5},
            TaskContext(PICTURE_INPUT, specs_of(case.outputs)),
        )
