"""The networks that are trained here, small enough for a gateway's CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


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
    columns: int, samples: int, width: int = 40, hidden: tuple[int, int] = (40, 80), blocks: int = 2
) -> Any:  # noqa: ANN401
    """Return an MLP-Mixer for [n, samples, columns] with one value per item, [n, 1].

    Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", 2021; without its
    normalisation, whose arithmetic int8 does badly, and with ReLU.
    """
    layers: list[Any] = [nn.Linear(columns, width)]
    for _ in range(blocks):
        layers += [
            _Residual(_Transpose(), *_two_layers(samples, hidden[0]), _Transpose()),
            _Residual(*_two_layers(width, hidden[1])),
        ]
    return nn.Sequential(*layers, _MeanOverSamples(), nn.Linear(width, 1))


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
