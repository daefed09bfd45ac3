"""A Keras network that can be narrowed, tuned and exported; imported only where TensorFlow is.

Works on keras 3 and on tf_keras (Keras 2) alike: `library` is the one that read the model.
"""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tools.compress import keras_narrow
from tools.compress.failures import CompressFailed
from tools.compress.fitting import check_input
from tools.compress.quantise import QuantisationFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tools.compress.source import Tuning
    from tools.compress.structures import Hold

    Array = NDArray[np.float32]

# Real inputs that show the range of each activation before it is rounded.
RANGE_SAMPLES = 256


class KerasNetwork:
    """`model` takes inputs as the TFLite model will: [items, ...], channels last."""

    def __init__(self, model: Any, library: Any, sample: Array) -> None:  # noqa: ANN401  untyped
        self._model, self._library, self._sample = model, library, sample
        # Not left to the call: a network that pools over the picture answers at any size.
        wanted = _input_shape(model)
        if wanted is not None:
            check_input(sample.shape, wanted)
        try:
            self._model(sample, training=False)
        except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
            raise CompressFailed(
                f"the model does not take samples of shape {list(sample.shape)}: "
                f"{str(error).splitlines()[0][:120]}"
            ) from None

    def copy(self) -> KerasNetwork:
        """Return another one with the same weights."""
        twin = self._library.models.clone_model(self._model)
        twin.set_weights(self._model.get_weights())
        return KerasNetwork(twin, self._library, self._sample)

    def narrow(self, share: float) -> str:
        """Take channels out of every layer but the last one that has a kernel."""
        before = self._model.count_params()
        self._model = keras_narrow.narrowed(self._model, self._library, share)
        after = self._model.count_params()
        return f"{before / 1e3:.1f}k weights to {after / 1e3:.1f}k"

    def tune(self, inputs: Array, tuning: Tuning) -> None:
        """Train in place until the answers are those wanted."""
        kernels = [layer.kernel for layer in self._kernel_layers()]
        holds = _holds(kernels, tuning)
        for kernel, hold in holds:
            kernel.assign(hold(kernel.numpy()))
        steps = max(1, tuning.epochs * -(-len(inputs) // tuning.batch))
        cooling = self._library.optimizers.schedules.CosineDecay(tuning.rate, steps)
        optimiser = self._library.optimizers.Adam(cooling)
        step = self._step(optimiser, kernels, tuning, self._forward(inputs, tuning))
        rng = np.random.default_rng(tuning.seed)
        self._library.utils.set_random_seed(tuning.seed)
        for _ in range(tuning.epochs):
            order = rng.permutation(len(inputs))
            for start in range(0, len(order), tuning.batch):
                chosen = order[start : start + tuning.batch]
                step(tf.constant(inputs[chosen]), tf.constant(tuning.answers[chosen]))
                for kernel, hold in holds:
                    kernel.assign(hold(kernel.numpy()))

    def tflite(self) -> bytes:
        """Return the float model."""
        model = self._model

        def answer(inputs: Any) -> Any:  # noqa: ANN401
            return model(inputs, training=False)

        shape = (1, *self._sample.shape[1:])
        concrete = tf.function(answer).get_concrete_function(
            tf.TensorSpec(shape, tf.float32, name="input")
        )
        # As variables, kernels would stay out of reach of every quantiser.
        frozen = convert_variables_to_constants_v2(concrete)
        return converted(tf.lite.TFLiteConverter.from_concrete_functions([frozen]))

    def _step(
        self,
        optimiser: Any,  # noqa: ANN401
        kernels: list[Any],
        tuning: Tuning,
        forward: Callable[..., Any],
    ) -> Callable[[Any, Any], None]:
        loss, variables = _loss_for(tuning.answers), self._model.trainable_variables
        optimiser.build(variables)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def step(inputs: Any, wanted: Any) -> None:  # noqa: ANN401
            whole = [tf.identity(kernel) for kernel in kernels]
            if tuning.quantised:
                for kernel in kernels:
                    kernel.assign(_rounded_kernel(kernel))
            with tf.GradientTape() as tape:
                value = loss(forward(inputs), wanted)
            gradients = tape.gradient(value, variables)
            if tuning.quantised:
                # Gradients at the rounded kernel move the whole one (straight-through estimator).
                for kernel, values in zip(kernels, whole, strict=True):
                    kernel.assign(values)
            optimiser.apply_gradients(zip(gradients, variables, strict=True))

        made: Callable[[Any, Any], None] = step
        return made

    def _forward(self, inputs: Array, tuning: Tuning) -> Callable[[Any], Any]:
        """Return the forward pass; with rounding, what each layer of a chain takes is rounded."""
        layers = keras_narrow.chain(self._model)
        if not tuning.quantised or layers is None:
            return lambda given: self._model(given, training=not tuning.quantised)
        ranges = _ranges(layers, inputs[:RANGE_SAMPLES])

        def forward(given: Any) -> Any:  # noqa: ANN401
            for layer, (low, high) in zip(layers, ranges, strict=True):
                if hasattr(layer, "kernel"):
                    given = tf.quantization.fake_quant_with_min_max_args(given, low, high)
                given = layer(given)
            return given

        return forward

    def _kernel_layers(self) -> list[Any]:
        layers = getattr(self._model, "_flatten_layers", None)
        found = layers() if callable(layers) else self._model.layers
        return [layer for layer in found if getattr(layer, "kernel", None) is not None]


def _input_shape(model: Any) -> list[int] | None:  # noqa: ANN401  untyped
    """Return the shape of the model's one input, -1 for any size; None where it has none yet."""
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    if len(inputs) != 1:
        raise CompressFailed(f"the model has {len(inputs)} inputs instead of one")
    return [-1 if size is None else int(size) for size in inputs[0].shape]


def converted(converter: Any) -> bytes:  # noqa: ANN401  a TFLiteConverter
    """Return what the converter makes; raise QuantisationFailed in a sentence where it cannot."""
    try:
        # It warns that constants come without the variables they were frozen from.
        logging.set_verbosity(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()):
            return bytes(converter.convert())
    except Exception as error:  # its own class has no public name
        text = str(error)
        operators = sorted(set(re.findall(r"\btf\.([A-Z]\w+)", text)))
        reason = (
            f"TensorFlow Lite has no operator for {', '.join(operators)}"
            if operators
            else (text.strip() or type(error).__name__).splitlines()[0][:300]
        )
        raise QuantisationFailed(f"it does not convert to TFLite: {reason}") from error


def _loss_for(answers: Array) -> Callable[[Any, Any], Any]:
    """Return the loss that pulls answers to those of the float model: what suits their kind."""
    flat = answers.reshape(len(answers), -1)
    within = float(flat.min()) >= 0.0 and float(flat.max()) <= 1.0

    def entropy(given: Any, wanted: Any) -> Any:  # noqa: ANN401
        logs = tf.math.log(tf.maximum(given, 1e-7))
        return -tf.reduce_mean(tf.reduce_sum(wanted * logs, axis=-1))

    def two_sided(given: Any, wanted: Any) -> Any:  # noqa: ANN401
        logs = tf.math.log(tf.maximum(given, 1e-7))
        others = tf.math.log(tf.maximum(1 - given, 1e-7))
        return -tf.reduce_mean(wanted * logs + (1 - wanted) * others)

    def squares(given: Any, wanted: Any) -> Any:  # noqa: ANN401
        return tf.reduce_mean(tf.square(given - wanted))

    if within and flat.shape[1] > 1 and np.allclose(flat.sum(axis=1), 1, atol=1e-3):
        return entropy
    return two_sided if within else squares


def _holds(kernels: list[Any], tuning: Tuning) -> list[tuple[Any, Hold]]:
    """Return each kernel with what forces it; structures count output channels first."""
    structure = tuning.structure
    if structure is None:
        return []

    def turned(hold: Hold) -> Hold:
        return lambda values: np.moveaxis(hold(np.moveaxis(values, -1, 0)), 0, -1)

    firsts = [(kernel, np.moveaxis(kernel.numpy(), -1, 0)) for kernel in kernels]
    return [(kernel, turned(structure(first))) for kernel, first in firsts]


def _rounded_kernel(kernel: Any) -> Any:  # noqa: ANN401
    values = tf.convert_to_tensor(kernel)
    axes = list(range(len(values.shape) - 1))
    scale = tf.maximum(tf.reduce_max(tf.abs(values), axis=axes, keepdims=True), 1e-8) / 127
    return tf.round(values / scale) * scale


def _ranges(layers: list[Any], inputs: Array) -> list[tuple[float, float]]:
    """Return the smallest and largest value that each layer takes, 0 always among them."""
    found, values = [], tf.constant(inputs)
    for layer in layers:
        low, high = float(tf.reduce_min(values)), float(tf.reduce_max(values))
        found.append((min(low, 0.0), max(high, low + 1e-6, 1e-6)))
        values = layer(values)
    return found
