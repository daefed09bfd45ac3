"""What is measured on: real photos and published models, or this project's own where they lack."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.cell.conveyor import Conveyor
from edge_agent.pictures.image import encode_jpeg

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
PICTURES = 60
WINDOW_ROWS, WINDOW_CHANNELS = 64, 10


@dataclass(frozen=True, slots=True)
class PictureModel:
    """A bundle, and what the bare loop must know of it."""

    bundle: Path
    file: Path
    mean: float
    std: float
    interpolation: str


@dataclass(frozen=True, slots=True)
class SensorModel:
    """A bundle that takes windows, and their shape."""

    bundle: Path
    channels: tuple[str, ...]
    hop: int


@dataclass(frozen=True, slots=True)
class Material:
    """All of it; `words` say what it is."""

    words: str
    pictures: list[Path]
    mobilenet: PictureModel
    vww: PictureModel
    rows: SensorModel
    blocks: SensorModel


def gather(folder: Path, shared: Path) -> Material:
    """Write bundles, and pictures where there are none, below `folder`."""
    photos = sorted((shared / "bsdata" / "images").glob("*crop_2.jpg"))[:PICTURES]
    if not photos:
        return _own(folder)
    mobilenet = _picture_model(
        folder / "mobilenet-v2",
        shared / "third_party_models" / "mobilenet_v2_1.0_224_quant.tflite",
        mean=128.0,
        std=128.0,
    )
    vww = _picture_model(
        folder / "vww-96",
        shared / "mlperf_tiny" / "models" / "vww_96_int8.tflite",
        mean=0.0,
        std=255.0,
    )
    rows = _anomaly_model(folder / "ad01", shared / "mlperf_tiny" / "models" / "ad01_int8.tflite")
    words = (
        f"{len(photos)} photos of ball screws (JPEG 1130x460), MobileNet v2 224 uint8, "
        "visual wake words 96 int8, ad01 int8 on windows of 64x10, motor-bearing"
    )
    return Material(words, photos, mobilenet, vww, rows, _shipped_sensor_model("motor-bearing"))


def _own(folder: Path) -> Material:
    folder.mkdir(parents=True, exist_ok=True)
    cell = Conveyor(seed=1)
    pictures = []
    for index in range(PICTURES):
        pictures.append(folder / f"{index:03}.jpg")
        pictures[-1].write_bytes(encode_jpeg(cell.picture(index).pixels))
    model = _shipped_picture_model("conveyor-parts")
    sensor = _shipped_sensor_model("motor-bearing")
    words = (
        "../shared/data is absent: pictures of the simulated conveyor with conveyor-parts in place "
        "of both picture models, motor-bearing for sensors"
    )
    return Material(words, pictures, model, model, sensor, sensor)


def _picture_model(folder: Path, model: Path, *, mean: float, std: float) -> PictureModel:
    preprocess = {"kind": "image", "mean": [mean], "std": [std]}
    _write_bundle(folder, model.read_bytes(), {"kind": "classify", "preprocess": preprocess})
    return PictureModel(folder, folder / "model.tflite", mean, std, "linear")


def _anomaly_model(folder: Path, model: Path) -> SensorModel:
    channels = tuple(f"c{number}" for number in range(WINDOW_CHANNELS))
    preprocess = {
        "kind": "window",
        "channels": channels,
        "samples": WINDOW_ROWS,
        "hop": WINDOW_ROWS,
        "rate_hz": 100.0,
    }
    task = {
        "kind": "anomaly",
        "preprocess": preprocess,
        "postprocess": {"form": "reconstruction"},
    }
    _write_bundle(folder, model.read_bytes(), task)
    return SensorModel(folder, channels, WINDOW_ROWS)


def _shipped_picture_model(name: str) -> PictureModel:
    manifest = _manifest(name)
    preprocess = manifest["task"]["preprocess"]
    return PictureModel(
        MODELS / name,
        MODELS / name / _model_file(manifest),
        preprocess["mean"][0],
        preprocess["std"][0],
        preprocess["interpolation"],
    )


def _shipped_sensor_model(name: str) -> SensorModel:
    preprocess = _manifest(name)["task"]["preprocess"]
    return SensorModel(MODELS / name, tuple(preprocess["channels"]), preprocess["hop"])


def _manifest(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((MODELS / name / "manifest.json").read_text())
    return tree


def _model_file(manifest: dict[str, Any]) -> str:
    files = manifest["variants"][0]["files"]
    return next(str(file["path"]) for file in files if file["role"] == "model")


def _write_bundle(folder: Path, model: bytes, task: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.tflite").write_bytes(model)
    digest = hashlib.sha256(model).hexdigest()
    file = {"path": "model.tflite", "role": "model", "sha256": digest, "length": len(model)}
    manifest = {
        "schema": 1,
        "model_id": folder.name,
        "version": "1.0.0",
        "seq": 1,
        "license": {"spdx": "Apache-2.0"},
        "variants": [{"id": "cpu", "runtime": "tflite", "precision": "int8", "files": [file]}],
        "task": task,
        "decision": {"rule": {"kind": "threshold", "fail_at": 2.0}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
