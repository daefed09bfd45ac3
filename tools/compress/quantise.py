"""From a trained network to a small model, and the gate that a quantised model must pass.

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
from edge_agent.inference.quantisation import dequantise, quantise
from tools.compress.tensor_ranges import narrowest
from tools.compress.tflite_file import tidied
from tools.training.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from edge_agent.backends.base import Backend
    from edge_agent.types import TensorSpec

    Array = NDArray[np.float32]

# Fewer samples do not show the range of each tensor.
CALIBRATION_SAMPLES_MIN = 200
CORRELATION_MIN = 0.98
# Steps of a quantised output whose scores count as being at its end.
END_STEPS = 255
# Share of scores that may lie at the ends beyond those that do so in the float model, too:
# confident answers gather at 0 and at 1 in both.
EXCESS_MAX = 0.2


class QuantisationFailed(Exception):
    """A model cannot be converted or quantised, or answers unlike the float one; says why."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How int8 scores compare with float scores of the same items."""

    correlation: float
    distinct: int
    saturated: float
    """Share of scores at the smallest or the largest value that occurs."""
    float_saturated: float = 0.0
    """Share of the float scores that lie there, too: within one step of the same two values."""
    cut_off: float = 0.0
    """Share of the float scores beyond them: what the int8 model cannot say."""
    float_distinct: int = 0
    """How many different scores the float model gives; 0 where nobody counted."""

    def sentence(self) -> str:
        """Return what a person wants to know of it."""
        return f"correlation {self.correlation:.4f}, {self.distinct} values"


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
    Raises QuantisationFailed where the network holds what TFLite has no operator for.
    """
    import torch  # noqa: PLC0415  of the training environment only

    with quiet():  # it prints what else it could load, and each of its steps
        import litert_torch  # noqa: PLC0415

    network = network.eval()
    if picture:
        outputs = [0] if answers_map else None
        network = litert_torch.to_channel_last_io(network, args=[0], outputs=outputs)
    try:
        with quiet():
            converted = litert_torch.convert(network, (torch.from_numpy(sample),))
    except Exception as error:  # the converter raises whatever its layers raise
        raise QuantisationFailed(f"it does not convert to TFLite: {_first_line(error)}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        with quiet():
            converted.export(str(path))
        return path.read_bytes()


def int8_model(
    model: bytes,
    samples: Iterable[Array],
    *,
    fewest: int = CALIBRATION_SAMPLES_MIN,
    activation_bits: int = 8,
    keep_float: Sequence[str] = (),
) -> bytes:
    """Return `model` with int8 weights per channel, int8 activations and input; output float.

    `activation_bits`: 16 for int16 activations and input, for models that 8 bits spoil. `samples`:
    real inputs, each of the input's shape; at least `fewest`. `keep_float`: regular expressions;
    operators whose outputs' names match one stay as they are. Raises QuantisationFailed.
    """
    from ai_edge_quantizer import calibrator, recipe, recipe_manager  # noqa: PLC0415
    from ai_edge_quantizer.utils import qsv_utils  # noqa: PLC0415

    model = tidied(model)
    inputs = _calibration_inputs(model, samples, fewest)
    wanted = recipe_manager.RecipeManager()
    wanted.load_quantization_recipe(
        recipe.static_wi8_ai8() if activation_bits == 8 else recipe.static_wi8_ai16()
    )
    wanted.add_quantization_config(
        regex=".*",
        operation_name="OUTPUT",
        algorithm_key=recipe.AlgorithmName.NO_QUANTIZE,
    )
    for pattern in keep_float:
        wanted.add_quantization_config(
            regex=pattern, operation_name="*", algorithm_key=recipe.AlgorithmName.NO_QUANTIZE
        )
    with quiet():  # it warns that every tensor is kept, which is what is wanted
        calibration = calibrator.Calibrator(model, 1, qsv_update_func=qsv_utils.min_max_update)
        signature = next(iter(calibration.get_signature_list()))
        calibration.calibrate({signature: inputs}, wanted)
    return _quantised(model, wanted.get_quantization_recipe(), calibration.get_model_qsvs())


def dynamic_range_model(model: bytes) -> bytes:
    """Return `model` with int8 weights per channel; activations are quantised as it runs."""
    from ai_edge_quantizer import recipe  # noqa: PLC0415  of the training environment only

    return _quantised(model, recipe.dynamic_wi8_afp32(), None)


def float16_model(model: bytes) -> bytes:
    """Return `model` with float16 weights; it computes in float32."""
    from ai_edge_quantizer import recipe, recipe_manager  # noqa: PLC0415

    wanted = recipe_manager.RecipeManager()
    for operation in ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE"):
        wanted.add_weight_only_config(
            regex=".*",
            operation_name=operation,
            num_bits=16,
            algorithm_key=recipe.AlgorithmName.FLOAT_CASTING,
        )
    return _quantised(model, wanted.get_quantization_recipe(), None)


def loaded(model: bytes) -> Backend:
    """Return the agent's own backend; the runtime's words on how it computes are left out."""
    with quiet():
        return tflite.create(BackendContext(model))


def run_model(model: bytes, samples: Iterable[Array]) -> Array:
    """Return the real values of the model's first output for each sample: [samples, ...]."""
    backend = loaded(model)
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
    step = (high - low) / END_STEPS
    at_ends = ((int8_scores == low) | (int8_scores == high)).mean()
    near = (abs(float_scores - low) <= step) | (abs(float_scores - high) <= step)
    beyond = (float_scores < low - step) | (float_scores > high + step)
    constant = float(np.std(int8_scores)) == 0.0 or float(np.std(float_scores)) == 0.0
    return Agreement(
        correlation=0.0 if constant else float(np.corrcoef(float_scores, int8_scores)[0, 1]),
        distinct=len(np.unique(int8_scores)),
        saturated=float(at_ends),
        float_saturated=float(near.mean()),
        cut_off=float(beyond.mean()),
        float_distinct=len(np.unique(float_scores)),
    )


