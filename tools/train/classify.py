"""Photos in class folders to a classifier, by transfer learning.

The front of EfficientNet-Lite0 stays as ImageNet left it; a logistic regression on the mean and
the maximum of its channels is all that is learned, its depth and strength chosen on groups held
out. That takes a minute, needs few photos, and is hard to beat. `--tune` trains the front, too;
`--prune` then takes channels away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tools.compress.quantise import run_model
from tools.photos import check_good, options_of
from tools.scoring.merit import alarms
from tools.scoring.report import auroc, confusion
from tools.training import logistic, photo_recipe
from tools.training.data_checks import DataUnfit, Finding, print_findings
from tools.training.doubts import lost_by_int8, on_card, rejects
from tools.training.photo_recipe import Made, Prepared
from tools.training.pictures import normalised
from tools.training.shares import add_false_reject
from tools.training.thresholds import UNSURE, limits

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from tools.scoring.report import Figure
    from tools.training.photo_training import Lesson, Trained

    Array = NDArray[np.float32]

SUMMARY = "photos in class folders (or with labels): which class"
PHOTOS_MIN = 10
AREA = 160 * 384
GATE_PHOTOS = 60
# Names that people give to folders of good parts.
GOOD_NAMES = ("good", "ok", "normal", "pass", "clean", "healthy", "fine")

ABOUT = """
{what}

**Data** {photos} photos; a split by group, so that no group is in two parts:

{split}

Test photos had no say in anything: strength and depth were chosen on groups held out of the rest.

**Network** the first {depth} blocks of EfficientNet-Lite0 (ImageNet weights, Apache-2.0){how};
mean and maximum of its {channels} channels; a linear layer. Input {width} x {height}.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this recipe."""
    photo_recipe.add_arguments(parser)
    parser.add_argument(
        "--depth", type=int, default=0, help="blocks of the front, 1 to 16; 0: the best of a few"
    )
    parser.add_argument(
        "--tune",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="train the front, too; at most so long",
    )
    parser.add_argument(
        "--prune", type=float, default=0.0, metavar="SHARE", help="of the channels to take away"
    )
    add_false_reject(parser, 0.02)


def run(options: argparse.Namespace) -> list[Finding]:
    """Train from `options.data`, write the bundle `options.out`; return what is doubtful of it."""
    from tools.training import photo_nets  # noqa: PLC0415  needs torch

    if not 0 <= options.prune < 1 or not 0 <= options.depth <= 16:
        raise DataUnfit("--prune must be a share below 1, and --depth 16 at most")
    ready = photo_recipe.prepared(options, photo_nets.PREPROCESS, least=PHOTOS_MIN, area=AREA)
    check_good(ready.photos, options.good)
    names, has_good = class_names(ready, options_of(options).good)
    classes = np.array([names.index(label) for label in ready.labels], np.int64)
    lesson, trained = _trained(ready, classes, len(names), options)
    samples = photo_recipe.calibration(ready, lesson.rest, options.seed)
    bundled = _bundled(lesson, trained, samples, options)
    rule = _rule(lesson, bundled, options.false_reject) if has_good else dict(UNSURE)
    made = Made(
        trained.network,
        maps=False,
        task=_task(ready, names, has_good=has_good),
        rule=rule,
        labels=names,
        golden=_golden(classes[ready.split.test], ready.split.test),
        keep_float=photo_nets.KEEP_FLOAT,
        rounded=bundled.network,
    )
    held = _inputs(ready, ready.split.test)
    # The gate wants many answers: photos of training show as well whether int8 answers as float.
    gated = [*held, *samples[:GATE_PHOTOS]]
    models = photo_recipe.models(made, samples, gated, options.precision)
    answers = {
        precision: run_model(one, held).reshape(len(held), -1) for precision, one in models.items()
    }
    share = options.false_reject if has_good else None
    figures, doubts = measured(answers, classes[ready.split.test], names, rule, share)
    *_, model = models.values()
    figures = [*bundled.figures, *figures]
    figures.append(("size of the model file", f"{len(model) / 1000:.0f} kB"))
    options.attribution = "; ".join(
        filter(None, (options.attribution, f"From {photo_nets.ATTRIBUTION}"))
    )
    about = _about(ready, trained, names) + on_card(doubts)
    photo_recipe.finish(options, ready, made, model, (about, figures))
    return doubts


def class_names(ready: Prepared, good: str) -> tuple[list[str], bool]:
    """Return the classes, the good one first, and whether there is a good one."""
    names = sorted(set(ready.labels))
    candidates = [name for name in names if name == good]
    candidates += [name for name in names if name.lower() in GOOD_NAMES]
    if candidates:
        return [candidates[0], *(name for name in names if name != candidates[0])], True
    text = (
        f"none of the classes {', '.join(names)} is called {good}: name the good one with --good. "
        "Verdicts will say how sure the model is, not whether a part is good"
    )
    print_findings([Finding("warning", text)])
    return names, False


def measured(
    answers: dict[str, Array],
    classes: NDArray[np.int64],
    names: list[str],
    rule: dict[str, Any],
    share: float | None,
) -> tuple[list[Figure], list[Finding]]:
    """Return how good the logits of each precision are, the last being the bundle's; and doubts.

    `share`: of good parts that may fail; None where no class is good.
    """
    bad = classes != 0
    figures: list[Figure] = []
    merits = []
    for precision, logits in answers.items():
        likely = logistic.likelihoods(logits)
        what = f"{len(classes)} test photos, {precision}"
        right = likely.argmax(axis=1) == classes
        figures.append((f"accuracy, {what}", f"{right.mean():.2%}"))
        if bad.any() and not bad.all():
            merits.append(auroc(bad, 1 - likely[:, 0]))
            figures.append((f"AUROC, {names[0]} against the rest, {what}", f"{merits[-1]:.4f}"))
    truths = [names[one] for one in classes]
    figures += confusion(truths, [names[one] for one in likely.argmax(axis=1)], names)
    doubts: list[Finding] = []
    if len(merits) > 1:
        doubts += lost_by_int8(f"AUROC on {len(classes)} test photos", *merits)
    if share is not None:
        figures += at_limits(logits, bad, rule)
        failed = 1 - likely[:, 0] >= rule["fail_at"]
        doubts += rejects("good test photos", failed[~bad], share)
    return figures, doubts


def at_limits(logits: Array, bad: NDArray[np.bool_], rule: dict[str, Any]) -> list[Figure]:
    """Return what the bundle's limits do to test photos: they decide, not the likelier class."""
    scores = 1 - logistic.likelihoods(logits)[:, 0]
    failed = alarms(bad, scores >= rule["fail_at"])
    passed = alarms(bad, scores >= rule.get("pass_at", rule["fail_at"]))
    return [
        (f"good test photos that fail, at {rule['fail_at']:g} or more", f"{failed.far:.2%}"),
        ("bad test photos that pass", f"{passed.mar:.2%}"),
    ]


