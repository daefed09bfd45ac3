"""Photos of good parts only to a model that says how strange a part looks, and where.

`DATA` is a folder of photos, or has class folders of which the good one is learned from and the
others only test. Fifty photos will do. Where the limit between good and bad lies is found on good
photos held out: each is judged by a model that learned nothing from its group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.commands.verification import verify
from edge_agent.errors import ModelError
from tools.photos import Photo, check_good, check_photos, options_of, read_photos
from tools.photos.layout import PICTURES, pictures
from tools.photos.reading import grouped
from tools.scoring.report import auroc
from tools.training import photo_recipe
from tools.training.data_checks import DataUnfit, Finding, settle
from tools.training.doubts import lost_by_int8, moved_by_int8, on_card, rejects
from tools.training.good_parts import (
    ATOL,
    RTOL,
    RULE,
    Lesson,
    Limits,
    compiled,
    in_float,
    learn,
    maps_and_scores,
    scores_in_float,
    seen_by_int8,
    seen_in_float,
    task_of,
)
from tools.training.photo_recipe import Made, Prepared
from tools.training.pictures import normalised
from tools.training.shares import add_false_reject, small_share
from tools.training.splits import Split, grouped_split

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tools.scoring.report import Figure

    Array = NDArray[np.float32]

SUMMARY = "photos of good parts only: how strange a part looks, and where"
# What is normal does not show in fewer.
PHOTOS_MIN = 20
PHOTOS_WARN = 50
AREA = 384 * 160
# Good photos that are kept for testing, where there are bad ones to compare them with.
TEST_SHARE = 0.2

ABOUT = """
How unlike good parts a part looks: 1 is the limit of the score, and the map says where.

**Data** {good} photos of good parts{bad}. No bad part had a say in anything.

{split}

**Limit** where {share:.1%} of good parts would come, by {held} good photos, each judged by a model
that learned nothing from its group. Other places, light and cameras move it: calibrate on the
gateway (`edge-agent calibrate`).

