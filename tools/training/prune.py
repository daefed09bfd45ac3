"""Structured pruning: whole channels go, so that the network is smaller and faster on any CPU.

What is left must be trained again: just after pruning half of the channels a network may be worse
than chance.
"""

from __future__ import annotations

from typing import Any

import torch
import torch_pruning

# Kernels work on channels in groups of 8: other widths cost as much as the next multiple.
CHANNEL_STEP = 8


def prune(network: Any, sample: Any, share: float, head: Any) -> str:  # noqa: ANN401  torch modules
    """Take the weakest `share` of the channels of every layer but `head`, in place.

    Weak is what has small weights, over all layers that a channel runs through. Returns what it
    did, in words.
    """
    network.eval()
    weights, operations = _size(network, sample)
    pruner = torch_pruning.pruner.MagnitudePruner(
        network,
        sample,
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=share,
        round_to=CHANNEL_STEP,
        ignored_layers=[head],
    )
    pruner.step()
    weights_left, operations_left = _size(network, sample)
    return (
        f"{weights / 1e3:.0f}k weights and {operations / 1e6:.1f}M multiplications to "
        f"{weights_left / 1e3:.0f}k and {operations_left / 1e6:.1f}M"
    )


def _size(network: Any, sample: Any) -> tuple[int, int]:  # noqa: ANN401  torch modules
    """Return how many weights there are, and multiplications for one sample."""
    operations = 0

    def count(layer: Any, _: Any, output: Any) -> None:  # noqa: ANN401
        nonlocal operations
        # Each value of the output takes one multiplication per weight of its channel.
        operations += output.numel() * (layer.weight.numel() // layer.weight.shape[0])

    layers = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, layers)
    ]
    with torch.no_grad():
        network(sample)
    for hook in hooks:
        hook.remove()
    return sum(weight.numel() for weight in network.parameters()), operations
