"""Labelled items after a model has seen them, through the agent's own backend, task and limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent import registry
from edge_agent.errors import BadInput
from edge_agent.inference.limits import judge
from edge_agent.pictures import image
from edge_agent.types import Frame
from tools.scoring import plots
from tools.scoring.labelled import Labelled, Unusable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.model import Model
    from edge_agent.types import Outcome, Prediction
    from tools.photos import Mark

    Pixels = NDArray[np.uint8]

# How many pictures a contact sheet shows; the rest is in answers.csv.
SHEET_TILES = 24
TILE_WIDTH = 440


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One answer. `outcome`: by the manifest's rule, for a photo by its limits alone."""

    name: str
    group: str
    truth: str | float
    answer: str
    score: float
    outcome: Outcome
    last_of_group: bool


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """What was found in a photo, and the marks in it; all as 0..1 of its width and height.

    `boxes`: float [n, 5], left, top, right, bottom, score, and `labels` of them.
    """

    boxes: NDArray[np.float64]
    labels: tuple[str, ...]
    marks: tuple[Mark, ...]


@dataclass(slots=True)
class Judgement:
    """All answers, the files that were no items, and small pictures of the wrong ones by truth.

    `regions`: of each photo, where the model finds regions.
    """

    answers: list[Judged] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    misses: dict[str, list[tuple[Pixels, str]]] = field(default_factory=dict)
    regions: list[Regions] = field(default_factory=list)

    def scores(self) -> NDArray[np.float64]:
        """Return the score of each answer."""
        return np.array([each.score for each in self.answers], np.float64)

    def truths(self) -> list[str]:
        """Return the label of each answer's item."""
        return [str(each.truth) for each in self.answers]


def inspected(
    model: Model, items: Iterable[Labelled | Unusable], good: frozenset[str]
) -> Judgement:
    """Take every item through the model. `good`: the labels of good items.

    A rule with a memory sees the windows of each series in order; photos of a folder have none.
    """
    found = Judgement()
    limits = model.bundle.manifest.decision.rule
    by_class = model.bundle.manifest.task.kind == "classify"
    rule = registry.create("rules", limits)
    for each in items:
        if isinstance(each, Unusable):
            found.unusable.append(each)
            continue
        try:
            outputs = model.backend.run(model.task.prepare(each.item))
            prediction = model.task.interpret(outputs, each.item)
        except BadInput as error:
            found.unusable.append(Unusable(each.name, str(error)))
            continue
        picture = isinstance(each.item, Frame)
        decision = (
            judge(limits, prediction.score)
            if picture and hasattr(limits, "pass_at")
            else rule.decide(prediction, each.item)
        )
        judged = Judged(
            each.name,
            each.group,
            each.truth,
            _answer(prediction),
            prediction.score,
            decision.outcome,
            each.last_of_group,
        )
        found.answers.append(judged)
        if isinstance(each.item, Frame):
            found.regions.append(_regions(each.item, prediction, each.marks))
        if _is_miss(judged, good, by_class=by_class):
            _keep(found, each, judged, prediction)
    return found


def write_answers(path: Path, found: Judgement) -> None:
    """Write one line per item: the truth, what was said, the score and the outcome."""
    lines = ["item,truth,answer,score,outcome"]
    for each in found.answers:
        name = '"' + each.name.replace('"', '""') + '"'
        lines.append(f"{name},{each.truth},{each.answer},{each.score:.6g},{each.outcome}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _regions(frame: Frame, prediction: Prediction, marks: tuple[Mark, ...]) -> Regions:
    height, width = frame.pixels.shape[:2]
    rows = [
        (
            defect.x / width,
            defect.y / height,
            (defect.x + defect.w) / width,
            (defect.y + defect.h) / height,
            defect.score,
        )
        for defect in prediction.defects
    ]
    labels = tuple(defect.label for defect in prediction.defects)
    return Regions(np.array(rows, np.float64).reshape(-1, 5), labels, marks)


def _answer(prediction: Prediction) -> str:
    if prediction.label:
        return prediction.label
    return max(prediction.defects, key=lambda each: each.score).label if prediction.defects else ""


def _is_miss(judged: Judged, good: frozenset[str], *, by_class: bool) -> bool:
    """Return whether the class is wrong; of a model without classes, whether the outcome is."""
    if isinstance(judged.truth, float):
        return False
    if by_class:
        return judged.answer != judged.truth
    return (judged.truth in good) == (judged.outcome == "fail")


def _keep(found: Judgement, each: Labelled, judged: Judged, prediction: Prediction) -> None:
    tiles = found.misses.setdefault(str(each.truth), [])
    if len(tiles) >= SHEET_TILES:
        return
    said = judged.answer or judged.outcome
    name = each.name.rpartition("/")[2][:26]
    tiles.append((_tile(each.item, prediction), f"{said} {judged.score:.2f} {name}"))


def _tile(item: Any, prediction: Prediction) -> Pixels:  # noqa: ANN401  Frame or Window
    if not isinstance(item, Frame):
        return plots.trace(item.samples, item.channels)
    drawn = image.draw_defects(item.pixels, prediction.defects)
    if prediction.heatmap is not None:
        drawn = plots.over(drawn, prediction.heatmap, 1.0)
    step = max(1, drawn.shape[1] // TILE_WIDTH)
    return np.ascontiguousarray(drawn[::step, ::step])
