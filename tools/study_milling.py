"""Study milling tool wear: windows parted at random give their answers away.

    python -m tools.study_milling --data ../shared/data

18 experiments with a worn or an unworn tool. The same recipe, tools/train/sensor_classify.py, is
tested twice: on windows drawn at random, whose neighbours from the same experiment were trained on,
and on whole experiments that were left out. Only the second says what a new tool would see, and it
is no better than to name the commoner class: no signal was found, and no model is shipped.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tools.recordings.reader import read
from tools.recordings.series import Layout
from tools.recordings.windows import examples, targets
from tools.train.sensor_classify import Plan, shape_of, train
from tools.training.fit import Schedule, predict
from tools.training.splits import folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tools.recordings.windows import Examples

    Right = NDArray[np.bool_]

# The machine's state and program are no sensors.
LAYOUT = Layout(
    target="tool_condition",
    target_is_text=True,
    ignored=("Machining_Process", "M1_CURRENT_PROGRAM_NUMBER", "M1_sequence_number"),
)
LABELS = ("unworn", "worn")
SAMPLES, HOP, RATE_HZ = 50, 10, 10.0
RANDOM_FOLDS = 5
PLAN = Plan(LABELS, SAMPLES, HOP, Schedule(epochs=8, rate=3e-3, batch=64, threads=1), patience=8)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="A lesson on leakage.")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    series = read(options.data / "cnc_mill_wear" / "data", LAYOUT)[0].series
    found = examples(series, shape_of(series, PLAN, RATE_HZ))
    classes = np.array([LABELS.index(str(each)) for each in targets(found, series)])
    at_random = [str(index) for index in range(len(classes))]
    experiments = [series[number].group for number in found.series.tolist()]
    print_table(
        classes,
        found.series,
        cross_validated(found, classes, at_random, RANDOM_FOLDS),
        cross_validated(found, classes, experiments, len(series)),
    )


def cross_validated(
    found: Examples, classes: NDArray[np.int64], groups: Sequence[str], count: int
) -> Right:
    """Return for each window whether it was told right by a model that did not see its group.

    The number of epochs is fixed: nothing of the held part is used to stop by.
    """
    right = np.zeros(len(classes), bool)
    for known, held in folds(groups, count):
        network = train(found.inputs[known], classes[known], PLAN, None)
        right[held] = predict(network, found.inputs[held]).argmax(axis=1) == classes[held]
    return right


def print_table(
    classes: NDArray[np.int64], experiments: NDArray[np.int64], random: Right, grouped: Right
) -> None:
    """Print windows and experiments told right, by split, beside the commoner class."""
    numbers = np.unique(experiments)
    commoner = Counter(classes.tolist()).most_common(1)[0][0]
    of_each = np.array([classes[experiments == each][0] for each in numbers])
    majority = Counter(of_each.tolist()).most_common(1)[0][1]

    def votes(right: Right) -> int:
        return sum(right[experiments == each].mean() > 0.5 for each in numbers)

    print("| split | windows told right | experiments told right by vote |\n|---|---|---|")
    always = (classes == commoner).mean()
    print(f"| none: always the commoner class | {always:.1%} | {majority} of {len(numbers)} |")
    for name, right in (
        (f"windows at random, {RANDOM_FOLDS} folds: leaks", random),
        ("whole experiments left out, one at a time", grouped),
    ):
        print(f"| {name} | {right.mean():.1%} | {votes(right)} of {len(numbers)} |")


if __name__ == "__main__":
    main()
