"""How good a model's answers are, in one figure, and how much of it a variant has lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tools.compress.failures import CompressFailed
from tools.compress.fitting import check_classes
from tools.scoring.report import auroc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

METRICS = ("accuracy", "auroc", "rmse", "difference")


@dataclass(frozen=True, slots=True)
class Metric:
    """`name`: accuracy and auroc are better high; rmse and difference are better low.

    `difference`: root mean square difference from the float model's answers, where there are no
    targets. `logits`: single answers are above 0 for the second class instead of above 0.5.
    """

    name: str
    logits: bool = False

    def value(self, answers: Array, targets: NDArray[np.generic]) -> float:
        """Return the figure for answers [items, ...] and targets [items] or [items, ...]."""
        if self.name == "accuracy":
            return float((self._classes(answers) == targets.reshape(len(targets))).mean())
        if self.name == "auroc":
            scores = answers.reshape(len(answers), -1)
            # Of two classes the second; of a map the worst cell.
            worst = scores[:, -1] if scores.shape[1] <= 2 else scores.max(axis=1)
            return auroc(targets.reshape(len(targets)).astype(bool), worst)
        if answers.size != targets.size:
            raise CompressFailed(
                f"the model answers {list(answers.shape[1:])} values an item and the targets hold "
                f"{list(targets.shape[1:])}"
            )
        difference = answers.reshape(targets.shape) - targets.astype(np.float64)
        return float(np.sqrt(np.mean(np.square(difference))))

    def chance(self, targets: NDArray[np.generic]) -> float | None:
        """Return what a model gets at most that looks at nothing; None if that cannot be said.

        For accuracy and AUROC with two standard errors, which so few items are off by luck.
        """
        count = len(targets)
        if self.name == "accuracy":
            share = float(np.unique(targets, return_counts=True)[1].max() / count)
            return share + 2 * float(np.sqrt(share * (1 - share) / count))
        if self.name == "auroc":
            bad = int(targets.reshape(count).astype(bool).sum())
            return 0.5 + 2 * float(np.sqrt((count + 1) / 12 / max(1, bad * (count - bad))))
        return float(np.std(targets.astype(np.float64))) if self.name == "rmse" else None

    def lost(self, whole: float, value: float) -> float:
        """Return what was lost: in points of 100, or for rmse in percent of the float model's."""
        if self.name in {"accuracy", "auroc"}:
            return 100 * (whole - value)
        return 100 * (value - whole) / whole if whole else 100 * value

    def text(self, value: float) -> str:
        """Return the figure as it stands in the table."""
        if self.name == "accuracy":
            return f"{value:.2%}"
        return f"{value:.4f}" if self.name == "auroc" else f"{value:.4g}"

    def _classes(self, answers: Array) -> NDArray[np.int64]:
        flat = answers.reshape(len(answers), -1)
        if flat.shape[1] == 1:
            second: NDArray[np.int64] = (flat[:, 0] > (0.0 if self.logits else 0.5)).astype(int)
            return second
        best: NDArray[np.int64] = flat.argmax(axis=1)
        return best


def chosen_metric(name: str, answers: Array, targets: NDArray[np.generic] | None) -> Metric:
    """Return the metric `name`, or for "" the one that suits the targets.

    Raises CompressFailed where the answers cannot be judged by it.
    """
    if not name:
        if targets is None:
            name = "difference"
        else:
            name = "accuracy" if targets.dtype.kind in "iub" else "rmse"
    if targets is None and name != "difference":
        raise CompressFailed(f"--metric {name} needs targets, and the data holds none")
    if targets is not None and name == "accuracy":
        check_classes(targets, answers[0].size)
    logits = bool(answers.min() < 0 or answers.max() > 1)
    return Metric(name, logits)
