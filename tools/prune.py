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
    operations, weights = torch_pruning.utils.count_ops_and_params(network, sample)
    pruner = torch_pruning.pruner.MagnitudePruner(
        network,
        sample,
        importance=torch_pruning.importance.MagnitudeImportance(p=2),
        pruning_ratio=share,
        round_to=CHANNEL_STEP,
        ignored_layers=[head],
    )
    pruner.step()
    with torch.no_grad():
        network(sample)
    operations_left, weights_left = torch_pruning.utils.count_ops_and_params(network, sample)
    return (
        f"{weights / 1e3:.0f}k weights and {operations / 1e6:.1f}M multiplications to "
        f"{weights_left / 1e3:.0f}k and {operations_left / 1e6:.1f}M"
    )
