"""The networks that are trained here, small enough for a gateway's CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def picture_net(widths: tuple[int, ...], classes: int, final: tuple[int, int]) -> Any:  # noqa: ANN401
    """Return a plain convolutional net for [n, 3, height, width]; each stage halves the picture.

    `final`: height and width after the last stage. The strongest answer anywhere counts, not the
    mean: a defect is small.
    """
    layers: list[Any] = []
    channels = 3
    for number, width in enumerate(widths):
        layers += _convolution(channels, width, stride=2)
        if number:
            layers += _convolution(width, width, stride=1)
        channels = width
    return nn.Sequential(*layers, nn.MaxPool2d(final), nn.Flatten(), nn.Linear(channels, classes))


def spectrum_net(columns: int, widths: tuple[int, ...], bands: int, classes: int) -> Any:  # noqa: ANN401
    """Return a convolutional net along the frequency axis for [n, columns, 1, bands]."""
    layers: list[Any] = []
    channels = columns
    for width in widths:
        layers += [
            nn.Conv2d(channels, width, (1, 5), (1, 2), (0, 2), bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        channels = width
    # Where a line of the spectrum lies is what tells the defects apart, so nothing is pooled.
    left = bands >> len(widths)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * left, classes))


def mixer(
    columns: int,
    samples: int,
    width: int = 40,
    hidden: tuple[int, int] = (40, 80),
    blocks: int = 2,
    outputs: int = 1,
) -> Any:  # noqa: ANN401
    """Return an MLP-Mixer for [n, samples, columns] with `outputs` values per item.

    Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", 2021; without its
    normalisation, whose arithmetic int8 does badly, and with ReLU.
    """
    layers: list[Any] = [nn.Linear(columns, width)]
    for _ in range(blocks):
        layers += [
            _Residual(_Transpose(), *_two_layers(samples, hidden[0]), _Transpose()),
            _Residual(*_two_layers(width, hidden[1])),
        ]
    return nn.Sequential(*layers, _MeanOverSamples(), nn.Linear(width, outputs))


def autoencoder(columns: int, samples: int, hidden: int = 64, code: int = 8) -> Any:  # noqa: ANN401
    """Return a dense autoencoder for [n, samples, columns]; its answer has the same shape."""
    values = columns * samples
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(values, hidden),
        nn.ReLU(),
        nn.Linear(hidden, code),
        nn.ReLU(),
        nn.Linear(code, hidden),
        nn.ReLU(),
        nn.Linear(hidden, values),
        nn.Unflatten(1, (samples, columns)),
    )


def forecaster(columns: int, samples: int, target: int, outputs: int, hidden: int = 32) -> Any:  # noqa: ANN401
    """Return a net for [n, samples, columns] that adds a change to the last value of one column.

    It answers the next `outputs` values of column `target`, [n, outputs]: untrained it says that
    all stays as it is, so training can only learn what is better.
    """
    return _Forecaster(columns, samples, target, outputs, hidden)


def density(mean: Any, whitening: Any) -> Any:  # noqa: ANN401  torch tensors
    """Return how far a window [n, samples, columns] lies from what is usual, [n, 1].

    A window's mean, and mean absolute deviation, of each column make a point [2 * columns]; the
    answer is the mean square of whitening @ (point - mean), Mahalanobis' distance over its length.
    """
    return _Density(mean, whitening)


def rescaled(network: Any, sizes: NDArray[np.float32]) -> Any:  # noqa: ANN401
    """Return `network` for inputs divided by `sizes` [columns]; its answer is so divided, too."""
    return _Rescaled(network, sizes)


def window_statistics(windows: Any) -> Any:  # noqa: ANN401  torch tensors
    """Return mean and mean absolute deviation of each column: [n, 2 * columns]."""
    mean = torch.mean(windows, 1, keepdim=True)
    return torch.cat([mean[:, 0], torch.mean(torch.abs(windows - mean), 1)], 1)


def _convolution(channels: int, width: int, stride: int) -> list[Any]:
    return [
        nn.Conv2d(channels, width, 3, stride, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]


def _two_layers(width: int, hidden: int) -> list[Any]:
    return [nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width)]


class _Residual(nn.Module):  # type: ignore[misc] # torch is untyped here
    def __init__(self, *layers: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.inner = nn.Sequential(*layers)

    def forward(self, values: Any) -> Any:  # noqa: ANN401
        return values + self.inner(values)


class _Transpose(nn.Module):  # type: ignore[misc]
    def forward(self, values: Any) -> Any:  # noqa: ANN401
        return values.transpose(1, 2)


class _MeanOverSamples(nn.Module):  # type: ignore[misc]
    def forward(self, values: Any) -> Any:  # noqa: ANN401
        return torch.mean(values, 1)


class _Forecaster(nn.Module):  # type: ignore[misc]
    def __init__(self, columns: int, samples: int, target: int, outputs: int, hidden: int) -> None:
        super().__init__()
        self.target = target
        change = nn.Linear(hidden, outputs)
        nn.init.zeros_(change.weight)
        nn.init.zeros_(change.bias)
        first = nn.Linear(columns * samples, hidden)
        self.inner = nn.Sequential(nn.Flatten(), first, nn.ReLU(), change)

    def forward(self, windows: Any) -> Any:  # noqa: ANN401
        return windows[:, -1, self.target : self.target + 1] + self.inner(windows)


class _Rescaled(nn.Module):  # type: ignore[misc]
    def __init__(self, network: Any, sizes: NDArray[np.float32]) -> None:  # noqa: ANN401
        super().__init__()
        self.network = network
        self.register_buffer("sizes", torch.from_numpy(sizes))
        self.register_buffer("inverse", 1 / torch.from_numpy(sizes))

    def forward(self, windows: Any) -> Any:  # noqa: ANN401
        return self.network(windows * self.sizes) * self.inverse


class _Density(nn.Module):  # type: ignore[misc]
    def __init__(self, mean: Any, whitening: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.whiten = nn.Linear(whitening.shape[1], whitening.shape[0])
        with torch.no_grad():
            self.whiten.weight.copy_(whitening)
            self.whiten.bias.copy_(-whitening @ mean)

    def forward(self, windows: Any) -> Any:  # noqa: ANN401
        return torch.mean(torch.square(self.whiten(window_statistics(windows))), 1, keepdim=True)
