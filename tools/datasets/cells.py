"""Pictures and vibration from the simulated cell, for training and for testing.

Seeds of the two never meet, and each seed has its own belt, metal and noise or its own motor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_agent.cell.conveyor import LABELS, Conveyor
from edge_agent.cell.motor import CHANNELS, FAULTS, Life, Motor
from edge_agent.types import Frame, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.cell.conveyor import Picture
    from edge_agent.cell.motor import Block
    from edge_agent.inference.preprocess import WindowPreprocess

TRAINING_SEEDS = range(1000, 2000)
TEST_SEEDS = range(5000, 6000)
# Textures take a while to make: this many pictures share them.
PICTURES_PER_SEED = 100


def pictures(seeds: range, count: int) -> Iterator[Picture]:
    """Yield `count` pictures, every label as often as any other, but twice as many ok."""
    labels = ("ok", *LABELS)
    for number in range(count):
        if number % PICTURES_PER_SEED == 0:
            conveyor = Conveyor(seeds[number // PICTURES_PER_SEED])
        yield conveyor.picture(number, labels[number % len(labels)])


def frame(picture: Picture) -> Frame:
    """Return a picture as the agent gets it."""
    return Frame(picture.pixels, 0, 0, 0)


def vibrations(seeds: range, count: int, shape: WindowPreprocess) -> Iterator[tuple[Block, Window]]:
    """Yield `count` windows, each of a motor of its own, half of them healthy."""
    conditions = ("healthy", "healthy", *FAULTS)
    for number in range(count):
        rng = np.random.default_rng([seeds[0], number])
        fault = conditions[number % len(conditions)]
        life = Life(fault=fault, severity=float(rng.random()))
        speed_hz = float(rng.uniform(20.0, 30.0))
        motor = Motor(
            int(rng.integers(seeds[0], seeds[-1]) * 1_000_000 + number),
            shape.rate_hz,
            speed_hz,
            life,
        )
        motor.block(int(rng.integers(1, 4096)))
        block = motor.block(shape.samples)
        yield block, Window(block.samples, CHANNELS, shape.rate_hz, 0, 0, number, series=number)
