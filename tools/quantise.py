"""From a trained network to an int8 model, and the gate that a quantised model must pass.

Calibration takes the true smallest and largest value of every tensor over all samples. The
quantiser's own default is a moving average of each sample's range: outputs then saturate, with no
message, and a model that looked fine answers nonsense.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.backends import tflite
from edge_agent.backends.base import BackendContext
from edge_agent.quantisation import dequantise, quantise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

# Fewer samples do not show the range of each tensor.
CALIBRATION_SAMPLES_MIN = 200


class QuantisationFailed(Exception):
    """The int8 model does not answer as the float model does; the text says in what."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How int8 scores compare with float scores of the same items."""

    correlation: float
    distinct: int
    saturated: float
    """Share of scores at the smallest or the largest value that occurs."""


def float_model(
    network: Any,  # noqa: ANN401  a torch module
    sample: Array,
    *,
    picture: bool,
    answers_map: bool = False,
) -> bytes:
    """Return `network` as a TFLite model for inputs like `sample`.

    `picture`: the network takes [1, channels, height, width]; the model then takes
    [1, height, width, channels], and so does `sample`. `answers_map`: so does its answer.
    """
    import litert_torch  # noqa: PLC0415  of the training environment only
    import torch  # noqa: PLC0415

    network = network.eval()
    if picture:
        outputs = [0] if answers_map else None
        network = litert_torch.to_channel_last_io(network, args=[0], outputs=outputs)
    converted = litert_torch.convert(network, (torch.from_numpy(sample),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        return path.read_bytes()


def int8_model(model: bytes, samples: Iterable[Array]) -> bytes:
    """Return `model` with int8 weights, activations and input; its output stays float."""
    from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager  # noqa: PLC0415
    from ai_edge_quantizer.utils import qsv_utils  # noqa: PLC0415

    name = tflite.create(BackendContext(model)).inputs[0].name
    inputs = [{name: sample} for sample in samples]
    if len(inputs) < CALIBRATION_SAMPLES_MIN:
        raise QuantisationFailed(f"{len(inputs)} samples; {CALIBRATION_SAMPLES_MIN} are needed")
    wanted = recipe_manager.RecipeManager()
    wanted.load_quantization_recipe(recipe.static_wi8_ai8())
    wanted.add_quantization_config(
        regex=".*",
        operation_name="OUTPUT",
        algorithm_key=recipe.AlgorithmName.NO_QUANTIZE,
    )
    calibration = calibrator.Calibrator(model, 1, qsv_update_func=qsv_utils.min_max_update)
    calibration.calibrate({"serving_default": inputs}, wanted)
    result = quantizer.Quantizer(model, wanted.get_quantization_recipe()).quantize(
        calibration.get_model_qsvs()
    )
    return bytes(result.quantized_model)


def run_model(model: bytes, samples: Iterable[Array]) -> Array:
    """Return the real values of the model's first output for each sample: [samples, ...]."""
    backend = tflite.create(BackendContext(model))
    source, target = backend.inputs[0], backend.outputs[0]
    answers = []
    for sample in samples:
        outputs = backend.run({source.name: quantise(sample, source)})
        answers.append(dequantise(outputs[target.name], target)[0])
    backend.close()
    return np.stack(answers)


def agreement(float_scores: NDArray[np.floating], int8_scores: NDArray[np.floating]) -> Agreement:
    """Compare scores of the same items, [items] each."""
    low, high = int8_scores.min(), int8_scores.max()
    at_ends = ((int8_scores == low) | (int8_scores == high)).mean()
    return Agreement(
        correlation=float(np.corrcoef(float_scores, int8_scores)[0, 1]),
        distinct=len(np.unique(int8_scores)),
        saturated=float(at_ends),
    )


def check(found: Agreement, *, distinct_min: int = 32, saturated_max: float = 0.5) -> Agreement:
    """Return `found`, or raise QuantisationFailed: saturated models correlate at about .5."""
    if found.correlation < 0.98:
        raise QuantisationFailed(f"int8 correlates with float at {found.correlation:.3f} only")
    if found.distinct < distinct_min:
        raise QuantisationFailed(f"only {found.distinct} different scores")
    if found.saturated > saturated_max:
        raise QuantisationFailed(f"{found.saturated:.0%} of the scores lie at the ends")
    return found


def stored_inputs(model: bytes, samples: Iterable[Array]) -> list[dict[str, NDArray[np.generic]]]:
    """Return samples as the tensors that the model's input stores: golden samples."""
    source = tflite.create(BackendContext(model)).inputs[0]
    return [{source.name: quantise(sample, source)} for sample in samples]
