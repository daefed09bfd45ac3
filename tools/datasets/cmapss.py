"""NASA's turbofan engines that run to failure (C-MAPSS, set FD001), as the agent would see them.

Saxena, Goebel, Simon and Eklund, "Damage propagation modeling for aircraft engine run-to-failure
simulation", PHM 2008. One operating condition, one fault mode; a sample is one flight cycle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tools.recordings.reader import read
from tools.recordings.series import Layout, Series
from tools.recordings.windows import windows as windows_of
from tools.scoring.merit import nasa_score, rmse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import WindowPreprocess
    from edge_agent.types import Window

    Array = NDArray[np.float32]

__all__ = [
    "CHANNELS",
    "RUL_CAP",
    "Engine",
    "nasa_score",
    "rmse",
    "test_engines",
    "training_engines",
]

# The other 7 of the 21 sensors do not move under the one operating condition of FD001.
SENSORS = (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)
CHANNELS = tuple(f"s{sensor}" for sensor in SENSORS)
# An engine shows no sign of wear earlier: remaining lives beyond this are taught as this.
RUL_CAP = 125.0

LAYOUT = Layout(
    columns=CHANNELS,
    names=("unit", "cycle", "setting1", "setting2", "setting3", *(f"s{n}" for n in range(1, 22))),
    delimiter=" ",
    unit="unit",
)


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """One engine: `samples` float32 [cycles, sensors]; `rul` in cycles after the last sample."""

    number: int
    samples: Array
    rul: float

    def series(self) -> Series:
        """Return its cycles, each with the life that is left after it."""
        count = len(self.samples)
        return Series(
            group=str(self.number),
            file="FD001",
            channels=CHANNELS,
            values=self.samples.astype(np.float64),
            lines=np.arange(1, count + 1),
            target=self.rul + np.arange(count, dtype=np.float64)[::-1],
        )


def training_engines(folder: Path) -> list[Engine]:
    """Return the 100 engines that were run to failure."""
    return _engines(folder / "train_FD001.txt")


def test_engines(folder: Path) -> list[Engine]:
    """Return the 100 engines whose series stop some time before failure."""
    ruls = np.loadtxt(folder / "RUL_FD001.txt").tolist()
    engines = _engines(folder / "test_FD001.txt")
    return [replace(engine, rul=rul) for engine, rul in zip(engines, ruls, strict=True)]


def windows(engine: Engine, shape: WindowPreprocess) -> Iterator[Window]:
    """Yield the engine's windows; each engine is a series of its own, known by its number."""
    for window in windows_of(engine.series(), shape):
        yield replace(window, series=engine.number)


def _engines(path: Path) -> list[Engine]:
    recording, _ = read(path, LAYOUT)
    return [
        Engine(int(series.group), series.values.astype(np.float32), 0.0)
        for series in recording.series
    ]
