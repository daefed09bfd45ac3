"""Study SKAB, a test bench of pump and valves: what a learned model adds to calibration.

    python -m tools.study_skab --data ../shared/data

Nothing is shipped from it: SKAB is under the GPL. Rows of a file from the 400th on count, as on its
leaderboard. Every score is z-scored per channel on the first 400 rows of the same file, as a
gateway is calibrated in place, and alarms beyond the largest score of those 400. All of it is
causal, but the one row that says otherwise. Beat the trivial rows first.

Katser and Kozitsin, "Skoltech Anomaly Benchmark (SKAB)", 2020.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.recordings.checks import read_checked
from tools.recordings.parts import parted
from tools.recordings.reader import read
from tools.recordings.series import Layout
from tools.scoring.merit import alarms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tools.recordings.series import Recording, Series
    from tools.scoring.merit import Alarms

    Rows = NDArray[np.float64]
    Score = Callable[[Rows], Rows]

FOLDERS = ("valve1", "valve2", "other")
LAYOUT = Layout(time="datetime", time_unit="iso8601", target="anomaly", ignored=("changepoint",))
GOOD_LAYOUT = Layout(time="datetime", time_unit="iso8601")
CALIBRATION_ROWS = 400
WINDOW = 10
OTHER_WINDOWS = (1, 5, 30, 60)
STATISTICS_ROWS = 5
SEEDS = (0, 1, 2)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a learned model adds on SKAB.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--no-network", action="store_true", help="only what needs no training")
    options = parser.parse_args()
    folder = options.data / "skab" / "data"
    series = [s for each in FOLDERS for s in read(folder / each, LAYOUT)[0].series]
    print("| score, on rows 400 and later of 34 files | F1 | FAR | MAR |\n|---|---|---|---|")
    for name, score in untrained():
        print(row(name, judged(series, score)), flush=True)
    if not options.no_network:
        good = folder / "anomaly-free" / "anomaly-free.csv"
        recording = read_checked(good, GOOD_LAYOUT, WINDOW)
        for seed in SEEDS:
            reconstruct = autoencoder_of(recording, seed)
            name = f"int8 autoencoder trained on anomaly-free.csv, seed {seed}"
            score = partial(residual_score, reconstruct=reconstruct)
            print(row(name, judged(series, score)), flush=True)


def untrained() -> Iterator[tuple[str, Score]]:
    """Yield what needs no training, by name."""
    yield "alarm at every row", lambda rows: np.full(len(rows), np.inf)
    yield f"a model that always answers zero, {WINDOW} rows", residual_score
    for count in OTHER_WINDOWS:
        name = f"the same, {count} row{'s' * (count > 1)}"
        yield name, partial(residual_score, rows_seen=count)
    yield f"the same, {WINDOW} rows, not scaled per channel", unscaled_score
    yield f"Hotelling's T2 on mean and deviation of {STATISTICS_ROWS} rows", t2_score
    yield f"zero, {WINDOW} rows, half of them still to come (not causal)", centred_score


def judged(series: Sequence[Series], score: Score) -> Alarms:
    """Return what alarms beyond the largest score of the calibration rows are worth."""
    bad, alarmed = [], []
    for each in series:
        if each.target is None:
            raise ValueError(f"{each.file} was read without labels")
        scores = score(each.values)
        limit = scores[:CALIBRATION_ROWS].max()
        alarmed.append(scores[CALIBRATION_ROWS:] >= limit)
        bad.append(each.target[CALIBRATION_ROWS:] > 0)
    return alarms(np.concatenate(bad), np.concatenate(alarmed))


def row(name: str, found: Alarms) -> str:
    """Return a row of the table."""
    return f"| {name} | {found.f1:.3f} | {found.far:.1%} | {found.mar:.1%} |"


def residual_score(rows: Rows, reconstruct: Score | None = None, rows_seen: int = WINDOW) -> Rows:
    """Return the mean square over channels of calibrated residuals: [rows].

    `reconstruct` makes of scaled rows [rows, channels] what a model says they should be; none:
    zero. Residuals are averaged over the last rows, then z-scored per channel on the calibration
    rows: without that one noisy channel drowns all others.
    """
    scaled = _zscored(rows)
    residual = scaled if reconstruct is None else scaled - reconstruct(scaled)
    smooth = causal_mean(residual, rows_seen)
    return np.asarray(np.square(_zscored(smooth)).mean(axis=1))


def unscaled_score(rows: Rows) -> Rows:
    """Return the sum of squares of the last rows' mean residuals, in the channels' own units."""
    residual = rows - rows[:CALIBRATION_ROWS].mean(axis=0)
    return np.asarray(np.square(causal_mean(residual, WINDOW)).sum(axis=1))


def t2_score(rows: Rows) -> Rows:
    """Return Hotelling's T2 of means and deviations over a few rows: [rows]."""
    mean = causal_mean(rows, STATISTICS_ROWS)
    square = causal_mean(rows * rows, STATISTICS_ROWS)
    points = np.hstack([mean, np.sqrt(np.maximum(square - mean * mean, 0))])
    known = points[STATISTICS_ROWS:CALIBRATION_ROWS]
    away = points - known.mean(axis=0)
    inverse = np.linalg.pinv(np.cov(known, rowvar=False))
    return np.asarray(np.einsum("ij,jk,ik->i", away, inverse, away))


def centred_score(rows: Rows) -> Rows:
    """Return residual_score as one who knows the next rows already would have it: [rows]."""
    early = residual_score(rows)
    half = WINDOW // 2
    return np.concatenate([early[half:], np.full(half, early[-1])])


def causal_mean(rows: Rows, count: int) -> Rows:
    """Return the mean over the last `count` rows, fewer at the start: [rows, columns]."""
    sums = np.cumsum(np.vstack([np.zeros((1, rows.shape[1])), rows]), axis=0)
    end = np.arange(1, len(rows) + 1)
    start = np.maximum(0, end - count)
    return np.asarray((sums[end] - sums[start]) / (end - start)[:, None])


def autoencoder_of(recording: Recording, seed: int) -> Score:
    """Train the recipe's autoencoder; return what its int8 model makes of rows, causally."""
    from tools.compress.quantise import run_model  # noqa: PLC0415
    from tools.recordings.usual import Plan, model_of  # noqa: PLC0415
    from tools.training.fit import Schedule  # noqa: PLC0415  of the training environment only

    parts = parted(recording, seed)
    schedule = Schedule(20, rate=2e-3, batch=64, seed=seed, threads=1)
    plan = Plan("autoencoder", WINDOW, 1, 0.01, (), schedule)
    made = model_of(parts.train, parts.validation, plan, 1.0)
    own = recording.series[0].values
    sizes = np.array(made.shape.features[0].std) / own.std(axis=0)  # type: ignore[union-attr]

    def reconstruct(scaled: Rows) -> Rows:
        padded = np.vstack([np.repeat(scaled[:1], WINDOW - 1, axis=0), scaled]) / sizes
        seen = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=0)
        inputs = np.ascontiguousarray(seen.transpose(0, 2, 1), np.float32)
        return np.asarray(run_model(made.model, inputs[:, None])[:, -1] * sizes, np.float64)

    return reconstruct


def _zscored(rows: Rows) -> Rows:
    known = rows[:CALIBRATION_ROWS]
    return np.asarray((rows - known.mean(axis=0)) / np.maximum(known.std(axis=0), 1e-6))


if __name__ == "__main__":
    main()