def check(found: Agreement, *, distinct_min: int = 32, saturated_max: float = 0.5) -> Agreement:
    """Return `found`, or raise QuantisationFailed: saturated models correlate at about .5."""
    symptoms = []
    if not found.correlation >= CORRELATION_MIN:
        symptoms.append(f"int8 correlates with float at {found.correlation:.3f} only")
    # Few items cannot take many values, nor can a float model that knows few answers.
    if found.distinct < min(distinct_min, found.float_distinct / 2 or distinct_min):
        symptoms.append(f"it has only {found.distinct} different scores")
    excess = found.saturated - found.float_saturated
    if found.saturated > saturated_max and excess > EXCESS_MAX:
        symptoms.append(
            f"{found.saturated:.0%} of the scores lie at the ends of their range (of the float "
            f"model's {found.float_saturated:.0%}): the output is saturated"
        )
    if not symptoms:
        return found
    if found.cut_off > 0.01:
        symptoms.append(
            f"{found.cut_off:.0%} of the float scores lie beyond what it can answer: its "
            "calibration range is too narrow"
        )
    raise QuantisationFailed("; ".join(symptoms))


def gate(whole: bytes, model: bytes, samples: Sequence[Array]) -> Agreement:
    """Compare both models on real samples, all values of the first output; return the agreement.

    Raises QuantisationFailed, which then also names the tensor whose calibration range cuts off
    most of what it holds, if one does.
    """
    answers = [run_model(each, samples).ravel() for each in (whole, model)]
    try:
        return check(agreement(*answers))
    except QuantisationFailed as failure:
        tensor = narrowest(tidied(whole), model, samples)
        if tensor is None:
            raise
        raise QuantisationFailed(
            f"{failure}. Cause: the calibration range. {tensor.sentence()}. That is what a moving "
            "average of each sample's range does, the quantiser's default; calibrate with the true "
            "minimum and maximum (tools.compress.quantise.int8_model)"
        ) from None


def stored_inputs(model: bytes, samples: Iterable[Array]) -> list[dict[str, NDArray[np.generic]]]:
    """Return samples as the tensors that the model's input stores: golden samples."""
    source = loaded(model).inputs[0]
    return [{source.name: quantise(sample, source)} for sample in samples]


def _calibration_inputs(
    model: bytes, samples: Iterable[Array], fewest: int
) -> list[dict[str, Array]]:
    source = loaded(model).inputs[0]
    given = [np.asarray(sample, np.float32) for sample in samples]
    if len(given) < fewest:
        raise QuantisationFailed(
            f"{len(given)} samples to calibrate with; {fewest} are needed to show each range"
        )
    for number, sample in enumerate(given):
        if not _fits(sample.shape, source):
            raise QuantisationFailed(
                f"calibration sample {number} has shape {list(sample.shape)}; the model's input "
                f"{source.name} wants {list(source.shape)}"
            )
        if not np.isfinite(sample).all():
            raise QuantisationFailed(f"calibration sample {number} holds NaN or infinity")
    return [{source.name: sample} for sample in given]


def _fits(shape: tuple[int, ...], source: TensorSpec) -> bool:
    sizes = zip(shape, source.shape, strict=False)
    return len(shape) == len(source.shape) and all(size in {given, -1} for given, size in sizes)


def _quantised(model: bytes, recipe: Any, ranges: Any) -> bytes:  # noqa: ANN401  the quantiser's
    from ai_edge_quantizer import quantizer  # noqa: PLC0415  of the training environment only

    try:
        with quiet():
            result = quantizer.Quantizer(tidied(model), recipe).quantize(ranges)
    except (ValueError, RuntimeError, KeyError) as error:
        raise QuantisationFailed(f"the quantiser refuses it: {_first_line(error)}") from error
    if result.quantized_model is None:
        raise QuantisationFailed("the quantiser made no model of it")
    return bytes(result.quantized_model)


def _first_line(error: BaseException) -> str:
    """Return the first line of what a converter says, which may run to pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
