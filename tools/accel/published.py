"""Models of others, as they were published, with inputs of the kind that each is for."""

from __future__ import annotations

import itertools
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.inference.quantisation import dequantise, quantise
from edge_agent.modelstore.manifest import SelfTestCase, load_bundle
from edge_agent.pictures import image
from tools.accel.shipped import MODELS, photos
from tools.accel.subjects import ANYTHING, Subject
from tools.datasets import ballscrew, cells

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from edge_agent.types import Tensors, TensorSpec
    from tools.accel.subjects import Answers

# How far a probability may be from the CPU's, for these come without a manifest.
TOLERANCE = 0.1
# Float by name: its weights have 8 bits, and the CPU rounds what it multiplies them with to 8 bits,
# too. An accelerator that does not is nearer to the truth; as far as the CPU's own two ways lie
# apart (kernels.py) it must be allowed to differ. The same for an autoencoder of sounds.
ROUNDED_AT_RUN = 0.17
DECIBELS = 1.5
VWW_SIZE = 96  # this one was trained on 0..1, ResNet on 0..255
SSD_CLASSES, SSD_SCORES = 1, 2  # of its outputs; boxes without a score may lie anywhere
SEEN = 0.5  # the score from which a box counts
BANDS, FRAMES, SPECTRUM = 128, 5, 1024  # of MLPerf Tiny's anomaly detection


def published(data: Path, count: int) -> Iterator[Subject]:
    """Yield MLPerf Tiny's models and SSD MobileNet, with at most `count` inputs."""
    models = data / "mlperf_tiny" / "models"
    keywords = list(itertools.islice(_keywords(data / "mlperf_tiny" / "kws01_inputs.zip"), count))
    quantised = models / "kws_ref_model.tflite"
    yield _subject(quantised, keywords, "spoken words")
    real = [dequantise(each, first_input(quantised)) for each in keywords]
    float32 = models / "kws_ref_model_float32.tflite"
    yield _subject(float32, real, "spoken words", {0: ROUNDED_AT_RUN})
    pictures, truths = cifar(data, count)
    for name in ("pretrainedResnet_quant", "pretrainedResnet"):
        yield of_pictures(models / f"{name}.tflite", pictures, "CIFAR-10", truths)
    for name in ("vww_96_int8", "vww_96_float"):
        yield of_pictures(models / f"{name}.tflite", pictures, "CIFAR-10")
    sounds = _spectra(count)
    for name in ("ad01_int8", "ad01_fp32"):
        path = models / f"{name}.tflite"
        stored = [quantise(each, first_input(path)) for each in sounds]
        yield _subject(path, stored, "spectra of simulated motors", {0: DECIBELS}, verdict=None)
    ssd = data / "third_party_models" / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
    taken = [ballscrew.frame(photo).pixels for photo in photos(data)[:count]]
    given = [_fitted(picture, first_input(ssd)) for picture in taken]
    tolerances = {SSD_SCORES: TOLERANCE}
    yield _subject(ssd, given, "photos of ball screws", tolerances, verdict=_boxes)


def of_pictures(
    path: Path, pictures: Sequence[NDArray[np.uint8]], what: str, truths: Sequence[int] = ()
) -> Subject:
    """Return a published model of pictures; `truths`: their classes."""
    spec = first_input(path)
    return _subject(path, [_fitted(each, spec) for each in pictures], what, truths=truths)


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


def first_input(path: Path) -> TensorSpec:
    """Return what a model file says of its first input."""
    backend = tflite.create(BackendContext(path.read_bytes()))
    spec = backend.inputs[0]
    backend.close()
    return spec


def _class(outputs: Sequence[NDArray[np.generic]]) -> str:
    return str(int(np.argmax(outputs[0])))


def _boxes(outputs: Sequence[NDArray[np.generic]]) -> str:
    seen = np.asarray(outputs[SSD_SCORES], np.float32) >= SEEN
    return str(sorted(outputs[SSD_CLASSES][seen]))


def _subject(
    path: Path,
    inputs: Sequence[NDArray[np.generic]],
    what: str,
    tolerances: Mapping[int, float] | None = None,
    truths: Sequence[int] = (),
    verdict: Callable[[Sequence[NDArray[np.generic]]], str] | None = _class,
) -> Subject:
    """Return a model as it was published.

    `tolerances`: in the unit of the answers, by output; those left out may be anything. None: that
    of probabilities. `verdict`: from its outputs.
    """
    backend = tflite.create(BackendContext(path.read_bytes()))
    spec, outputs = backend.inputs[0], backend.outputs
    backend.close()
    allowed = dict.fromkeys(range(len(outputs)), TOLERANCE) if tolerances is None else tolerances
    # Compared as they are stored.
    atol = {
        each.name: allowed[n] / (each.scale or 1.0)
        for n, each in enumerate(outputs)
        if n in allowed
    }
    case = SelfTestCase.model_validate({"in": "", "out": "", "atol": ANYTHING, "atol_of": atol})
    shape = [max(1, size) for size in spec.shape]
    given: list[Tensors] = [{spec.name: each.reshape(shape)} for each in inputs]

    def verdicts(answers: Answers) -> dict[int, str]:
        assert verdict is not None  # noqa: S101  only asked where there is one
        return {n: verdict([each[o.name] for o in outputs]) for n, each in answers.items()}

    return Subject(
        path.stem,
        path.read_bytes(),
        given,
        what,
        case,
        verdicts if verdict else None,
        truths=tuple(map(str, truths)),
    )


def _spectra(count: int) -> list[NDArray[np.float32]]:
    """Return frames of the spectrum of a simulated motor in dB, as many bands as ad01 takes.

    The machine sounds that it was trained on are not here: all that these show is arithmetic.
    """
    shape = load_bundle(MODELS / "motor-bearing").manifest.task.preprocess
    samples = SPECTRUM + (FRAMES - 1) * SPECTRUM // 2
    wanted = shape.model_copy(update={"samples": samples})
    found = []
    for _, window in cells.vibrations(cells.TEST_SEEDS, count, wanted):
        signal = window.samples[:, 0]
        starts = range(0, FRAMES * SPECTRUM // 2, SPECTRUM // 2)
        cut = np.stack([signal[at : at + SPECTRUM] for at in starts]) * np.hanning(SPECTRUM)
        power = np.abs(np.fft.rfft(cut)[:, 1:]) ** 2
        bands = power.reshape(FRAMES, BANDS, -1).mean(axis=2)
        found.append((10 * np.log10(bands + 1e-12)).astype(np.float32))
    return found


def _keywords(path: Path) -> Iterator[NDArray[np.int8]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".bin"):
                yield np.frombuffer(archive.read(name), np.int8)


def _fitted(picture: NDArray[np.uint8], spec: TensorSpec) -> NDArray[np.generic]:
    """Return a picture as the published models were trained: RGB, 0..255, or what stores that."""
    _, height, width, _ = spec.shape
    resized = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), (width, height))[None]
    if spec.dtype == "uint8":
        return resized
    if spec.dtype == "int8":
        return (resized.astype(np.int16) - 128).astype(np.int8)
    return resized.astype(np.float32) / (255.0 if height == VWW_SIZE else 1.0)
