"""What is normal in front of one camera or machine: measured on its first good parts, then kept.

A model of strangeness learned from other places calls strange what is only different here: the
light, the angle, a scratch on the fixture. So each value of its map is compared with what it was on
good parts here:

    level     how strange, as a ratio: log(cell / typical + .05); the cell itself if some are < 0
    excess    level - mean of this cell: the map that is shown
    deviate   excess / deviation of this cell
    raw       one number out of the deviates, as the task reduces its map
    score     0 for the average good part, 1 where one good part in many would come

Where that 1 lies is found by leaving out each good part in turn and scoring it by the others.
Deviates tell good parts from bad ones best; to show where, excesses do better: a cell that never
varied among a few parts has a large deviate as soon as anything changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from edge_agent.errors import EdgeAgentError
from edge_agent.lazy import lazy_module

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
else:
    np = lazy_module("numpy")

Reduce = Literal["mean", "max", "power_mean"]

# Fewer good parts show no deviation worth the name.
PARTS_MIN = 5
# Keeps the logarithm of a cell that happens to be 0 finite.
SOFT = 0.05
# The deviation of a cell over few parts is rough: the one over all cells counts as much as this
# many parts.
PRIOR_PARTS = 0.2
# Cells that never move (a model that answers a constant) must not be divided by 0.
DEVIATION_MIN = 1e-4
# Between the mean (1) and the maximum (infinity): small defects count, single cells hardly.
POWER = 4  # two square roots in `reduced`
# In deviates; parts that happen to score alike do not make a limit that all others exceed.
MARGIN_MIN = 0.1
EXCESS_MIN = 1e-4


class CalibrationFailed(EdgeAgentError):
    """These parts cannot say what is normal; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """What good parts look like to a model.

    `typical`: mean of all cells, 0 where cells may be negative and are taken as they are. `mean`,
    `deviation`: of each cell's level, in the shape of the cells. `centre`: mean of the raw scores
    of good parts; `margin`: from there to the limit; `cell_limit`: the limit of a cell's excess.
    """

    typical: float
    mean: Array
    deviation: Array
    centre: float
    margin: float
    cell_limit: float

    def judge(self, cells: Array, reduce: Reduce) -> tuple[float, Array]:
        """Return the score, 0 for the average good part and 1 at the limit, and a map of it.

        The map is 1 where a cell is at its limit, 0 where it is as usual.
        """
        excess = np.maximum(_levels(cells, self.typical) - self.mean, 0.0)
        score = (reduced(excess / self.deviation, reduce) - self.centre) / self.margin
        strange: Array = (excess / self.cell_limit).astype(np.float32)
        return score, strange


def measure(
    parts: Sequence[Array], reduce: Reduce, false_reject: float
) -> tuple[Normal, list[float]]:
    """Return what is normal, and how unlike the others each part is: above 6 it is hardly good.

    `parts`: the cells of each good part, all of one shape. `false_reject`: the share of good parts
    that may reach the limit. Raises CalibrationFailed.
    """
    if len(parts) < PARTS_MIN:
        raise CalibrationFailed(f"{len(parts)} good parts; {PARTS_MIN} are needed at least")
    shapes = sorted({part.shape for part in parts})
    if len(shapes) > 1:
        sizes = " and ".join("x".join(map(str, shape)) for shape in shapes[:2])
        raise CalibrationFailed(f"the parts have maps of different sizes, {sizes}")
    cells = np.stack(parts).astype(np.float64)
    typical = float(cells.mean()) if cells.min() >= 0.0 and cells.mean() > 0.0 else 0.0
    levels = _levels(cells, typical)
    if float(levels.std(axis=0).max()) < DEVIATION_MIN:
        raise CalibrationFailed("the parts are all the same picture: does the source stand still?")
    raws, peaks = _by_the_others(levels, reduce)
    factor = prediction_factor(len(parts), false_reject)
    centre, margin = float(raws.mean()), max(MARGIN_MIN, factor * float(raws.std(ddof=1)))
    normal = Normal(
        typical=typical,
        mean=levels.mean(axis=0).astype(np.float32),
        deviation=_deviation(levels).astype(np.float32),
        centre=centre,
        margin=margin,
        cell_limit=max(EXCESS_MIN, float(peaks.mean()) + factor * float(peaks.std(ddof=1))),
    )
    return normal, _unlikeness(raws)


def reduced(cells: NDArray[np.floating], how: Reduce) -> float:
    """Return one number for all cells, none of which is below 0 for `power_mean`."""
    if how == "max":
        return float(cells.max())
    if how == "mean":
        return float(cells.mean())
    largest = float(cells.max())
    if largest <= 0.0:
        return 0.0
    powers = float(np.mean((np.maximum(cells, 0.0) / largest).astype(np.float64) ** POWER))
    return largest * math.sqrt(math.sqrt(powers))


def _levels(cells: NDArray[np.floating], typical: float) -> NDArray[np.floating]:
    if typical == 0.0:
        return cells
    levels: NDArray[np.floating] = np.log(np.maximum(cells, 0.0) / typical + SOFT)
    return levels


def _deviation(levels: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the deviation of each cell over parts [parts, ...], few of which are helped out."""
    own = levels.var(axis=0, ddof=1)
    count = len(levels)
    mixed = (count * own + PRIOR_PARTS * own.mean()) / (count + PRIOR_PARTS)
    deviation: NDArray[np.floating] = np.maximum(np.sqrt(mixed), DEVIATION_MIN)
    return deviation


def _by_the_others(
    levels: NDArray[np.floating], reduce: Reduce
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each part its raw score and its largest excess, by what the others are like."""
    raws, peaks = [], []
    for index in range(len(levels)):
        others = np.delete(levels, index, axis=0)
        excess = np.maximum(levels[index] - others.mean(axis=0), 0.0)
        raws.append(reduced(excess / _deviation(others), reduce))
        peaks.append(float(excess.max()))
    return np.array(raws), np.array(peaks)


def _unlikeness(raws: NDArray[np.float64]) -> list[float]:
    """Return how far each value lies above the median, in deviations as the others show them.

    By the median absolute deviation: one bad part among ten must not hide itself.
    """
    middle = float(np.median(raws))
    spread = 1.4826 * float(np.median(np.abs(raws - middle)))
    return [float(value) for value in (raws - middle) / max(spread, MARGIN_MIN)]


def prediction_factor(count: int, false_reject: float) -> float:
    """Return how many deviations above the mean of `count` values the next one hardly ever comes.

    One-sided prediction limit of a normal distribution: Student's t with count - 1 degrees of
    freedom, times sqrt(1 + 1 / count). t as in Abramowitz and Stegun 26.7.5.
    """
    free = count - 1
    z = NormalDist().inv_cdf(1.0 - false_reject)
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return t * math.sqrt(1 + 1 / count)
