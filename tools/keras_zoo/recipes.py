"""What the five models are: their layers, their data and what the agent does with them."""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.pictures import image
from edge_agent.types import Frame, Window
from tools.datasets import cmapss
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.types import Item

    Array = NDArray[np.float32]

CIFAR_LABELS = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
# Cycles before the end from which an engine counts as due.
DUE_CYCLES = 30
HISTORY_CYCLES = 4
VIRTUAL_SENSOR = "s11"
ENGINES = "NASA's 100 training engines (C-MAPSS FD001), parted by engine"


@dataclass(frozen=True, slots=True)
class Examples:
    """`inputs`: float32 [items, ...] as the model takes them; `targets`: classes or values [items].

    `items`: what a camera or a machine would have delivered. `groups`: what belongs together.
    """

    inputs: Array
    targets: NDArray[np.generic]
    groups: NDArray[np.generic] | None
    items: Callable[[int], Item]
    preprocess: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model. `layers`: kind and settings of each Keras layer, as in its documentation.

    `library`: keras (3) or tf_keras (2) writes the file, in the format of `suffix`.
    """

    name: str
    what: str
    library: str
    suffix: str
    layers: tuple[tuple[str, dict[str, Any]], ...]
    loss: str
    metric: str
    epochs: int
    examples: Callable[[Path], Examples]
    task: dict[str, Any]
    rule: dict[str, Any]
    labels: tuple[str, ...] = ()
    scale: float = 1.0


def mnist(data: Path) -> Examples:
    """MNIST's 10,000 test digits, 28 x 28 grey."""
    folder = data / "mnist"
    pixels = _idx(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    targets = _idx(folder / "t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)
    return Examples(
        inputs=(pixels[..., None] / np.float32(255)).astype(np.float32),
        targets=targets,
        groups=None,
        items=lambda index: _frame(np.repeat(pixels[index][..., None], 3, axis=2), index),
        preprocess={"kind": "image", "color": "gray"},
    )


def cifar(data: Path) -> Examples:
    """CIFAR-10's 10,000 test pictures, 32 x 32, as JPEG."""
    path = data / "cifar10" / "cifar10_test_jpg.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            # BGR, as the agent's frames.
            pixels = np.stack([image.decode(archive.read(name)) for name in names])
    except (OSError, zipfile.BadZipFile) as error:
        raise DataUnfit(f"{path}: {error}") from None
    targets = np.array([CIFAR_LABELS.index(name.split("/")[1]) for name in names])
    return Examples(
        inputs=(pixels[..., ::-1] / np.float32(255)).astype(np.float32),
        targets=targets,
        groups=None,
        items=lambda index: _frame(pixels[index], index),
        preprocess={"kind": "image", "color": "rgb"},
    )


def life(data: Path) -> Examples:
    """Remaining life of an engine, from its last few cycles."""
    return _engines(data, cmapss.CHANNELS, HISTORY_CYCLES, _life)


def due(data: Path) -> Examples:
    """Whether an engine fails within 30 cycles, from one cycle."""
    return _engines(data, cmapss.CHANNELS[:10], 1, _due)


def virtual_sensor(data: Path) -> Examples:
    """One sensor's value, from ten others at the same cycle."""
    others = tuple(name for name in cmapss.CHANNELS if name != VIRTUAL_SENSOR)[:10]
    return _engines(data, others, 1, _own_value)


def _dense(*units: int, last: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    hidden = tuple(("Dense", {"units": count, "activation": "relu"}) for count in units[:-1])
    return (*hidden, ("Dense", {"units": units[-1], "activation": last}))


def _convolution(filters: int) -> tuple[str, dict[str, Any]]:
    return ("Conv2D", {"filters": filters, "kernel_size": 3, "activation": "relu"})


CLASSIFY = {"kind": "classify", "postprocess": {}}
RECIPES = (
    Recipe(
        name="mnist-dense",
        what="MNIST 512-512-10 dense, on the 10,000 test digits (the training set is not at hand)",
        library="tf_keras",
        suffix=".h5",
        layers=(("Flatten", {}), *_dense(512, 512, 10, last="softmax")),
        loss="sparse_categorical_crossentropy",
        metric="accuracy",
        epochs=12,
        examples=mnist,
        task=CLASSIFY,
        rule={"kind": "threshold", "fail_at": 0.5},
        labels=tuple("0123456789"),
    ),
    Recipe(
        name="cifar-conv",
        what="CIFAR-10 convolutional 32-64-64, dense 64, on the 10,000 test pictures (the training "
        "set is not at hand)",
        library="keras",
        suffix=".keras",
        layers=(
            _convolution(32),
            ("MaxPooling2D", {}),
            _convolution(64),
            ("MaxPooling2D", {}),
            _convolution(64),
            ("Flatten", {}),
            *_dense(64, 10, last="softmax"),
        ),
        loss="sparse_categorical_crossentropy",
        metric="accuracy",
        epochs=12,
        examples=cifar,
        task=CLASSIFY,
        rule={"kind": "threshold", "fail_at": 0.5},
        labels=CIFAR_LABELS,
    ),
    Recipe(
        name="life-regression",
        what=f"64-32-1 regression: remaining life from four cycles of an engine; {ENGINES}",
        library="keras",
        suffix=".h5",
        layers=(("Flatten", {}), *_dense(64, 32, 1, last="linear")),
        loss="mse",
        metric="rmse",
        epochs=25,
        examples=life,
        task={
            "kind": "regress",
            "postprocess": {"scale": cmapss.RUL_CAP, "clip_min": 0.0, "unit": "cycles"},
        },
        rule={"kind": "threshold", "direction": "below", "fail_at": 25.0},
        scale=cmapss.RUL_CAP,
    ),
    Recipe(
        name="due-binary",
        what=f"10-10-1 binary classifier: whether an engine fails within {DUE_CYCLES} cycles; "
        f"{ENGINES}",
        library="tf_keras",
        suffix=".keras",
        layers=_dense(10, 10, 1, last="sigmoid"),
        loss="binary_crossentropy",
        metric="accuracy",
        epochs=25,
        examples=due,
        task={"kind": "classify", "postprocess": {"normal": ["healthy"]}},
        rule={"kind": "threshold", "fail_at": 0.5},
        labels=("healthy", "due"),
    ),
    Recipe(
        name="virtual-sensor",
        what=f"10-10-1 autoencoding regression: sensor {VIRTUAL_SENSOR} of an engine from ten of "
        f"its others, at the same cycle; {ENGINES}",
        library="keras",
        suffix=".h5",
        layers=_dense(10, 10, 1, last="linear"),
        loss="mse",
        metric="rmse",
        epochs=25,
        examples=virtual_sensor,
        task={"kind": "regress", "postprocess": {}},
        rule={"kind": "threshold", "fail_at": 3.0},
    ),
)


def _idx(path: Path, header: int) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(gzip.GzipFile(fileobj=io.BytesIO(path.read_bytes())).read(), np.uint8)[
            header:
        ]
    except OSError as error:
        raise DataUnfit(f"{path}: {error}") from None


def _frame(pixels: NDArray[np.uint8], index: int) -> Frame:
    return Frame(np.ascontiguousarray(pixels), index, index, index)


def _engines(
    data: Path,
    channels: tuple[str, ...],
    samples: int,
    target: Callable[[cmapss.Engine], Array],
) -> Examples:
    """Return windows of `samples` cycles of each engine, scaled by mean and deviation of all."""
    columns = [cmapss.CHANNELS.index(name) for name in channels]
    windows, targets, groups = [], [], []
    for engine in cmapss.training_engines(data / "cmapss"):
        values = engine.samples[:, columns]
        windows += [values[end - samples : end] for end in range(samples, len(values) + 1)]
        targets.append(target(engine)[samples - 1 :])
        groups += [engine.number] * (len(values) - samples + 1)
    raw = np.stack(windows).astype(np.float32)
    mean, std = raw.mean(axis=(0, 1)), raw.std(axis=(0, 1))
    mean, std = (np.array([float(f"{v:.6g}") for v in each]) for each in (mean, std))
    scaled = ((raw - mean) / std).astype(np.float32)
    feature = {"kind": "zscore", "mean": mean.tolist(), "std": std.tolist()}
    return Examples(
        inputs=scaled if samples > 1 else scaled[:, 0],
        targets=np.concatenate(targets),
        groups=np.array(groups),
        items=lambda index: Window(raw[index], channels, 1.0, index, index, index),
        preprocess={
            "kind": "window",
            "channels": list(channels),
            "samples": samples,
            "hop": 1,
            "rate_hz": 1.0,
            "features": [feature],
        },
    )


def _life(engine: cmapss.Engine) -> Array:
    left = np.arange(len(engine.samples))[::-1] + engine.rul
    shares: Array = (np.minimum(left, cmapss.RUL_CAP) / cmapss.RUL_CAP).astype(np.float32)
    return shares


def _due(engine: cmapss.Engine) -> Any:  # noqa: ANN401  int64 [cycles]
    left = np.arange(len(engine.samples))[::-1] + engine.rul
    return (left < DUE_CYCLES).astype(np.int64)


def _own_value(engine: cmapss.Engine) -> Array:
    values = engine.samples[:, cmapss.CHANNELS.index(VIRTUAL_SENSOR)]
    # s11 moves within about 1 psi around 47.5: so scaled, the model answers in deviations of it.
    scaled: Array = ((values - 47.5) / 0.27).astype(np.float32)
    return scaled
