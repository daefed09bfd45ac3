"""Evaluates any bundle on labelled photos or recordings, through the agent's own task code."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import EdgeAgentError
from edge_agent.inference.model import load_model
from edge_agent.inference.preprocess import WindowPreprocess
from tools.photos.reading import LAYOUTS, Reading
from tools.recordings.series import add_layout_arguments, layout_of
from tools.scoring import assessment, labelled, localisation, plots
from tools.scoring.assessment import Wanted
from tools.scoring.judged import inspected, write_answers
from tools.scoring.report import table
from tools.training.data_checks import DataUnfit, named, print_findings
from tools.training.shares import share

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edge_agent.inference.model import Model
    from tools.scoring.judged import Judgement
    from tools.scoring.labelled import Labels
    from tools.scoring.report import Figure

# What people call good parts and machines that are well, where the manifest does not say.
GOOD_NAMES = ("good", "ok", "normal", "healthy", "clean", "pass", "0", "0.0", "false")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where the labels are and what is wanted."""
    group = parser.add_argument_group("any bundle on labelled data")
    group.add_argument("--on", type=Path, metavar="DATA", help="folder of photos, CSV or folder")
    group.add_argument("--out", type=Path, help="folder for plots, contact sheets, answers.csv")
    group.add_argument("--good", nargs="+", default=[], help="labels of good items")
    group.add_argument("--label", help="recordings: the column of the class")
    group.add_argument("--target", help="recordings: the column of the number to be predicted")
    group.add_argument("--false-reject", type=share, metavar="SHARE", help="threshold for it")
    group.add_argument("--escape", type=share, metavar="SHARE", help="threshold for it")
    group.add_argument(
        "--test-part", action="store_true", help="only what the recipes hold back with --seed"
    )
    group.add_argument("--seed", type=int, default=0, help="of the recipe that made the bundle")
    group.add_argument("--layout", choices=sorted(LAYOUTS), default="")
    group.add_argument("--group", default="", metavar="REGEX", help="as in the recipes")
    group.add_argument("--groups", type=Path, metavar="CSV", help="as in the recipes")
    add_layout_arguments(parser)


def run(bundle: Path, options: argparse.Namespace) -> int:
    """Print the figures of the bundle on `options.on`; return 1 where they cannot be had."""
    try:
        model = load_model(bundle, threads=1, roi=None)
        found, wanted = _looked_at(model, options)
        figures = list(_figures(model, found, wanted))
        print(table(figures), end="")
        if options.out is not None:
            _write(options.out, model, found, wanted, figures)
            print(f"\nplots, contact sheets and answers.csv: {options.out}")
    except DataUnfit as unfit:
        print_findings(unfit.findings)
        return 1
    except (EdgeAgentError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _looked_at(model: Model, options: argparse.Namespace) -> tuple[Judgement, Wanted]:
    manifest = model.bundle.manifest
    labels = _labels(manifest.task.preprocess, options)
    if labels.whole and labels.sha256 == manifest.source.data_sha256:
        print(
            "warning: this is the very data that the model was made from. Most of it was trained "
            "on, so these figures flatter: --test-part looks at what was held back.",
            file=sys.stderr,
        )
    normal = getattr(getattr(manifest.task, "postprocess", None), "normal", ())
    good = frozenset(options.good or normal or GOOD_NAMES)
    found = inspected(model, labels.items, good)
    if found.unusable:
        names = [f"{each.name} ({each.reason})" for each in found.unusable]
        print(f"warning: {len(names)} could not be inspected: {named(names)}", file=sys.stderr)
    if not found.answers:
        raise DataUnfit("not one item could be inspected")
    if manifest.task.kind == "classify":
        _name_unknown(found.truths(), model.bundle.labels, good)
    wanted = Wanted(
        good=good & set(found.truths()),
        false_reject=options.false_reject,
        escape=options.escape,
        likely=manifest.task.kind in {"classify", "segment", "detect"} and bool(normal),
        most=manifest.task.score_range[1],
    )
    return found, wanted


def _name_unknown(truths: Sequence[str], labels: Sequence[str], good: frozenset[str]) -> None:
    """Say which classes of the data are none of the model's, and what they count as."""
    unknown = sorted(set(truths) - set(labels)) if labels else []
    for truth in unknown:
        kind = "good" if truth in good else "bad (name it with --good if it is good)"
        print(
            f"warning: the model knows no class {truth}, only {', '.join(labels)}: its "
            f"{truths.count(truth)} items count as wrong whatever it answers, and as {kind}",
            file=sys.stderr,
        )


def _labels(preprocess: object, options: argparse.Namespace) -> Labels:
    seed = options.seed if options.test_part else None
    if not isinstance(preprocess, WindowPreprocess):
        good = options.good[0] if options.good else "good"
        reading = Reading(options.layout, options.group, options.groups, good)
        return labelled.photos(options.on, reading, seed)
    layout = layout_of(options, options.label or options.target, text=options.label is not None)
    return labelled.recording_windows(options.on, layout, preprocess, seed)


def _figures(model: Model, found: Judgement, wanted: Wanted) -> list[Figure]:
    if isinstance(found.answers[0].truth, float):
        return list(assessment.numbers(found))
    figures: list[Figure] = []
    kind, labels = model.bundle.manifest.task.kind, model.bundle.labels
    if kind == "classify":
        figures += assessment.classes(found, labels)
    rule = model.bundle.manifest.decision.rule
    if wanted.good and rule.direction == "above":
        figures += assessment.good_and_bad(found, wanted, rule.fail_at)
    elif kind != "classify" and not any(each.marks for each in found.regions):
        there = ", ".join(sorted(set(found.truths())))
        raise DataUnfit(f"none of the labels {there} is known to be good: name it with --good")
    return [*figures, *localisation.figures(found.regions, boxes=kind == "detect")]


def _write(
    out: Path, model: Model, found: Judgement, wanted: Wanted, figures: list[Figure]
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name, pixels in assessment.pictures(found, wanted, model.bundle.labels):
        plots.save(out / name, pixels)
    write_answers(out / "answers.csv", found)
    (out / "figures.md").write_text(table(figures), encoding="utf-8")
