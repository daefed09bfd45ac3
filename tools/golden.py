"""Run published models on published inputs, and compare with the published results.

    python -m tools.golden --data ../shared/data

Everything goes through the agent's own backend and tasks, so this holds for what a gateway does.
The models, inputs and results are described in README.md of the data folder.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.inference.preprocess import ImagePreprocess, WindowPreprocess
from edge_agent.inference.quantisation import dequantise
from edge_agent.pictures import image
from edge_agent.tasks import classify, detect
from edge_agent.tasks.base import TaskContext
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.backends.base import Backend
    from edge_agent.tasks.base import Task
    from edge_agent.types import Defect, Item, Prediction

# The pictures' pixels become -1..1, as these models were trained; their inputs store 0..255.
PICTURE = ImagePreprocess(kind="image", mean=(128.0,), std=(128.0,))
SSD_SCORES = (0.645, 0.609, 0.563, 0.512)
SCORE_TOLERANCE = 0.02
# Where the animals are on cats_and_dogs.jpg (1200 x 600), outlined by eye, in pixels: left, top,
# right, bottom. A box lies on an animal when intersection over union is at least 0.6, or when at
# least 0.95 of the box is inside: one of the four boxes is around half a cat. Another one holds
# the corgi and is called a cat; that is the model's own error, and part of the published result.
ANIMALS = {
    "left cat": (80, 400, 445, 600),
    "poodle": (385, 215, 640, 600),
    "corgi": (610, 150, 890, 600),
    "right cat": (880, 405, 1085, 600),
}
IOU_MIN = 0.6
INSIDE_MIN = 0.95
WANTED_BOXES = ("left cat", "corgi", "left cat", "poodle")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    what: str
    wanted: str
    got: str
    passed: bool


def main(arguments: list[str] | None = None) -> int:
    """Print a table of all checks; return 1 if one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--keep-going", action="store_true", help="go on after a check that fails")
    options = parser.parse_args(arguments)
    if not options.data.is_dir():
        print(f"golden: no folder {options.data}: it holds the models and their inputs")
        return 1
    runtime = tflite.runtime_module().__name__.split(".")[0]
    print(f"golden: on {runtime}, NumPy {np.__version__}, Python {sys.version.split()[0]}")
    failed = 0
    for check in checks(options.data):
        mark = "ok  " if check.passed else "FAIL"
        print(f"{mark}  {check.what:<58}  wanted {check.wanted:<18}  got {check.got}")
        failed += not check.passed
        if failed and not options.keep_going:
            break
    print(f"golden: {failed or 'no'} check{'s' if failed > 1 else ''} failed")
    return int(failed > 0)


def checks(data: Path) -> Iterator[Check]:
    """Yield every check, each made when it is asked for."""
    yield from keyword_spotting(data / "mlperf_tiny")
    pictures = data / "third_party_models"
    yield from boxes_on_animals(pictures)
    yield from class_of(pictures, "mobilenet_v1_0.25_224_quant", "burger.jpg", 934, 0.961)
    yield from class_of(pictures, "mobilenet_v2_1.0_224_quant", "cat.bmp", 286)
    yield from class_of(pictures, "mobilenet_v2_1.0_224_quant", "grace_hopper.bmp", 653)


def keyword_spotting(folder: Path) -> Iterator[Check]:
    """MLPerf Tiny: 1,000 int8 inputs, their labels, and what an STM32 answered to each."""
    columns = tuple(f"c{index}" for index in range(10))
    window = WindowPreprocess(kind="window", channels=columns, samples=49, hop=49, rate_hz=50.0)
    options = classify.Options(kind="classify", preprocess=window)
    inspect, backend = _line(folder / "models" / "kws_ref_model.tflite", classify.create, options)
    spec = backend.inputs[0]
    golden = _golden_rows(folder / "golden_stm32_nucleo_l4r5zi_v1.1.csv")
    same = right = 0
    with zipfile.ZipFile(folder / "kws01_inputs.zip") as archive:
        truth = _labels_of(archive)
        for index, (name, published) in enumerate(golden.items()):
            stored = np.frombuffer(archive.read(name), np.int8).reshape(49, 10)
            # The agent takes real values and quantises them itself.
            samples = dequantise(stored, spec)
            label = inspect(Window(samples, columns, 50.0, 0, 0, index, series=index)).label
            same += int(label) == int(np.argmax(published))
            right += int(label) == truth[name]
    yield Check("KWS int8: class as on the STM32", "1000 of 1000", f"{same} of 1000", same == 1000)
    yield Check("KWS int8: class as labelled", "902 of 1000", f"{right} of 1000", right == 902)


