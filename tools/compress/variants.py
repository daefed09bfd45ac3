"""Makes the variants: what is taken from the model, times how its numbers are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.errors import ModelError
from tools.compress import measure, onnx_file, quantise, tflite_file
from tools.compress.failures import CompressFailed
from tools.compress.source import Tuning
from tools.compress.structures import applied, clipped, clusters, magnitude

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tools.compress.source import Network, Runtime, Source
    from tools.compress.structures import Structure

    Array = NDArray[np.float32]

AS_GIVEN = "as given"
# What a model is stored in. Those that read beside "as given" show what was taken from it.
PRECISIONS = ("float32", "float16", "dynamic range", "int8", "int16 activations")


@dataclass(frozen=True, slots=True)
class Settings:
    """What is tried: shares of zeros and channels (0..1), clusters, deviations to clip at."""

    zeros: float = 0.5
    clusters: int = 32
    deviations: float = 4.0
    channels: tuple[float, ...] = (0.3, 0.5)
    epochs: int = 10
    calibration: int = quantise.CALIBRATION_SAMPLES_MIN
    seed: int = 0
    quantisation_aware: bool = True


@dataclass(frozen=True, slots=True)
class Shape:
    """A model in float before it is stored otherwise: `name` says what was done to it.

    `structure`: what its kernels are held in, whatever it is trained for later.
    """

    name: str
    model: bytes
    network: Network | None = None
    structure: Structure | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """One candidate. `model` is empty where it could not be made, and `failure` says why."""

    shape: str
    precision: str
    model: bytes = b""
    failure: str = ""


def shapes(
    source: Source, inputs: Array, settings: Settings, say: Callable[[str], None]
) -> Iterator[Shape]:
    """Yield the model as given and each that something was taken from, tuned where it can be.

    `inputs`: the training part. Tuning goes for the answers of the model as given.
    """
    yield Shape(AS_GIVEN, source.whole, source.network)
    structured: list[tuple[str, Structure]] = [
        (f"{settings.zeros:.0%} zeros", magnitude(settings.zeros)),
        (f"{settings.clusters} values a kernel", clusters(settings.clusters)),
        (f"clipped at {settings.deviations:g} sigma", clipped(settings.deviations)),
    ]
    wanted = measure.answers(source.whole, source.runtime, inputs) if source.network else None
    for name, structure in structured:
        say(name)
        model = _mapped(source, structure)
        if source.network is None or wanted is None:
            yield Shape(name, model)
            continue
        network = source.network.copy()
        network.tune(inputs, Tuning(wanted, settings.epochs, settings.seed, structure))
        yield Shape(name, network.tflite(), network, structure)
    if source.network is None or wanted is None:
        return
    for share in settings.channels:
        say(f"{share:.0%} fewer channels")
        network = source.network.copy()
        try:
            done = network.narrow(share)
        except CompressFailed as reason:
            say(f"  not done: {reason}")
            return
        say(f"  {done}")
        # What is left has more to learn again than after other methods.
        network.tune(inputs, Tuning(wanted, 2 * settings.epochs, settings.seed))
        yield Shape(f"{share:.0%} fewer channels", network.tflite(), network)


def variants(
    shape: Shape, runtime: Runtime, inputs: Array, held: Array, settings: Settings
) -> Iterator[Variant]:
    """Yield `shape` in each precision that pays; those that the gate stops say why.

    `inputs`: real samples to calibrate with; `held`: others, for the gate.
    """
    rng = np.random.default_rng(settings.seed)
    count = min(settings.calibration, len(inputs))
    chosen = [inputs[index][None] for index in rng.permutation(len(inputs))[:count]]
    makers = _makers(runtime, shape.model, chosen, fewest_samples(settings))
    for precision, make in makers.items():
        if shape.name != AS_GIVEN and precision in {"float16", "int16 activations"}:
            continue
        yield _gated(shape, precision, make, runtime, held)


def fewest_samples(settings: Settings) -> int:
    """Return how many samples int8 wants to calibrate with."""
    return min(settings.calibration, quantise.CALIBRATION_SAMPLES_MIN)


def quantisation_aware(
    shape: Shape, inputs: Array, held: Array, wanted: Array, settings: Settings
) -> Variant:
    """Return `shape` in int8 after training with rounding in the forward pass."""
    network = shape.network
    if network is None:
        raise CompressFailed("there is no network to train")
    network = network.copy()
    tuning = Tuning(
        wanted, settings.epochs, settings.seed, shape.structure, quantised=True, rate=2e-4
    )
    network.tune(inputs, tuning)
    trained = Shape(shape.name, network.tflite())
    made = variants(trained, "tflite", inputs, held, settings)
    found = next(variant for variant in made if variant.precision == "int8")
    return Variant(shape.name, "int8, trained for it", found.model, found.failure)


def _makers(
    runtime: Runtime, model: bytes, samples: Sequence[Array], fewest: int
) -> dict[str, Callable[[], bytes]]:
    if runtime == "onnx":
        return {
            "float32": lambda: model,
            "dynamic range": lambda: onnx_file.dynamic_range_model(model),
            "int8": lambda: onnx_file.int8_model(model, samples),
        }
    return {
        "float32": lambda: model,
        "float16": lambda: quantise.float16_model(model),
        "dynamic range": lambda: quantise.dynamic_range_model(model),
        "int8": lambda: quantise.int8_model(model, samples, fewest=fewest),
        "int16 activations": lambda: quantise.int8_model(
            model, samples, fewest=fewest, activation_bits=16
        ),
    }


def _gated(
    shape: Shape, precision: str, make: Callable[[], bytes], runtime: Runtime, held: Array
) -> Variant:
    try:
        model = make()
        if precision != "float32":
            if runtime == "tflite":
                quantise.gate(shape.model, model, [sample[None] for sample in held])
            else:
                both = [measure.answers(each, runtime, held) for each in (shape.model, model)]
                quantise.check(quantise.agreement(both[0].ravel(), both[1].ravel()))
    except (quantise.QuantisationFailed, ModelError) as failure:
        return Variant(shape.name, precision, failure=str(failure))
    return Variant(shape.name, precision, model)


def _mapped(source: Source, structure: Structure) -> bytes:
    def change(kernel: Array) -> Array:
        return applied(structure, kernel)

    if source.runtime == "onnx":
        return onnx_file.map_kernels(source.whole, change)
    return tflite_file.map_kernels(source.whole, change)