**Network** blocks 4 and 10 of EfficientNet-Lite0 (ImageNet weights, Apache-2.0), whitened, squared
distance to the nearest of 256 centres. Input {width} x {height}. Features {precision}, distances
float32.{doubts}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this recipe."""
    photo_recipe.add_arguments(parser)
    add_false_reject(parser, 0.01, kind=small_share)
    parser.add_argument("--defect", default="anomaly", help="label of the regions")


def run(options: argparse.Namespace) -> list[Finding]:
    """Learn from `options.data`, write the bundle `options.out`; return what is doubtful of it."""
    from tools.training.photo_nets import ATTRIBUTION, PREPROCESS  # noqa: PLC0415  needs torch

    photos = read(options)
    size = photo_recipe.size_of(options.size, photos, AREA)
    split = parted(photos, options)
    print(f"{len(photos)} photos, at {size[1]} x {size[0]} pixels", flush=True)
    pixels = photo_recipe.pixels(photos, PREPROCESS, size)
    ready = Prepared(photos, split, size, PREPROCESS, pixels)
    print(*(f"  {line}" for line in ready.lines()), sep="\n", flush=True)
    groups = [ready.groups[index] for index in split.train.tolist()]
    lesson = Lesson(pixels[split.train], groups, PREPROCESS, options.seed)
    made_of = seen_by_int8 if options.precision == "int8" else seen_in_float
    network, limits = learn(lesson, made_of(lesson), options.false_reject)
    model, figures = made_into(options.precision, network, lesson)
    more, doubts = judged(ready, lesson, model, limits, options)
    made = Made(
        network,
        maps=True,
        task=task_of(PREPROCESS, limits, options.defect),
        rule=RULE,
        labels=(),
        golden=[int(split.train[0]), int((split.test if len(split.test) else split.train)[-1])],
        atol=ATOL,
        rtol=RTOL,
    )
    options.attribution = "; ".join(filter(None, (options.attribution, f"From {ATTRIBUTION}")))
    about = _about(ready, limits, doubts, options)
    photo_recipe.finish(options, ready, made, model, (about, [*more, *figures]))
    found = verify(options.out)
    if not found.passed:
        raise ModelError(found.failure)
    print(f"{options.out}: {found.sentence()}")
    return doubts


def made_into(precision: str, network: Any, lesson: Lesson) -> tuple[bytes, list[Figure]]:  # noqa: ANN401  a torch module
    """Return the model as the bundle is to hold it, and what there is to say of the file."""
    if precision != "int8":
        model, figures = in_float(network, lesson), []
    else:
        models = compiled(network, lesson)
        agreed = f"{models.agreement.correlation:.4f}"
        model, figures = models.int8, [("int8 beside float, correlation of the maps", agreed)]
    return model, [*figures, ("size of the model file", f"{len(model) / 1000:.0f} kB")]


def read(options: argparse.Namespace) -> list[Photo]:
    """Return the photos, good ones labelled as `--good` says; raise DataUnfit."""
    photos, findings = _found(options)
    check_good(photos, options.good)
    photos, more = check_photos(photos, least=0)
    findings += more
    label = options_of(options).good
    good = sum(photo.label == label for photo in photos)
    if good < PHOTOS_MIN:
        text = f"{good} usable photos of good parts; at least {PHOTOS_MIN} are needed"
        findings.append(Finding("error", text))
    elif good < PHOTOS_WARN:
        text = f"{good} photos of good parts: with {PHOTOS_WARN} the limit is better known"
        findings.append(Finding("warning", text))
    settle(findings)
    return photos


def parted(photos: Sequence[Photo], options: argparse.Namespace) -> Split:
    """Return what is learned from (good photos) and what only tests; nothing is held back in vain.

    Bad photos are for testing, and so is a share of the good ones where there are bad ones.
    """
    label = options_of(options).good
    good = np.array([photo.label == label for photo in photos])
    given = np.array([photo.part == "test" for photo in photos])
    nobody = np.zeros(0, np.int64)
    if good.all() or (given & good).any():
        test = np.flatnonzero(~good | given)
        return Split(np.flatnonzero(good & ~given), nobody, test)
    those = np.flatnonzero(good)
    groups = [photos[index].group for index in those.tolist()]
    bad_groups = {photo.group for photo, is_good in zip(photos, good, strict=True) if not is_good}
    shared = np.array([group in bad_groups for group in groups])
    if 0 < shared.sum() < len(shared):
        # A place that has bad photos is for testing as a whole.
        kept, held = np.flatnonzero(~shared), np.flatnonzero(shared)
    else:
        inner = grouped_split(groups, shares=(1 - TEST_SHARE, 0.0, TEST_SHARE), seed=options.seed)
        kept, held = inner.train, inner.test
    return Split(those[kept], nobody, np.sort(np.concatenate([those[held], np.flatnonzero(~good)])))


def judged(
    ready: Prepared, lesson: Lesson, model: bytes, limits: Limits, options: argparse.Namespace
) -> tuple[list[Figure], list[Finding]]:
    """Return how the bundled model does on good photos held out and on test photos; and doubts."""
    _, scores = maps_and_scores(model, inputs_of(ready, ready.split.train))
    reached = limits.reached(scores)
    held = f"good photos held out that reach it, of {len(reached)}, {options.precision}"
    figures = [
        (f"limit for {options.false_reject:.1%} false rejects", f"{limits.score:.4g}"),
        (held, _share(reached)),
    ]
    doubts = [
        *moved_by_int8(float(np.median(limits.moved(scores))) - 1),
        *rejects("good photos held out", reached, options.false_reject, can_calibrate=True),
    ]
    test = ready.split.test
    label = options_of(options).good
    bad = np.array([ready.photos[index].label != label for index in test.tolist()], bool)
    if not len(test):
        return figures, doubts
    _, scores = maps_and_scores(model, inputs_of(ready, test))
    over = scores >= limits.score
    if bad.any() and not bad.all():
        what = f"AUROC, {len(test)} test photos"
        merits = {options.precision: auroc(bad, scores)}
        if options.precision == "int8":
            merits["float"] = auroc(bad, scores_in_float(lesson, ready.pixels[test]))
            doubts += lost_by_int8(what, merits["float"], merits["int8"])
        figures += [(f"{what}, {name}", f"{merit:.4f}") for name, merit in merits.items()]
    for name, reach in (
        ("good test photos at the limit or beyond", over[~bad]),
        ("bad test photos short of the limit", ~over[bad]),
    ):
        figures += [(name, _share(reach))] if len(reach) else []
    doubts += rejects("good test photos", over[~bad], options.false_reject, can_calibrate=True)
    return figures, doubts


def inputs_of(ready: Prepared, indices: NDArray[np.int64]) -> Iterator[Array]:
    """Yield photos as real input values, [1, h, w, 3] each."""
    return iter(normalised(ready.pixels[indices], ready.preprocess)[:, None])


def _found(options: argparse.Namespace) -> tuple[list[Photo], list[Finding]]:
    """Read class folders or labels; or a folder of nothing but photos, all of them good."""
    root, reading = options.data, options_of(options)
    if not root.is_dir():
        raise DataUnfit(f"{root} is no folder")
    files = list(pictures(root))
    if not files:
        raise DataUnfit(f"{root} holds no photos ({', '.join(sorted(PICTURES))})")
    nested = any(path.parent != root for path in files) or any(root.rglob("*.json"))
    if options.layout or nested:
        return read_photos(root, reading)
    findings: list[Finding] = []
    photos = [Photo(path, reading.good, "") for path in files]
    return grouped(photos, root, reading, findings), findings


def _share(reached: NDArray[np.bool_]) -> str:
    return f"{reached.mean():.2%}"


def _about(
    ready: Prepared, limits: Limits, doubts: Sequence[Finding], options: argparse.Namespace
) -> str:
    label = options_of(options).good
    bad = sum(photo.label != label for photo in ready.photos)
    return ABOUT.format(
        good=len(ready.photos) - bad,
        bad=f", {bad} of bad ones for testing alone" if bad else "",
        split="\n".join(f"- {line}" for line in ready.lines()),
        share=options.false_reject,
        held=len(limits.scores),
        width=ready.size[1],
        height=ready.size[0],
        precision=options.precision,
        doubts=on_card(doubts),
    )
