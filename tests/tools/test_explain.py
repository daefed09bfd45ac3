"""`explain`: hiding what a score hangs on moves it, and the PNG shows where that was."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.inference.model import Model, load_model
from edge_agent.pictures import image
from edge_agent.types import Frame, Window
from tests.tiny_onnx import identity_model
from tests.tools.test_bundle_card import DRAFT
from tools import evaluate, explain
from tools.bundling.bundle import write_bundle
from tools.datasets import cells

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODELS = Path(__file__).parents[2] / "models"

pytestmark = pytest.mark.tflite


def load(model_id: str) -> Model:
    return load_model(MODELS / model_id, threads=1, roi=None)


@pytest.fixture(scope="module")
def conveyor() -> Model:
    return load("conveyor-parts")


@pytest.fixture(scope="module")
def scratched(conveyor: Model) -> Frame:
    """Return a plate with a defect that the model is sure of."""
    for picture in cells.pictures(range(9000, 9001), 60):
        frame = cells.frame(picture)
        sure = evaluate.inspect(conveyor, frame).score > 0.95
        if picture.label == "scratch" and picture.severity > 0.4 and sure:
            return frame
    pytest.fail("no such plate")


def bearing() -> tuple[Model, Window]:
    model = load("motor-bearing")
    for block, window in cells.vibrations(range(9000, 9100), 40, evaluate.window_shape(model)):
        if block.severity > 0.5 and evaluate.inspect(model, window).score > 0.95:
            return model, window
    pytest.fail("no such motor")


def pixels(path: Path) -> NDArray[np.uint8]:
    return image.decode(path.read_bytes())


def test_a_score_hangs_on_the_patch_that_the_model_finds_strange(tmp_path: Path) -> None:
    model = load_model(brightness(tmp_path / "brightness"), threads=1, roi=None)
    pixels = np.full((240, 320, 3), 40, np.uint8)
    pixels[150:180, 60:90] = 250
    found = explain.of_picture(model, Frame(pixels, 0, 0, 0), 16)
    assert found.parts.shape == (12, 16)
    row, column = divmod(int(found.parts.argmax()), 16)
    assert (row, column) in {(8, 3), (7, 3), (8, 4)}
    assert found.parts.max() > 0.15
    far = np.abs(found.parts[:5]).max()
    assert far == pytest.approx(0.0, abs=1e-6)
    shown = explain.drawn_picture(Frame(pixels, 0, 0, 0), found)[:, 328:]
    assert (shown[:60] == 40).all()
    assert (shown[150:180, 60:90] != 250).any()


def brightness(folder: Path) -> Path:
    """Write a bundle whose score is the brightest pixel, 0 to 1."""
    model = identity_model(1, 60, 80, 1)
    task = {
        "kind": "anomaly",
        "preprocess": {"kind": "image", "color": "gray", "interpolation": "area"},
        "postprocess": {"form": "map", "reduce": "max", "map_threshold": 0.5},
    }
    draft = dataclasses.replace(
        DRAFT,
        runtime="onnx",
        model=model,
        task=task,
        decision={"rule": {"kind": "threshold", "fail_at": 0.5}},
        golden=[{"x": np.zeros((1, 60, 80, 1), np.float32)}],
    )
    write_bundle(folder, draft)
    return folder


def test_a_picture_and_its_explanation_stand_side_by_side(
    conveyor: Model, scratched: Frame, tmp_path: Path
) -> None:
    words = explain.write(conveyor, scratched, tmp_path / "why.png", 6)
    height, width = scratched.pixels.shape[:2]
    assert pixels(tmp_path / "why.png").shape == (height, 2 * width + 8, 3)
    assert "score 0.9" in words or "score 1" in words


def test_the_channels_of_a_window_share_in_its_score() -> None:
    model, window = bearing()
    found = explain.of_window(model, window, 4)
    assert found.channels.shape == (2,)
    assert found.parts.shape == (4, 2)
    assert found.channels.max() > 0.3
    channel = int(found.channels.argmax())
    kept = window.samples.copy()
    kept[:, channel] = kept[:, channel].mean()
    alone = Window(kept, window.channels, window.rate_hz, 0, 0, 0, series=77)
    assert evaluate.inspect(model, alone).score == pytest.approx(
        found.score - found.channels[channel], abs=1e-6
    )


def test_a_model_that_remembers_a_series_sees_each_hidden_window_afresh() -> None:
    model = load("turbofan-rul")
    shape = evaluate.window_shape(model)
    rng = np.random.default_rng(0)
    tree = json.loads(shape.model_dump_json())
    mean, std = (np.array(tree["features"][0][name]) for name in ("mean", "std"))
    # As worn as the engines are at the end: there the model looks closest.
    worn = np.array([1, 1, 1, -1, 1, 1, 1, -1, 1, 1, 1, 1, -1, -1]) * np.linspace(0, 2, 50)[:, None]
    noise = rng.standard_normal((shape.samples, 14))
    samples = (mean + std * (worn + 0.5 * noise)).astype(np.float32)
    window = Window(samples, shape.channels, shape.rate_hz, 0, 0, 0, series=5)
    found = explain.of_window(model, window, 2)
    assert np.count_nonzero(found.channels) > 7


def test_evidence_that_fails_gets_its_explanation_beside_it_once(
    conveyor: Model, scratched: Frame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = next(
        cells.frame(picture)
        for picture in cells.pictures(range(9000, 9001), 60)
        if evaluate.inspect(conveyor, cells.frame(picture)).score < 0.1
    )
    for name, frame in (("bad", scratched), ("good", good)):
        jpeg = image.encode_jpeg(frame.pixels, 95)
        (tmp_path / f"{name}.raw.jpg").write_bytes(jpeg)
        (tmp_path / f"{name}.jpg").write_bytes(jpeg)
    arguments = [str(MODELS / "conveyor-parts"), "--evidence", str(tmp_path), "--patches", "5"]
    assert explain.main(arguments) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {"bad.why.png"}
    assert "1 explained" in capsys.readouterr().out
    assert explain.main(arguments) == 0
    assert "0 explained" in capsys.readouterr().out


def test_a_window_that_was_kept_as_evidence_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, window = bearing()
    path = tmp_path / "w.npz"
    channels = np.array(window.channels)
    np.savez(path, samples=window.samples, channels=channels, rate_hz=window.rate_hz)
    assert explain.main([str(MODELS / "motor-bearing"), str(path)]) == 0
    assert "without accel_" in capsys.readouterr().out
    assert pixels(tmp_path / "w.why.png").shape[1] == 640


@pytest.mark.parametrize("content", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut"])
def test_what_is_no_picture_is_said_to_be_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    assert explain.main([str(MODELS / "conveyor-parts"), str(tmp_path / "x.jpg")]) == 1
    assert "error:" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.png"))


def test_a_file_without_samples_is_no_window(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", other=np.zeros(3))
    assert explain.main([str(MODELS / "motor-bearing"), str(tmp_path / "x.npz")]) == 1
    assert "x.npz" in capsys.readouterr().err


def test_the_same_item_is_explained_by_the_same_bytes(tmp_path: Path) -> None:
    model, window = bearing()
    for name in ("a.png", "b.png"):
        explain.write(model, window, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
