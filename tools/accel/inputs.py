"""Real inputs for each model, as the agent would prepare them, and how far answers may differ."""

from __future__ import annotations

import itertools
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.inference.model import load_model
from edge_agent.inference.quantisation import dequantise
from edge_agent.pictures import image
from tools import ballscrew, cells, cmapss
from tools.evaluate import window_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.model import Model
    from edge_agent.types import Item, Tensors, TensorSpec

MODELS = Path(__file__).parents[2] / "models"
SHIPPED = ("conveyor-parts", "motor-bearing", "ballscrew-pitting", "ballscrew-good", "turbofan-rul")
# How far a probability of a published model may be from the CPU's; they come without a manifest.
PUBLISHED_TOLERANCE = 0.1
VWW_SIZE = 96  # this one was trained on 0..1, ResNet on 0..255


@dataclass(frozen=True, slots=True)
class Subject:
    """A model with inputs for it. `truths`: the right class of each input, where it is known.

    `tolerance`: in the unit of the answers; `judged`: the outputs that count, () for all.
    """

    name: str
    model: bytes
    inputs: Sequence[Tensors]
    tolerance: float
    what: str
    truths: tuple[int, ...] = ()
    judged: tuple[int, ...] = ()


def subjects(data: Path, count: int) -> Iterator[Subject]:
    """Yield every model with at most `count` inputs."""
    for name in SHIPPED:
        yield shipped(name, data, count)
    if not data.is_dir():
        return
    tiny = data / "mlperf_tiny"
    keywords = list(itertools.islice(_keywords(tiny / "kws01_inputs.zip"), count))
    quantised = tiny / "models" / "kws_ref_model.tflite"
    yield _published(quantised, keywords, "keywords")
    real = [dequantise(each, _first_input(quantised)) for each in keywords]
    yield _published(tiny / "models" / "kws_ref_model_float32.tflite", real, "keywords")
    pictures, truths = cifar(data, count)
    for name in ("pretrainedResnet_quant", "pretrainedResnet"):
        path = tiny / "models" / f"{name}.tflite"
        yield of_pictures(path, pictures, "CIFAR pictures", tuple(truths))
    for name in ("vww_96_int8", "vww_96_float"):
        yield of_pictures(tiny / "models" / f"{name}.tflite", pictures, "CIFAR pictures")
    photos = [ballscrew.frame(photo).pixels for photo in _photos(data, count)]
    ssd = data / "third_party_models" / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
    yield of_pictures(ssd, photos, "bsdata photos", judged=(2,))


def shipped(name: str, data: Path, count: int) -> Subject:
    """Return a model of this project with items that it is for."""
    model = load_model(MODELS / name, threads=1, roi=None)
    items = itertools.islice(_items(name, model, data, count), count)
    inputs = [{n: a.copy() for n, a in model.task.prepare(item).items()} for item in items]
    cases = model.bundle.manifest.selftest.cases
    tolerance = max(case.atol for case in cases)
    return Subject(name, model.bundle.model, inputs, tolerance, "items of its own kind")


def of_pictures(
    path: Path,
    pictures: list[NDArray[np.uint8]],
    what: str,
    truths: tuple[int, ...] = (),
    judged: tuple[int, ...] = (),
) -> Subject:
    """Return a published model of pictures."""
    spec = _first_input(path)
    inputs = [{spec.name: _fitted(picture, spec)} for picture in pictures]
    return Subject(path.stem, path.read_bytes(), inputs, PUBLISHED_TOLERANCE, what, truths, judged)


def cifar(data: Path, count: int) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """Return test pictures of CIFAR-10, as many of each class, and the number of each one's class.

    The classes have the order of the alphabet, which is also that of the published models.
    """
    with zipfile.ZipFile(data / "cifar10" / "cifar10_test_jpg.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        classes = sorted({Path(name).parent.name for name in names})
        each = -(-count // len(classes))
        chosen = [
            name
            for label in classes
            for name in [n for n in names if Path(n).parent.name == label][:each]
        ]
        pictures = [image.decode(archive.read(name)) for name in chosen]
    return pictures, [classes.index(Path(name).parent.name) for name in chosen]


def _items(name: str, model: Model, data: Path, count: int) -> Iterable[Item]:
    if name == "conveyor-parts":
        return (cells.frame(each) for each in cells.pictures(cells.TEST_SEEDS, count))
    if name == "motor-bearing":
        shape = window_shape(model)
        return (window for _, window in cells.vibrations(cells.TEST_SEEDS, count, shape))
    if not data.is_dir():
        return ()
    if name == "turbofan-rul":
        shape = window_shape(model)
        engines = cmapss.test_engines(data / "cmapss")
        return (window for engine in engines for window in cmapss.windows(engine, shape))
    return (ballscrew.frame(photo) for photo in _photos(data, count))


def _photos(data: Path, count: int) -> list[ballscrew.Photo]:
    return ballscrew.photos(data / "bsdata", ballscrew.TEST_POSITIONS)[:count]


def _published(path: Path, inputs: Sequence[NDArray[np.generic]], what: str) -> Subject:
    spec = _first_input(path)
    shape = [max(1, size) for size in spec.shape]
    given: list[Tensors] = [{spec.name: each.reshape(shape)} for each in inputs]
    return Subject(path.stem, path.read_bytes(), given, PUBLISHED_TOLERANCE, what)


def _keywords(path: Path) -> Iterator[NDArray[np.int8]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".bin"):
                yield np.frombuffer(archive.read(name), np.int8)


def _first_input(path: Path) -> TensorSpec:
    backend = tflite.create(BackendContext(path.read_bytes()))
    spec = backend.inputs[0]
    backend.close()
    return spec


def _fitted(picture: NDArray[np.uint8], spec: TensorSpec) -> NDArray[np.generic]:
    """Return a picture as the published models were trained: RGB, 0..255, or what stores that."""
    _, height, width, _ = spec.shape
    resized = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (width, height))[None]
    if spec.dtype == "uint8":
        return resized
    if spec.dtype == "int8":
        return (resized.astype(np.int16) - 128).astype(np.int8)
    return resized.astype(np.float32) / (255.0 if height == VWW_SIZE else 1.0)
