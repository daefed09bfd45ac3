"""The one training loop: AdamW under a one-cycle schedule, the same result for the same seed."""

from __future__ import annotations

import copy
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Runs are repeatable for one number of threads: sums are then taken in one order. Two wait for each
# other dozens of times a step, which takes ten times as long where the machine does something else.
THREADS = 1
BAR = 20


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast, and when to stop earlier.

    `validate(network)` returns how good the network is on items that are held out, the higher the
    better: the weights of the best epoch are those that stay. `patience`: after so many epochs
    without a better one the training ends. `threads`: small networks do best on one.
    """

    epochs: int
    rate: float = 3e-3
    batch: int = 128
    decay: float = 1e-2
    seed: int = 0
    threads: int = THREADS
    patience: int | None = None
    validate: Callable[[Any], float] | None = None


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
    torch.set_num_threads(schedule.threads)
    generator = torch.Generator().manual_seed(schedule.seed)
    torch.manual_seed(schedule.seed)
    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    batch_size = min(schedule.batch, len(x))
    steps = len(x) // batch_size
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.rate, weight_decay=schedule.decay
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=schedule.rate, total_steps=steps * schedule.epochs
    )

    def step(chosen: Any) -> float:  # noqa: ANN401
        batch, wanted = x[chosen], y[chosen]
        if augment is not None:
            batch, wanted = augment(batch, wanted, generator)
        optimiser.zero_grad()
        value = loss(network(batch), wanted)
        value.backward()
        optimiser.step()
        cycle.step()
        return float(value.item())

    def epoch(number: int) -> float:
        network.train()
        order = torch.randperm(len(x), generator=generator)
        total = 0.0
        for at in range(steps):
            _bar(number, at / steps, schedule.epochs)
            total += step(order[at * batch_size : (at + 1) * batch_size])
        return total / steps

    _until_good(network, schedule, epoch)
    network.eval()


def predict(
    network: Any,  # noqa: ANN401  a torch module
    inputs: NDArray[np.generic],
    prepare: Callable[[Any], Any] | None = None,
    batch_size: int = 256,
) -> NDArray[np.float32]:
    """Return the network's answers for inputs [items, ...]."""
    network.eval()
    answers = []
    with torch.no_grad():
        for start in range(0, len(inputs), batch_size):
            batch = torch.from_numpy(inputs[start : start + batch_size])
            answers.append(network(batch if prepare is None else prepare(batch)).numpy())
    return np.concatenate(answers)


def _until_good(network: Any, schedule: Schedule, epoch: Callable[[int], float]) -> None:  # noqa: ANN401
    """Train epoch by epoch; end with the weights that did best on the validation items."""
    best, waited, weights = -np.inf, 0, None
    for number in range(schedule.epochs):
        began = time.monotonic()
        text = f"loss {epoch(number):.5f}"
        if schedule.validate is not None:
            network.eval()
            value = float(schedule.validate(network))
            text += f"  validation {value:.4f}"
            waited += 1
            if value > best:
                best, waited, weights = value, 0, copy.deepcopy(network.state_dict())
                text += " best"
        _line(number, schedule.epochs, f"{text}  {time.monotonic() - began:.1f} s")
        if schedule.patience is not None and waited >= schedule.patience:
            print(f"  no better for {waited} epochs: enough", flush=True)
            break
    if weights is not None:
        network.load_state_dict(weights)


def _bar(epoch: int, share: float, epochs: int) -> None:
    """Show how far this epoch is, where somebody watches."""
    if sys.stdout.isatty():
        done = round(share * BAR)
        print(f"\r  epoch {epoch + 1:2d}/{epochs}  [{'#' * done:.<{BAR}}]", end="", flush=True)


def _line(epoch: int, epochs: int, text: str) -> None:
    start = "\r" if sys.stdout.isatty() else ""
    done = round((epoch + 1) / epochs * BAR)
    print(f"{start}  epoch {epoch + 1:2d}/{epochs}  [{'#' * done:.<{BAR}}]  {text}", flush=True)
