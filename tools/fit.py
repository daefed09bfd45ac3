"""The one training loop: AdamW under a one-cycle schedule, the same result for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Runs are repeatable for one number of threads: sums are then taken in one order.
THREADS = 2


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast."""

    epochs: int
    rate: float = 3e-3
    batch: int = 128
    decay: float = 1e-2
    seed: int = 0


def fit(
    network: Any,  # noqa: ANN401  a torch module
    inputs: NDArray[np.generic],
    targets: NDArray[np.generic],
    loss: Callable[[Any, Any], Any],
    schedule: Schedule,
    augment: Callable[[Any, Any, Any], tuple[Any, Any]] | None = None,
) -> None:
    """Train `network` in place on inputs [items, ...] and targets [items, ...].

    `augment(inputs, targets, generator)` returns a batch as the network and the loss take it:
    pixels still come as uint8.
    """
    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(schedule.seed)
    torch.manual_seed(schedule.seed)
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    steps = len(x) // schedule.batch
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.rate, weight_decay=schedule.decay
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=schedule.rate, total_steps=steps * schedule.epochs
    )
    network.train()
    for epoch in range(schedule.epochs):
        order = torch.randperm(len(x), generator=generator)
        total = 0.0
        for step in range(steps):
            chosen = order[step * schedule.batch : (step + 1) * schedule.batch]
            batch, wanted = x[chosen], y[chosen]
            if augment is not None:
                batch, wanted = augment(batch, wanted, generator)
            optimiser.zero_grad()
            value = loss(network(batch), wanted)
            value.backward()
            optimiser.step()
            cycle.step()
            total += value.item()
        print(f"  epoch {epoch + 1:2d}/{schedule.epochs}  loss {total / steps:.5f}", flush=True)
    network.eval()


def predict(
    network: Any,  # noqa: ANN401  a torch module
    inputs: NDArray[np.generic],
    prepare: Callable[[Any], Any] | None = None,
) -> NDArray[np.float32]:
    """Return the network's answers for inputs [items, ...]."""
    network.eval()
    answers = []
    with torch.no_grad():
        for start in range(0, len(inputs), 256):
            batch = torch.from_numpy(inputs[start : start + 256])
            answers.append(network(batch if prepare is None else prepare(batch)).numpy())
    return np.concatenate(answers)