def _task(ready: Prepared, names: list[str], *, has_good: bool) -> dict[str, Any]:
    return {
        "kind": "classify",
        "preprocess": ready.preprocess.model_dump(mode="json"),
        "postprocess": {
            "activation": "sigmoid" if len(names) == 2 else "softmax",
            "normal": names[:1] if has_good else [],
        },
    }


def _trained(
    ready: Prepared, classes: NDArray[np.int64], count: int, options: argparse.Namespace
) -> tuple[Lesson, Trained]:
    """Train as the options say: `depth`, `tune`, `prune`, `seed`."""
    import torch  # noqa: PLC0415  of the training environment only

    from tools.training import photo_training  # noqa: PLC0415  needs torch
    from tools.training.fit import THREADS  # noqa: PLC0415
    from tools.training.photo_pruning import pruned  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    torch.manual_seed(options.seed)
    lesson = photo_training.Lesson(ready, classes, count, options.seed)
    depths = (options.depth,) if options.depth else photo_training.DEPTHS
    trained = photo_training.frozen(lesson, depths)
    if options.tune:
        trained = photo_training.tuned(lesson, trained, options.tune)
    if options.prune:
        trained = pruned(lesson, trained, options.prune)
    return lesson, trained


def _bundled(
    lesson: Lesson, trained: Trained, samples: list[Array], options: argparse.Namespace
) -> Trained:
    """Return the classifier as the bundle's precision wants it."""
    if options.precision != "int8":
        return trained
    from tools.training.photo_int8 import refitted  # noqa: PLC0415  needs torch

    return refitted(lesson, trained, samples)


def _rule(lesson: Lesson, trained: Trained, false_rejects: float) -> dict[str, Any]:
    """Return limits that hold on photos of groups that were held out."""
    likely = logistic.likelihoods(trained.held_logits)
    bad = lesson.classes[trained.held] != 0
    groups = [lesson.ready.groups[index] for index in trained.held]
    pass_at, fail_at = limits(1 - likely[:, 0], bad, false_rejects, groups)
    return {"kind": "threshold", "pass_at": pass_at, "fail_at": fail_at}


def _inputs(ready: Prepared, indices: NDArray[np.int64]) -> list[Array]:
    return list(normalised(ready.pixels[indices], ready.preprocess)[:, None])


def _golden(classes: NDArray[np.int64], indices: NDArray[np.int64]) -> list[int]:
    """Return one photo of each of the first classes that the test holds."""
    firsts = [int(indices[np.flatnonzero(classes == one)[0]]) for one in np.unique(classes)]
    return (firsts * 2)[:2] if len(firsts) < 2 else firsts[:4]


def _about(ready: Prepared, trained: Trained, names: list[str]) -> str:
    return ABOUT.format(
        what=f"Tells {' from '.join(names)} on a photo.",
        photos=len(ready.photos),
        split="\n".join(f"- {line}" for line in ready.lines()),
        depth=trained.depth,
        how=trained.how,
        channels=trained.channels,
        width=ready.size[1],
        height=ready.size[0],
    )
