"""Train models/motor-bearing: the condition of a bearing, from the vibration of its motor.

python -m tools.train_motor
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from edge_agent.cell.motor import CHANNELS, FAULTS
from edge_agent.inference.preprocess import SpectrumBands, WindowPreprocess, ZScore
from edge_agent.sensing.features import WindowFeatures
from tools import evaluate
from tools.bundling import golden_inputs
from tools.bundling.bundle import Draft, write_bundle
from tools.compress.quantise import agreement, check, float_model, int8_model, run_model
from tools.datasets import cells
from tools.scoring.report import write_card
from tools.training import nets
from tools.training.fit import Schedule, fit, predict
from tools.training.prune import prune

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

MODEL_ID = "motor-bearing"
MOTORS = 12_000
HELD = 1_000  # of them: to choose by, and to compare int8 with float
GOLDEN_FROM = 100  # of the first ones are the golden samples
BANDS, BAND_HZ = 128, 4.0
WIDTHS = (16, 32, 48)
PRUNED = 0.5
# As the shipped one was trained: another number takes sums in another order.
THREADS = 2
TRAINING = Schedule(epochs=16, rate=4e-3, batch=64, threads=THREADS)
TUNING = Schedule(epochs=10, rate=2e-3, batch=64, seed=1, threads=THREADS)
CALIBRATION_WINDOWS = 500
# Half a second resolves 2 Hz. The envelope is that of the band in which the housing rings.
PREPROCESS = WindowPreprocess(
    kind="window",
    channels=CHANNELS,
    samples=4096,
    hop=2048,
    rate_hz=8192.0,
    features=(
        SpectrumBands(
            kind="spectrum_bands",
            edges_hz=tuple(BAND_HZ * edge for edge in range(1, BANDS + 2)),
            envelope_hz=(1800.0, 3800.0),
        ),
        # Log energies lie between -6 and -1: about 0 and 1 suits network and quantisation.
        ZScore(kind="zscore", mean=(-4.5,), std=(1.0,)),
    ),
)

CARD = """
# motor-bearing

The condition of a motor's rolling bearing: healthy, or a defect of outer_race, inner_race or ball.

**Trained and tested on** vibration from `edge_agent/cell/motor.py`, a simulation of a 6205 bearing
at 20 to 30 turns a second: it shows that the line works from samples to verdict, and says nothing
of real motors. Every window of training and test is from a motor of its own, and test motors have
seeds that training never saw. Severity runs from 0, where the bursts drown in the noise, to 1.

**Input** half a second of two accelerometers in g at 8192 Hz; log energies of the envelope's
spectrum in 128 bands of 4 Hz. **Network** convolutions along the frequency axis, half of the
channels pruned, fine-tuned, int8.
"""


def main() -> None:
    """Train, prune, quantise, check, write the bundle, and print how good it is."""
    parser = argparse.ArgumentParser(description="Train models/motor-bearing.")
    parser.add_argument("--out", type=Path, default=Path("models"))
    options = parser.parse_args()
    inputs, classes = examples()
    network, figures = train(inputs, classes)
    model = quantised(network, inputs)
    folder = options.out / MODEL_ID
    write_bundle(folder, draft(model, inputs))
    figures += evaluate.bearing(folder, Path())
    for what, value in figures:
        print(f"{what}: {value}")
    write_card(folder, CARD, figures, "python -m tools.train_motor")


def examples() -> tuple[Array, NDArray[np.int64]]:
    """Return features [n, 1, bands, columns], as the model takes them, and classes [n]."""
    features = WindowFeatures(PREPROCESS)
    inputs, classes = [], []
    for block, window in cells.vibrations(cells.TRAINING_SEEDS, MOTORS, PREPROCESS):
        inputs.append(features.apply(window))
        classes.append(FAULTS.index(block.fault))
    return np.stack(inputs)[:, None], np.array(classes)


def train(inputs: Array, classes: NDArray[np.int64]) -> tuple[Any, list[Figure]]:
    """Return a pruned and fine-tuned network, and its accuracy on held windows on the way."""
    torch.manual_seed(TRAINING.seed)
    network = nets.spectrum_net(len(CHANNELS), WIDTHS, BANDS, len(FAULTS))
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.02)
    figures: list[Figure] = []

    def tuned(schedule: Schedule) -> None:
        fit(network, inputs[:-HELD], classes[:-HELD], loss, schedule, turned)

    def turned(batch: Any, wanted: Any, _: Any) -> tuple[Any, Any]:  # noqa: ANN401
        return channels_first(batch), wanted

    def note(stage: str) -> None:
        answers = predict(network, inputs[-HELD:], channels_first).argmax(axis=1)
        accuracy = (answers == classes[-HELD:]).mean()
        figures.append((f"accuracy, {HELD} windows held from training, {stage}", f"{accuracy:.2%}"))
        print(*figures[-1], sep=": ", flush=True)

    tuned(TRAINING)
    note("float, whole")
    sample = torch.zeros(1, len(CHANNELS), 1, BANDS)
    figures.append(("pruned", prune(network, sample, PRUNED, network[-1])))
    note("float, pruned")
    tuned(TUNING)
    note("float, pruned and fine-tuned")
    return network, figures


def channels_first(batch: Any) -> Any:  # noqa: ANN401  torch tensors
    """Return [n, 1, bands, columns] as [n, columns, 1, bands]."""
    return batch.permute(0, 3, 1, 2)


def quantised(network: Any, inputs: Array) -> bytes:  # noqa: ANN401  a torch module
    """Return the int8 model, once it has been compared with the float model."""
    whole = float_model(network, inputs[:1], picture=True)
    model = int8_model(whole, inputs[:CALIBRATION_WINDOWS, None])
    held = inputs[-HELD:, None]
    found = agreement(run_model(whole, held)[:, 0], run_model(model, held)[:, 0])
    print(f"int8 against float, value for healthy: {found}")
    check(found)
    return model


def draft(model: bytes, inputs: Array) -> Draft:
    """Return the bundle's content."""
    seen = inputs[:GOLDEN_FROM, None]
    golden = golden_inputs.chosen(model, seen, seen)
    return Draft(
        model_id=MODEL_ID,
        version="1.0.0",
        seq=1,
        task={
            "kind": "classify",
            "preprocess": PREPROCESS.model_dump(mode="json"),
            "postprocess": {"activation": "softmax", "normal": ["healthy"]},
        },
        decision={
            "rule": {"kind": "k_of_n", "pass_at": 0.4, "fail_at": 0.7, "k": 3, "n": 5},
        },
        license={"spdx": "Apache-2.0"},
        source={
            "training": "python -m tools.train_motor",
            "data_sha256": hashlib.sha256(inputs.tobytes()).hexdigest(),
        },
        model=model,
        precision="int8",
        golden=golden.inputs,
        # Less than golden.atol: logits, and nothing that was tried needs more.
        atol=0.5,
        p95_ms_max=20.0,
        labels=FAULTS,
    )


if __name__ == "__main__":
    main()
