"""Tasks that say where: detect, segment, and anomaly with a map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_agent.errors import ModelError
from edge_agent.pictures import boxes
from edge_agent.tasks.base import TaskContext
from edge_agent.types import Defect, Prediction, TensorSpec
from tests.test_task_contract import PICTURE, PICTURE_INPUT, create_task, picture, specs_of

Outputs = dict[str, np.ndarray]
LABELS = ("scratch", "dent", "screw")


def interpret(
    kind: str,
    given: Outputs,
    labels: tuple[str, ...] = LABELS,
    roi: tuple[int, int, int, int] | None = None,
    resize: str = "stretch",
    **postprocess: Any,
) -> Prediction:
    context = TaskContext(PICTURE_INPUT, specs_of(given), labels, roi)
    task = create_task(kind, postprocess, context, {**PICTURE, "resize": resize})
    item = picture(64, 48)
    task.prepare(item)
    return task.interpret(given, item)


def yolo_v5(*rows: tuple[float, ...]) -> Outputs:
    """Rows: centre x and y, width, height, objectness, a score per class."""
    return {"y": np.array([rows], np.float32)}


def yolo_v8(*rows: tuple[float, ...]) -> Outputs:
    """Rows: centre x and y, width, height, a score per class."""
    return {"y": np.array([rows], np.float32).transpose(0, 2, 1).copy()}


def ssd(*rows: tuple[float, ...], count: int | None = None) -> Outputs:
    """Rows: top, left, bottom, right, class, score."""
    table = np.array([rows], np.float32).reshape(1, -1, 6)
    return {
        "boxes": table[:, :, :4],
        "classes": table[:, :, 4],
        "scores": table[:, :, 5],
        "count": np.array([len(rows) if count is None else count], np.float32),
    }


def place(defect: Defect) -> tuple[float, ...]:
    return tuple(round(number, 3) for number in (defect.x, defect.y, defect.w, defect.h))


def test_boxes_of_an_ssd_lie_in_pixels_of_the_picture() -> None:
    outputs = ssd((0.25, 0.5, 0.75, 1.0, 1, 0.8), (0.0, 0.0, 0.5, 0.25, 0, 0.9))
    found = interpret("detect", outputs, decoder="ssd_postprocess")
    assert [(d.label, round(d.score, 3), place(d)) for d in found.defects] == [
        ("scratch", 0.9, (0, 0, 16, 24)),
        ("dent", 0.8, (32, 12, 32, 24)),
    ]
    assert (round(found.score, 3), found.label) == (0.9, "scratch")


def test_what_an_ssd_does_not_count_is_not_read() -> None:
    outputs = ssd((0, 0, 1, 1, 0, 0.9), (0, 0, 1, 1, 0, 0.99), (0, np.nan, 1, 1, 0, 0.9), count=1)
    assert len(interpret("detect", outputs, decoder="ssd_postprocess").defects) == 1


def test_the_outputs_of_an_ssd_can_be_named_in_another_order() -> None:
    outputs = ssd((0.0, 0.0, 0.5, 0.25, 0, 0.9))
    shuffled = {name: outputs[name] for name in ("scores", "boxes", "count", "classes")}
    with pytest.raises(ModelError, match="boxes, classes, scores, count cannot be scores"):
        interpret("detect", shuffled, decoder="ssd_postprocess")
    names = ["boxes", "classes", "scores", "count"]
    found = interpret("detect", shuffled, decoder="ssd_postprocess", outputs=names)
    assert place(found.defects[0]) == (0, 0, 16, 24)


@pytest.mark.parametrize(("offset", "label"), [(0, "dent"), (1, "screw"), (-1, "scratch")])
def test_labels_may_count_a_background(offset: int, label: str) -> None:
    outputs = ssd((0, 0, 1, 1, 1, 0.9))
    found = interpret("detect", outputs, decoder="ssd_postprocess", label_offset=offset)
    assert found.label == label


def test_a_class_beyond_the_labels_is_named_by_its_number() -> None:
    assert interpret("detect", ssd((0, 0, 1, 1, 7, 0.9)), decoder="ssd_postprocess").label == "7"


def test_a_picture_without_boxes_scores_0() -> None:
    for outputs, decoder in (
        (ssd(count=0), "ssd_postprocess"),
        (yolo_v5((16, 16, 8, 8, 0.1, 1, 0, 0)), "yolo_v5"),
        (yolo_v8((16, 16, 8, 8, 0.1, 0, 0)), "yolo_v8"),
    ):
        found = interpret("detect", outputs, decoder=decoder)
        assert (found.score, found.label, found.defects) == (0.0, "", ())


@pytest.mark.parametrize("decoder", ["yolo_v5", "yolo_v8"])
def test_a_yolo_head_becomes_boxes_of_the_picture(decoder: str) -> None:
    """The input is 32 x 32 for a picture of 64 x 48."""
    outputs = (
        yolo_v5((16, 8, 8, 4, 0.9, 0.1, 0.5, 0.2), (4, 4, 2, 2, 0.2, 1, 1, 1))
        if decoder == "yolo_v5"
        else yolo_v8((16, 8, 8, 4, 0.1, 0.45, 0.2), (4, 4, 2, 2, 0.2, 0.2, 0.2))
    )
    found = interpret("detect", outputs, decoder=decoder)
    assert [(d.label, round(d.score, 3), place(d)) for d in found.defects] == [
        ("dent", 0.45, (24, 9, 16, 6))
    ]


@pytest.mark.parametrize("decoder", ["yolo_v5", "yolo_v8"])
def test_boxes_relative_to_the_input_and_scores_as_logits(decoder: str) -> None:
    outputs = (
        yolo_v5((0.5, 0.25, 0.25, 0.125, 2.0, -9, 1.0, -9))
        if decoder == "yolo_v5"
        else yolo_v8((0.5, 0.25, 0.25, 0.125, -9, 1.0, -9))
    )
    found = interpret("detect", outputs, decoder=decoder, box_unit="relative", activation="sigmoid")
    score = 0.731059 * (0.880797 if decoder == "yolo_v5" else 1.0)
    assert place(found.defects[0]) == (24, 9, 16, 6)
    assert found.score == pytest.approx(score, abs=1e-5)


def test_boxes_find_their_way_back_through_letterbox_and_region_of_interest() -> None:
    """Region 40 x 20 at (10, 5) in an input of 32 x 32: scale 0.8, 8 rows of padding."""
    outputs = yolo_v8((16, 16, 16, 8, 0.9, 0, 0))
    found = interpret("detect", outputs, roi=(10, 5, 40, 20), resize="letterbox", decoder="yolo_v8")
    assert place(found.defects[0]) == (20, 10, 20, 10)


def test_a_box_in_the_padding_is_no_defect() -> None:
    """The picture begins at row 4 of the input."""
    outputs = yolo_v8((16, 2, 16, 3, 0.9, 0, 0), (16, 3, 8, 2, 0.8, 0, 0))
    assert not interpret("detect", outputs, resize="letterbox", decoder="yolo_v8").defects


def test_normal_labels_are_no_defects() -> None:
    outputs = yolo_v8((16, 16, 8, 8, 0.1, 0.1, 0.9), (8, 8, 8, 8, 0.5, 0, 0))
    found = interpret("detect", outputs, decoder="yolo_v8", normal=["screw"])
    assert [d.label for d in found.defects] == ["scratch"]
    assert found.score == pytest.approx(0.5)
    with pytest.raises(ModelError, match="no such label: 'nail'"):
        interpret("detect", outputs, decoder="yolo_v8", normal=["nail"])


def test_of_boxes_that_overlap_in_one_class_the_best_stays() -> None:
    outputs = yolo_v8(
        (10, 10, 8, 8, 0.6, 0, 0),
        (11, 10, 8, 8, 0.9, 0, 0),  # over the first: intersection over union 0.78
        (11, 10, 8, 8, 0, 0.7, 0),  # another class in the same place
        (24, 24, 8, 8, 0.5, 0, 0),
    )
    found = interpret("detect", outputs, decoder="yolo_v8")
    assert [(d.label, round(d.score, 2)) for d in found.defects] == [
        ("scratch", 0.9), ("dent", 0.7), ("scratch", 0.5)
    ]  # fmt: skip
    assert len(interpret("detect", outputs, decoder="yolo_v8", iou=0.8).defects) == 4
    assert len(interpret("detect", outputs, decoder="yolo_v8", max_detections=2).defects) == 2


@pytest.mark.parametrize(
    ("decoder", "said"), [("ssd_postprocess", "needs boxes, classes"), ("yolo_v8", "cannot be y")]
)
def test_a_model_with_other_outputs_than_the_decoder_needs_is_refused(
    decoder: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        interpret("detect", {"y": np.zeros((1, 5), np.float32)}, decoder=decoder)


def test_suppression_agrees_with_its_definition_on_random_boxes() -> None:
    """Against the definition, box by box, in plain Python."""
    random = np.random.default_rng(5)
    corner, size = random.uniform(0, 60, (200, 2)), random.uniform(5, 40, (200, 2))
    places = np.concatenate([corner, corner + size], axis=1)
    scores, classes = random.random(200), random.integers(0, 3, 200)
    kept: list[int] = []
    for index in np.argsort(-scores):
        rivals = [k for k in kept if classes[k] == classes[index]]
        if all(_iou(places[k], places[index]) <= 0.4 for k in rivals):
            kept.append(int(index))
    found = boxes.suppress(places, scores, classes, 0.4, 1000)
    assert found.tolist() == kept
    assert boxes.suppress(places, scores, classes, 0.4, 7).tolist() == kept[:7]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))


def test_boxes_without_area_do_not_divide_by_zero() -> None:
    points = np.array([[5.0, 5, 5, 5], [5, 5, 5, 5]])
    kept = boxes.suppress(points, np.array([0.5, 0.6]), np.array([0, 0]), 0.5, 10)
    assert kept.tolist() == [1, 0]


def planes(*filled: tuple[int, int, int, int, int, float], classes: int = 1) -> np.ndarray:
    """Return [1, 16, 16, classes]; filled: class, left, top, width, height, value."""
    values = np.zeros((1, 16, 16, classes), np.float32)
    for index, left, top, width, height, value in filled:
        values[0, top : top + height, left : left + width, index] = value
    return values


def test_a_mask_becomes_regions_in_pixels_of_the_picture() -> None:
    """16 x 16 cells over 64 x 48 pixels: a cell is 4 x 3 pixels."""
    mask = planes((0, 2, 3, 4, 2, 0.9), (0, 10, 10, 2, 2, 0.6), (0, 14, 1, 1, 1, 0.4))
    found = interpret("segment", {"y": mask}, ("good", "stain"))
    assert [(d.label, round(d.score, 3), place(d)) for d in found.defects] == [
        ("stain", 0.9, (8, 9, 16, 6)),
        ("stain", 0.6, (40, 30, 8, 6)),
    ]
    assert (round(found.score, 3), found.label) == (0.9, "stain")
    np.testing.assert_array_equal(found.heatmap, mask[0, :, :, 0])


def test_regions_smaller_than_the_least_area_are_not_reported() -> None:
    """The least area is in pixels of the picture: 8 cells are 96 of them, 4 are 48."""
    mask = planes((0, 2, 3, 4, 2, 0.9), (0, 10, 10, 2, 2, 0.99))
    assert len(interpret("segment", {"y": mask}, (), min_area=48.0).defects) == 2
    found = interpret("segment", {"y": mask}, (), min_area=49.0)
    assert [round(d.score, 2) for d in found.defects] == [0.9]
    assert found.score == pytest.approx(0.9)
    assert interpret("segment", {"y": mask}, (), max_regions=1).score == pytest.approx(0.99)


def test_each_class_has_regions_of_its_own_and_normal_ones_have_none() -> None:
    logits = planes((0, 0, 0, 16, 16, 5.0), (1, 2, 2, 3, 3, 9.0), (2, 9, 9, 2, 2, 9.0), classes=3)
    found = interpret(
        "segment",
        {"y": logits},
        ("background", "scratch", "dent"),
        activation="softmax",
        normal=["background"],
    )
    assert {(d.label, place(d)) for d in found.defects} == {
        ("scratch", (8, 6, 12, 9)), ("dent", (36, 27, 8, 6))
    }  # fmt: skip
    assert found.score == pytest.approx(1 / (1 + np.exp(-4.0) + np.exp(-9.0)), rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 16, 16, 1)])
def test_a_map_of_labels_becomes_regions(shape: tuple[int, ...]) -> None:
    classes = np.zeros(shape, np.int64)
    classes[0, 4:8, 4:8] = 2
    classes[0, 0:2, 0:2] = 1
    labels = ("background", "scratch", "dent")
    found = interpret("segment", {"y": classes}, labels, form="label_map", normal=["background"])
    assert [(d.label, d.score) for d in found.defects] == [("scratch", 1.0), ("dent", 1.0)]
    nothing = interpret(
        "segment", {"y": classes * 0}, labels, form="label_map", normal=["background"]
    )
    assert (nothing.score, nothing.defects) == (0.0, ())
    assert nothing.heatmap is not None
    assert not nothing.heatmap.any()


def test_a_mask_has_its_channels_where_the_input_has_them() -> None:
    mask = planes((1, 2, 3, 4, 2, 0.9), classes=2).transpose(0, 3, 1, 2).copy()
    inputs = (TensorSpec("x", (1, 3, 32, 32), "float32"),)
    context = TaskContext(inputs, specs_of({"y": mask}), ("good", "stain"))
    task = create_task("segment", {"normal": ["good"]}, context)
    found = task.interpret({"y": mask}, picture(64, 48))
    assert [(d.label, place(d)) for d in found.defects] == [("stain", (8, 9, 16, 6))]


def test_a_mask_of_a_region_of_interest_lies_there_in_the_picture() -> None:
    mask = planes((0, 0, 0, 8, 16, 0.9))
    found = interpret("segment", {"y": mask}, (), roi=(32, 16, 16, 32))
    assert place(found.defects[0]) == (32, 16, 8, 32)
    heatmap = found.heatmap
    assert heatmap is not None
    rows, columns = np.nonzero(heatmap > 0.5)
    assert (columns.min() / heatmap.shape[1], rows.min() / heatmap.shape[0]) == (32 / 64, 16 / 48)
    assert (columns.max() + 1) / heatmap.shape[1] == pytest.approx(40 / 64)


def test_the_padding_of_a_letterbox_has_no_regions() -> None:
    mask = planes((0, 0, 0, 16, 16, 0.9))
    found = interpret("segment", {"y": mask}, (), resize="letterbox")
    assert [place(d) for d in found.defects] == [(0, 0, 64, 48)]


@pytest.mark.parametrize(
    ("shape", "said"), [((1, 5), "is no mask"), ((1, 8, 8, 2), "2 classes, the labels are 3")]
)
def test_an_output_that_is_no_such_mask_is_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        interpret("segment", {"y": np.zeros(shape, np.float32)})


def test_an_anomaly_map_gives_score_heatmap_and_regions() -> None:
    """Threshold 4.0 in the map is 0.5 in the heatmap; the score is 1 at normal_score."""
    values = planes((0, 2, 3, 4, 2, 6.0), (0, 10, 10, 2, 2, 3.9)) + np.float32(1.0) * 0
    found = interpret(
        "anomaly", {"y": values}, form="map", reduce="max", map_threshold=4.0, normal_score=5.0
    )
    assert found.score == pytest.approx(1.2)
    assert [(d.label, d.score, place(d)) for d in found.defects] == [
        ("anomaly", 0.75, (8, 9, 16, 6))
    ]
    np.testing.assert_allclose(found.heatmap, values[0, :, :, 0] / 8)  # type: ignore[arg-type]


def test_without_a_threshold_for_the_map_there_are_no_regions() -> None:
    values = planes((0, 2, 3, 4, 2, 0.6))
    found = interpret("anomaly", {"y": values}, form="map", reduce="mean")
    assert found.defects == ()
    assert found.score == pytest.approx(0.6 * 8 / 256)


def test_a_picture_that_is_not_reconstructed_shows_where() -> None:
    item = picture(64, 48)
    item.pixels[9:15, 8:24] = 200
    outputs = {"y": np.zeros((1, 32, 32, 3), np.float32)}
    task = create_task(
        "anomaly",
        {"form": "reconstruction", "error": "absolute", "map_threshold": 90.0},
        TaskContext(PICTURE_INPUT, specs_of(outputs)),
    )
    task.prepare(item)
    found = task.interpret(outputs, item)
    assert [place(d) for d in found.defects] == [(8, 9, 16, 6)]
    assert found.score == pytest.approx(200 * 8 * 4 / 32**2, rel=0.02)
    assert found.label == "anomaly"


def test_an_output_of_another_size_is_no_reconstruction() -> None:
    outputs = {"y": np.zeros((1, 16, 16, 3), np.float32)}
    task = create_task(
        "anomaly", {"form": "reconstruction"}, TaskContext(PICTURE_INPUT, specs_of(outputs))
    )
    task.prepare(picture())
    with pytest.raises(ModelError, match="no reconstruction"):
        task.interpret(outputs, picture())