def boxes_on_animals(folder: Path) -> Iterator[Check]:
    """Check scores and places of what SSD MobileNet finds on cats_and_dogs.jpg."""
    options = detect.Options(
        kind="detect",
        preprocess=PICTURE,
        postprocess=detect.Postprocess(decoder="ssd_postprocess", confidence=0.5),
    )
    labels = tuple((folder / "coco_labels.txt").read_text().splitlines())
    model = folder / "coco_ssd_mobilenet_v1_1.0_quant_2018_06_29.tflite"
    inspect, _ = _line(model, detect.create, options, labels)
    found = inspect(_frame(folder / "cats_and_dogs.jpg")).defects
    yield Check("SSD, cats_and_dogs.jpg: boxes", "4", str(len(found)), len(found) == 4)
    for wanted, animal, box in zip(SSD_SCORES, WANTED_BOXES, found, strict=False):
        near = abs(box.score - wanted) <= SCORE_TOLERANCE
        yield Check("SSD: score", f"{wanted} +- {SCORE_TOLERANCE}", f"{box.score:.3f}", near)
        inside, iou = _overlap(box, ANIMALS[animal])
        yield Check(
            f"SSD: the box lies on the {animal}, of kind",
            "cat or dog",
            f"{box.label}, IoU {iou:.2f}, inside {inside:.2f}",
            (iou >= IOU_MIN or inside >= INSIDE_MIN) and box.label in {"cat", "dog"},
        )


def class_of(
    folder: Path, model: str, picture: str, wanted: int, score: float | None = None
) -> Iterator[Check]:
    """Check which class a classifier gives a picture, and how sure it is."""
    options = classify.Options(kind="classify", preprocess=PICTURE)
    inspect, _ = _line(folder / f"{model}.tflite", classify.create, options)
    prediction = inspect(_frame(folder / picture))
    label = prediction.label
    yield Check(f"{model}, {picture}: class", str(wanted), label, label == str(wanted))
    if score is not None:
        near = abs(prediction.score - score) <= 0.01
        got = f"{prediction.score:.4f}"
        yield Check(f"{model}, {picture}: score", f"{score} +- 0.01", got, near)


def _line(
    model: Path,
    create: Callable[[Any, TaskContext], Task],
    options: object,
    labels: tuple[str, ...] = (),
) -> tuple[Callable[[Item], Prediction], Backend]:
    """Return what takes an item through `model`, and the backend that runs it."""
    backend = tflite.create(BackendContext(model.read_bytes()))
    task = create(options, TaskContext(backend.inputs, backend.outputs, labels))

    def inspect(item: Item) -> Prediction:
        return task.interpret(backend.run(task.prepare(item)), item)

    return inspect, backend


def _frame(path: Path) -> Frame:
    return Frame(image.decode(path.read_bytes()), 0, 0, 0, origin=path.name)


def _golden_rows(path: Path) -> dict[str, list[float]]:
    with path.open(newline="") as file:
        return {row[0]: [float(value) for value in row[1:]] for row in csv.reader(file)}


def _labels_of(archive: zipfile.ZipFile) -> dict[str, int]:
    text = archive.read("y_labels.csv").decode()
    return {row[0]: int(row[2]) for row in csv.reader(io.StringIO(text))}


def _overlap(box: Defect, place: tuple[int, int, int, int]) -> tuple[float, float]:
    """Return how much of `box` is inside `place`, and intersection over union."""
    left, top, right, bottom = place
    width = min(box.x + box.w, right) - max(box.x, left)
    height = min(box.y + box.h, bottom) - max(box.y, top)
    both = max(0.0, width) * max(0.0, height)
    area = box.w * box.h
    return both / area, both / (area + (right - left) * (bottom - top) - both)


if __name__ == "__main__":
    sys.exit(main())
