"""`evaluate`: any bundle on labelled photos or recordings, and what is printed and drawn of it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.inference.model import load_model
from edge_agent.pictures import image
from edge_agent.types import Frame, Window
from tests.tools.test_bundle_card import DRAFT
from tests.tools.test_explain import brightness
from tools import evaluate
from tools.bundling.bundle import files_sha256, write_bundle
from tools.datasets import cells
from tools.photos.photo import rectangle
from tools.scoring import localisation, merit, plots
from tools.scoring.assessment import Wanted, good_and_bad
from tools.scoring.judged import Judged, Judgement, Regions

pytestmark = pytest.mark.tflite

MODELS = Path(__file__).parents[2] / "models"
CONVEYOR = str(MODELS / "conveyor-parts")
PICTURES = 60


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return class folders of plates that training never saw."""
    folder = tmp_path_factory.mktemp("plates")
    for number, picture in enumerate(cells.pictures(range(9000, 9001), PICTURES)):
        (folder / picture.label).mkdir(exist_ok=True)
        jpeg = image.encode_jpeg(picture.pixels, 95)
        (folder / picture.label / f"{number:03}.jpg").write_bytes(jpeg)
    return folder


def rows(text: str) -> dict[str, str]:
    """Return the printed table."""
    cells_of = (line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|"))
    return {cells[0]: cells[1] for cells in cells_of if len(cells) == 2}


def test_class_folders_give_accuracy_confusion_and_what_the_limits_cost(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [CONVEYOR, "--on", str(plates), "--out", str(tmp_path / "seen")]
    assert evaluate.main([*command, "--false-reject", "0.05", "--escape", "0.05"]) == 0
    found = rows(capsys.readouterr().out)
    accuracy = float(found[f"accuracy, {PICTURES} items"].rstrip("%"))
    assert accuracy > 90
    assert float(found["accuracy of always saying the commonest class"].rstrip("%")) < 50
    assert float(found["AUROC, bad against good"]) > 0.95
    assert "FAR / MAR, score of 0.7 or more" in found
    assert "calibration error of the score as likelihood" in found
    assert any(what.startswith("fail_at for 5.000% false rejects") for what in found)
    assert any(what.startswith("fail_at for 5.000% escapes") for what in found)
    model = load_model(MODELS / "conveyor-parts", threads=1, roi=None)
    right = sum(
        evaluate.inspect(model, frame_of(path)).label == path.parent.name
        for path in sorted(plates.glob("*/*.jpg"))
    )
    assert found[f"accuracy, {PICTURES} items"] == f"{right / PICTURES:.2%}"
    names = {path.name for path in (tmp_path / "seen").iterdir()}
    wanted = {"confusion.png", "roc.png", "precision_recall.png", "scores.png", "reliability.png"}
    assert wanted <= names
    answers = (tmp_path / "seen" / "answers.csv").read_text().splitlines()
    assert len(answers) == PICTURES + 1
    missed = {
        line.split(",")[1] for line in answers[1:] if line.split(",")[1] != line.split(",")[2]
    }
    assert {name for name in names if name.startswith("misses_")} == {
        f"misses_{truth}.png" for truth in missed
    }


def frame_of(path: Path) -> Frame:
    return Frame(image.decode(path.read_bytes()), 0, 0, 0)


def test_a_corrupt_picture_is_named_and_the_others_count(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind in ("ok", "scratch"):
        (tmp_path / "two" / kind).mkdir(parents=True)
        for path in sorted((plates / kind).glob("*.jpg"))[:3]:
            (tmp_path / "two" / kind / path.name).write_bytes(path.read_bytes())
    broken = tmp_path / "two" / "ok" / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    assert evaluate.main([CONVEYOR, "--on", str(tmp_path / "two")]) == 0
    said = capsys.readouterr()
    assert "broken.jpg" in said.err
    assert "accuracy, 6 items" in rows(said.out)


def test_a_class_that_the_model_does_not_know_is_named_with_what_it_counts_as(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, kind in (("ok", "ok"), ("crack", "scratch")):
        shutil.copytree(plates / kind, tmp_path / name)
    assert evaluate.main([CONVEYOR, "--on", str(tmp_path)]) == 0
    count = len(list((tmp_path / "crack").iterdir()))
    said = capsys.readouterr().err
    assert "warning: the model knows no class crack, only " in said
    assert f"its {count} items count as wrong whatever it answers, and as bad (name it" in said
    assert "class ok" not in said
    assert evaluate.main([CONVEYOR, "--on", str(tmp_path), "--good", "ok", "crack"]) == 0
    assert "and as good" in capsys.readouterr().err


@pytest.mark.parametrize(("most", "said"), [(1.0, "none: more of the good"), (2.0, "1: FAR 0.00")])
def test_no_limit_is_named_that_no_score_reaches(most: float, said: str) -> None:
    answers = [
        Judged(f"{number}", "", truth, truth, score, "pass", last_of_group=True)
        for number, (truth, score) in enumerate([("ok", 0.1), ("ok", 1.0), ("bad", 1.0)])
    ]
    wanted = Wanted(frozenset({"ok"}), false_reject=0.0, most=most)
    found = dict(good_and_bad(Judgement(answers), wanted, fail_at=0.5))
    words = next(value for what, value in found.items() if what.startswith("fail_at for 0.000%"))
    assert words.startswith(said)


def test_marks_of_photos_tell_how_often_the_model_points_at_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(4):
        pixels = np.full((60, 80, 3), 30, np.uint8)
        pixels[20:30, 40:50] = 250  # what the model finds strange
        (photos / f"{number}.png").write_bytes(png(pixels))
        left = 38 if number else 5  # and what is outlined: in one photo something else
        points = [[left, 18], [left + 14, 18], [left + 14, 32], [left, 32]]
        shapes = [{"label": "dent", "points": points, "shape_type": "polygon"}]
        label = {"imageWidth": 80, "imageHeight": 60, "imagePath": f"{number}.png"}
        (photos / f"{number}.json").write_text(json.dumps(label | {"shapes": shapes}))
    assert evaluate.main([str(brightness(tmp_path / "bundle")), "--on", str(photos)]) == 0
    found = rows(capsys.readouterr().out)
    assert found["best region lies on a mark, 4 of 4 marked photos"] == "75.0%"


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def test_boxes_are_held_against_marks() -> None:
    marks = (rectangle("dent", 0.1, 0.1, 0.3, 0.3), rectangle("scratch", 0.5, 0.5, 0.9, 0.9))
    boxes = np.array([[0.1, 0.1, 0.3, 0.32, 0.9], [0.5, 0.5, 0.6, 0.6, 0.4]])
    found = dict(localisation.figures([Regions(boxes, ("dent", "scratch"), marks)], boxes=True))
    assert found["best region lies on a mark, 1 of 1 marked photos"] == "100.0%"
    assert found["average precision of boxes, dent, overlap 0.5"] == "1.0000"
    assert found["average precision of boxes, scratch, overlap 0.5"] == "0.0000"
    assert found["the same, mean of 2 labels"] == "0.5000"
    assert found["F1 of all boxes that are reported"] == "0.500"
    astray = Regions(np.array([[0.4, 0.1, 0.45, 0.2, 0.9]]), ("?",), marks)
    assert dict(localisation.figures([astray], boxes=False)) == {
        "best region lies on a mark, 1 of 1 marked photos": "0.0%"
    }
    assert not list(localisation.figures([Regions(boxes, ("a", "b"), ())], boxes=True))


@pytest.mark.parametrize(
    ("folder", "sentence"), [("nowhere", "is no folder"), ("empty", "no photos with labels")]
)
def test_a_folder_without_labelled_photos_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    assert evaluate.main([CONVEYOR, "--on", str(tmp_path / folder)]) == 1
    assert sentence in capsys.readouterr().err


def test_figures_on_the_data_of_the_training_are_said_to_flatter(
    plates: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = load_model(MODELS / "conveyor-parts", threads=1, roi=None).bundle
    manifest = shipped.manifest
    own = dataclasses.replace(
        DRAFT,
        model=shipped.model,
        labels=shipped.labels,
        task=manifest.task.model_dump(mode="json"),
        decision={"rule": manifest.decision.rule.model_dump(mode="json")},
        golden=[],
        source={"data_sha256": files_sha256(plates, plates.glob("*/*.jpg"))},
    )
    write_bundle(tmp_path / "own", own)
    assert evaluate.main([str(tmp_path / "own"), "--on", str(plates)]) == 0
    assert "the very data that the model was made from" in capsys.readouterr().err


def recording(path: Path, channels: tuple[str, ...], engines: int = 3, cycles: int = 60) -> None:
    """Write a CSV of engines that wear, with their remaining life and a label."""
    rng = np.random.default_rng(3)
    lines = [",".join(["engine", *channels, "life", "state"])]
    for engine in range(engines):
        for cycle in range(cycles):
            values = 600 + rng.standard_normal(len(channels)) + cycle / 10
            state = "worn" if cycle > 40 else "ok"
            numbers = ",".join(f"{value:.4f}" for value in values)
            lines.append(f"e{engine},{numbers},{cycles - cycle},{state}")
    path.write_text("\n".join(lines) + "\n")


def test_a_recording_gives_rmse_and_nasa_score_beside_the_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_model(MODELS / "turbofan-rul", threads=1, roi=None)
    shape = evaluate.window_shape(model)
    recording(tmp_path / "engines.csv", shape.channels)
    command = [str(MODELS / "turbofan-rul"), "--on", str(tmp_path / "engines.csv")]
    command += ["--unit", "engine", "--target", "life", "--ignore", "state"]
    assert evaluate.main([*command, "--out", str(tmp_path / "seen")]) == 0
    found = rows(capsys.readouterr().out)
    table = np.genfromtxt(
        tmp_path / "engines.csv", delimiter=",", skip_header=1, usecols=range(1, 15)
    )
    errors = []
    for engine in range(3):
        samples = table[engine * 60 : engine * 60 + 60].astype(np.float32)
        for cycle in range(60):
            first = max(0, cycle - 49)
            part = samples[first : cycle + 1]
            padded = np.concatenate([np.repeat(part[:1], 50 - len(part), axis=0), part])
            window = Window(
                padded, shape.channels, 1.0, 0, 0, cycle, series=engine, first_sample=cycle - 49
            )
            errors.append(evaluate.inspect(model, window).score - (60 - cycle))
    wanted = np.array(errors)
    assert found["RMSE, all items (180)"] == f"{merit.rmse(wanted):.4g}"
    assert found["NASA score, all items"] == f"{merit.nasa_score(wanted):.0f}"
    last = wanted[59::60]
    assert found["RMSE, last of each machine (3)"] == f"{merit.rmse(last):.4g}"
    assert "RMSE of always saying their mean, all items" in found
    assert (tmp_path / "seen" / "predicted_and_true.png").exists()


def test_a_recording_with_labels_gives_false_and_missed_alarms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = evaluate.window_shape(load_model(MODELS / "turbofan-rul", threads=1, roi=None))
    recording(tmp_path / "engines.csv", shape.channels)
    tree = {"kind": "anomaly", "preprocess": shape.model_dump(mode="json")}
    tree["postprocess"] = {"form": "score"}
    rule = {"kind": "k_of_n", "fail_at": 0.5, "k": 2, "n": 3}
    own = dataclasses.replace(DRAFT, task=tree, decision={"rule": rule}, golden=[])
    write_bundle(tmp_path / "own", own)
    command = [str(tmp_path / "own"), "--on", str(tmp_path / "engines.csv"), "--unit", "engine"]
    command += ["--label", "state", "--ignore", "life", "--false-reject", "0.1"]
    assert evaluate.main([*command, "--out", str(tmp_path / "seen")]) == 0
    found = rows(capsys.readouterr().out)
    assert found["items, good / bad"] == "123 / 57"
    assert found["F1 of flagging everything"] == f"{2 * 57 / (57 + 180):.3f}"
    assert "FAR / MAR, score of 0.5 or more" in found
    assert (tmp_path / "seen" / "roc.png").exists()


def test_a_channel_that_the_recording_lacks_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording(tmp_path / "engines.csv", ("s2", "s3", "s4"))
    command = [str(MODELS / "turbofan-rul"), "--on", str(tmp_path / "engines.csv")]
    assert evaluate.main([*command, "--unit", "engine", "--target", "life"]) == 1
    assert "no column s7" in capsys.readouterr().err


def test_a_recording_without_a_truth_is_asked_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = evaluate.window_shape(load_model(MODELS / "turbofan-rul", threads=1, roi=None))
    recording(tmp_path / "engines.csv", shape.channels)
    command = [str(MODELS / "turbofan-rul"), "--on", str(tmp_path / "engines.csv")]
    assert evaluate.main([*command, "--unit", "engine"]) == 1
    assert "--target or --label" in capsys.readouterr().err


def test_plots_are_pictures_and_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    axes = plots.Axes("a", "x", "y")
    line = plots.Curve(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.9, 1.0]), "über")
    for name in ("one.png", "two.png"):
        plots.save(tmp_path / name, plots.curves(axes, [line], [(0.5, "limit")]))
    content = (tmp_path / "one.png").read_bytes()
    assert content == (tmp_path / "two.png").read_bytes()
    assert image.decode(content).shape == (plots.HEIGHT, plots.WIDTH, 3)


def test_a_confusion_matrix_of_many_classes_and_an_empty_sheet_can_be_drawn() -> None:
    many = [f"class-{number}" for number in range(30)]
    assert plots.matrix("m", many, np.eye(30, dtype=np.int64)).ndim == 3
    assert plots.sheet("none", []).ndim == 3
    flat = plots.trace(np.zeros((5, 2), np.float32), ("a", "b"))
    assert flat.shape == (300, 440, 3)


def test_a_model_that_is_not_shipped_is_not_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        evaluate.main(["no-such-model"])
    assert "turbofan-rul" in capsys.readouterr().err
