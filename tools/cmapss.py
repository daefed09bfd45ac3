"""NASA's turbofan engines that run to failure (C-MAPSS, set FD001), as the agent would see them.

Saxena, Goebel, Simon and Eklund, "Damage propagation modeling for aircraft engine run-to-failure
simulation", PHM 2008. One operating condition, one fault mode; a sample is one flight cycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.metrics import Counters
from edge_agent.types import Window
from edge_agent.windowing import Cut, Timing, Windower

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.preprocess import WindowPreprocess

    Array = NDArray[np.float32]

# The other 7 of the 21 sensors do not move under the one operating condition of FD001.
SENSORS = (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)
CHANNELS = tuple(f"s{sensor}" for sensor in SENSORS)
# An engine shows no sign of wear earlier: remaining lives beyond this are taught as this.
RUL_CAP = 125.0

_COLUMNS = [4 + sensor for sensor in SENSORS]  # unit, cycle, three settings, then sensor 1


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """One engine: `samples` float32 [cycles, sensors]; `rul` in cycles after the last sample."""

    number: int
    samples: Array
    rul: float


def training_engines(folder: Path) -> list[Engine]:
    """Return the 100 engines that were run to failure."""
    return [Engine(number, rows, 0.0) for number, rows in _series(folder / "train_FD001.txt")]


def test_engines(folder: Path) -> list[Engine]:
    """Return the 100 engines whose series stop some time before failure."""
    ruls = np.loadtxt(folder / "RUL_FD001.txt")
    series = _series(folder / "test_FD001.txt")
    return [
        Engine(number, rows, float(rul)) for (number, rows), rul in zip(series, ruls, strict=True)
    ]


def windows(engine: Engine, shape: WindowPreprocess) -> Iterator[Window]:
    """Yield the engine's windows; each engine is a series of its own, known by its number."""
    windower = Windower(shape, Timing("index"), Counters())
    index = 0
    for cycle, row in enumerate(engine.samples):
        for cut in windower.push(row[None], cycle):
            if isinstance(cut, Cut):
                yield Window(
                    samples=cut.samples,
                    channels=shape.channels,
                    rate_hz=shape.rate_hz,
                    captured_ns=cut.newest_ns,
                    captured_mono_ns=0,
                    index=index,
                    series=engine.number,
                    first_sample=cut.first_sample,
                )
                index += 1


def rmse(errors: NDArray[np.floating]) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(errors))))


def nasa_score(errors: NDArray[np.floating]) -> float:
    """Return the score of the PHM 2008 challenge, predicted less true: late is worse than early."""
    return float(np.where(errors < 0, np.expm1(-errors / 13), np.expm1(errors / 10)).sum())


def _series(path: Path) -> list[tuple[int, Array]]:
    table = np.loadtxt(path, dtype=np.float32)
    numbers = np.unique(table[:, 0])
    return [(int(number), table[table[:, 0] == number][:, _COLUMNS]) for number in numbers]
