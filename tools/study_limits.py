"""Study where to put a classifier's limit, so that 2 % false rejects stay so at the next place.

    python -m tools.study_limits --data ../shared/data

The recipe of models/ballscrew-pitting, again and again with a few positions on the ball screws to
learn from and three others for testing. The limit of all held-out photos together is compared with
the one that also holds for new groups (tools/training/thresholds.py). Neither sees a test photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools import train_ballscrew
from tools.datasets import ballscrew
from tools.training import logistic
from tools.training.thresholds import limits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

LEARNED_FROM = (3, 5, 8)
TESTED_ON = 3
ROUNDS = 14
STRENGTH = 0.03
SHARE = 0.02


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="False rejects at places never seen.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    features, found = _features(options.data / "bsdata")
    places = np.array([photo.position for photo in found])
    pitted = np.array([photo.pitted for photo in found])
    rng = np.random.default_rng(0)
    print("| positions | limit | false rejects | worst position | missed |")
    print("|---|---|---|---|---|")
    for count in LEARNED_FROM:
        rounds = []
        for _ in range(ROUNDS):
            order = rng.permutation(ballscrew.POSITIONS)
            test, train = order[:TESTED_ON], order[TESTED_ON : TESTED_ON + count]
            rounds.append(_round(features, pitted, places, train.tolist(), test.tolist()))
        for index, name in enumerate(("all photos", "new groups")):
            values = np.array([each[index] for each in rounds])
            cells = (
                f"{values[:, 0].mean():.1%}",
                f"{values[:, 1].max():.1%}",
                f"{values[:, 2].mean():.1%}",
            )
            print(f"| {count} | {name} | {' | '.join(cells)} |", flush=True)


def _features(folder: Path) -> tuple[Array, Sequence[ballscrew.Photo]]:
    import torch  # noqa: PLC0415  of the training environment only

    from tools.training.fit import THREADS  # noqa: PLC0415
    from tools.training.photo_nets import trunk  # noqa: PLC0415  needs torch
    from tools.training.photo_training import pooled  # noqa: PLC0415
    from tools.training.pictures import to_network  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    ready, found = train_ballscrew.prepared(folder, 0)
    depth = train_ballscrew.DEPTH
    front = trunk(depth, train_ballscrew.SIZE)
    return pooled(front, ready.pixels, to_network(ready.preprocess), (depth,))[depth], found


def _round(
    features: Array,
    pitted: NDArray[np.bool_],
    places: NDArray[np.str_],
    train: Sequence[str],
    test: Sequence[str],
) -> list[tuple[float, float, float]]:
    """Return false rejects, those of the worst position, and misses; for each way to a limit."""
    here = np.isin(places, train)
    groups = places[here].tolist()
    held = logistic.held_out(features[here], pitted[here].astype(np.int64), 2, groups, STRENGTH)
    scores = logistic.likelihoods(held)[:, 1]
    model = logistic.fit_logistic(features[here], pitted[here].astype(np.int64), 2, STRENGTH)
    found = []
    for known in (None, groups):
        fail_at = limits(scores, pitted[here], SHARE, known)[1]
        rejected, missed = [], []
        for place in test:
            one = places == place
            failed = logistic.likelihoods(model.logits(features[one]))[:, 1] >= fail_at
            rejected.append(failed[~pitted[one]].mean())
            missed.append((~failed)[pitted[one]].mean())
        found.append((np.mean(rejected), np.max(rejected), np.mean(missed)))
    return [(float(a), float(b), float(c)) for a, b, c in found]


if __name__ == "__main__":
    main()
