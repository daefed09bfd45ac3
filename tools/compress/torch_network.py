"""A PyTorch network that can be narrowed, tuned and exported; imported only where torch is."""

from __future__ import annotations

import copy
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from tools.compress import quantise
from tools.compress.failures import CompressFailed
from tools.training import prune

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tools.compress.source import Tuning
    from tools.compress.structures import Hold

    Array = NDArray[np.float32]

KERNEL_LAYERS = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)
# Real inputs that show the range of each activation before it is rounded.
RANGE_SAMPLES = 256


class TorchNetwork:
    """`network` takes [1, channels, height, width] where `sample` is a picture [1, h, w, c].

    `as_given`: it takes samples in the shape they have, whatever it is.
    """

    def __init__(self, network: Any, sample: Array, *, as_given: bool = False) -> None:  # noqa: ANN401  torch is untyped here
        self._network = network.eval()
        self._sample = sample
        self._as_given = as_given
        self._picture = sample.ndim == 4 and sample.shape[3] in {1, 3} and not as_given
        try:
            with torch.no_grad():
                answer = self._network(self._fed(sample))
        except (RuntimeError, TypeError, ValueError) as error:
            raise CompressFailed(
                f"the network does not take samples of shape {list(sample.shape)}: "
                f"{str(error).splitlines()[0]}"
            ) from None
        if not isinstance(answer, torch.Tensor):
            raise CompressFailed("the network must answer one tensor")
        self._answers_map = self._picture and answer.ndim == 4

    def copy(self) -> TorchNetwork:
        """Return another one with the same weights."""
        return TorchNetwork(copy.deepcopy(self._network), self._sample, as_given=self._as_given)

    def narrow(self, share: float) -> str:
        """Take channels out of every layer but the last one that has a kernel."""
        layers = [layer for layer in self._network.modules() if isinstance(layer, KERNEL_LAYERS)]
        if len(layers) < 2:
            raise CompressFailed("there is no layer but the last one to take channels from")
        try:
            return prune.prune(self._network, self._fed(self._sample), share, layers[-1])
        except (RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise CompressFailed(
                f"its channels cannot be taken out: {str(error).splitlines()[0]}"
            ) from None

    def tune(self, inputs: Array, tuning: Tuning) -> None:
        """Train in place until the answers are those wanted."""
        torch.manual_seed(tuning.seed)
        generator = torch.Generator().manual_seed(tuning.seed)
        layers = self._kernels()
        with ExitStack() as stack:
            if tuning.quantised:
                stack.enter_context(_rounded(self._network, self._fed(inputs[:RANGE_SAMPLES])))
            holds = _holds(layers, tuning)
            _force(holds)
            optimiser = torch.optim.Adam(self._network.parameters(), lr=tuning.rate)
            steps = max(1, tuning.epochs * -(-len(inputs) // tuning.batch))
            cooling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
            wanted = torch.from_numpy(self._as_answered(tuning.answers))
            loss = _loss_for(tuning.answers)
            # Channels that went take their share of every mean along; rounding leaves means alone.
            self._network.train(not tuning.quantised)
            for _ in range(tuning.epochs):
                order = torch.randperm(len(inputs), generator=generator)
                for chosen in order.split(tuning.batch):
                    if len(chosen) == 1:  # has no deviation to normalise by
                        continue
                    optimiser.zero_grad()
                    answers = self._network(self._fed(inputs[chosen.numpy()]))
                    loss(answers, wanted[chosen].reshape(answers.shape)).backward()
                    optimiser.step()
                    cooling.step()
                    _force(holds)
        self._network.eval()

    def tflite(self) -> bytes:
        """Return the float model."""
        return quantise.float_model(
            copy.deepcopy(self._network),
            self._sample,
            picture=self._picture,
            answers_map=self._answers_map,
        )

    def _fed(self, inputs: Array) -> Any:  # noqa: ANN401
        """Return inputs as the network takes them."""
        values = torch.from_numpy(np.ascontiguousarray(inputs))
        return values.permute(0, 3, 1, 2).contiguous() if self._picture else values

    def _as_answered(self, answers: Array) -> Array:
        """Return the model's answers in the network's order of axes."""
        return np.moveaxis(answers, -1, 1).copy() if self._answers_map else answers

    def _kernels(self) -> list[Any]:
        return [layer for layer in self._network.modules() if isinstance(layer, KERNEL_LAYERS)]


def _loss_for(answers: Array) -> Callable[[Any, Any], Any]:
    """Return the loss that pulls answers to those of the float model: what suits their kind."""
    flat = answers.reshape(len(answers), -1)
    within = float(flat.min()) >= 0.0 and float(flat.max()) <= 1.0
    if within and flat.shape[1] > 1 and np.allclose(flat.sum(axis=1), 1, atol=1e-3):
        return lambda given, wanted: -(wanted * torch.log(given.clamp_min(1e-7))).sum(1).mean()
    functional = torch.nn.functional
    chosen: Callable[[Any, Any], Any] = (
        functional.binary_cross_entropy if within else functional.mse_loss
    )
    return chosen


def _holds(layers: list[Any], tuning: Tuning) -> list[tuple[Any, Hold]]:
    structure = tuning.structure
    if structure is None:
        return []
    kernels = [_stored_kernel(layer) for layer in layers]
    return [(kernel, structure(kernel.detach().numpy())) for kernel in kernels]


def _force(holds: list[tuple[Any, Hold]]) -> None:
    with torch.no_grad():
        for kernel, hold in holds:
            kernel.copy_(torch.from_numpy(np.ascontiguousarray(hold(kernel.numpy()), np.float32)))


def _stored_kernel(layer: Any) -> Any:  # noqa: ANN401
    """Return the kernel itself, not its rounded image."""
    if parametrize.is_parametrized(layer, "weight"):
        return layer.parametrizations.weight.original
    return layer.weight


@contextmanager
def _rounded(network: Any, inputs: Any) -> Iterator[None]:  # noqa: ANN401
    """Round kernels per channel and what layers take to int8 in the forward pass, meanwhile.

    Gradients pass as if nothing were rounded (straight-through estimator: Bengio et al., 2013).
    Ranges of activations are the true smallest and largest value over `inputs`.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, KERNEL_LAYERS)]
    ranges = _ranges(network, layers, inputs)
    hooks = [
        layer.register_forward_pre_hook(_rounding(*ranges[index]))
        for index, layer in enumerate(layers)
        if index in ranges
    ]
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", _RoundedKernel())
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            # The values before rounding: the quantiser rounds them the same way.
            kernel = layer.parametrizations.weight.original.detach().clone()
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
            layer.weight.data.copy_(kernel)


class _RoundedKernel(torch.nn.Module):  # type: ignore[misc] # torch is untyped here
    def forward(self, kernel: Any) -> Any:  # noqa: ANN401
        axes = tuple(range(1, kernel.ndim))
        scale = kernel.detach().abs().amax(axes, keepdim=True).clamp_min(1e-8) / 127
        rounded = (kernel / scale).round().clamp(-127, 127) * scale
        return kernel + (rounded - kernel).detach()


def _ranges(network: Any, layers: list[Any], inputs: Any) -> dict[int, tuple[float, float]]:  # noqa: ANN401
    found: dict[int, tuple[float, float]] = {}

    def noting(index: int) -> Any:  # noqa: ANN401
        def note(_: Any, given: tuple[Any, ...]) -> None:  # noqa: ANN401
            found[index] = (float(given[0].min()), float(given[0].max()))

        return note

    hooks = [layer.register_forward_pre_hook(noting(i)) for i, layer in enumerate(layers)]
    with torch.no_grad():
        network(inputs)
    for hook in hooks:
        hook.remove()
    return found


def _rounding(low: float, high: float) -> Any:  # noqa: ANN401
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, 1e-8) / 255
    zero = round(-128 - low / scale)

    def round_given(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:  # noqa: ANN401
        first = torch.fake_quantize_per_tensor_affine(given[0], scale, zero, -128, 127)
        return (first, *given[1:])

    return round_given
