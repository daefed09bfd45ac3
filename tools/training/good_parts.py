"""From pictures of good parts to the float and the int8 model, and to where their limits lie.

    features of all pictures -> model -> TFLite -> int8
             |
             +-> folds by group: each picture judged by a model that did not learn from its group
                 -> limits of score and map for a chosen share of false rejects

Features are taken as the bundle's own precision gives them (`seen_by_int8`). What is usual is
measured in deviations of good parts, and where these hardly differ a step of int8 is several of
them: distances learned from float features would call every part strange.

Of bad parts nothing is known here, and none is needed.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.inference.calibration import prediction_factor
from edge_agent.inference.quantisation import dequantise, quantise
from tools.compress.quantise import Agreement, float_model, gate, int8_model, loaded
from tools.training.pictures import normalised, to_network
from tools.training.splits import folds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.preprocess import ImagePreprocess

    Byte = NDArray[np.uint8]
    Array = NDArray[np.float32]

FOLDS = 4
# As many good pictures, and as many marred ones, show the quantiser each range; and the gate
# compares both models on some of either kind.
CALIBRATION_EACH = 60
GATE_EACH = 12


@dataclass(frozen=True, slots=True)
class Lesson:
    """Pictures of good parts at the model's size, uint8 [n, h, w, 3], and what each belongs to."""

    pixels: Byte
    groups: Sequence[str]
    preprocess: ImagePreprocess
    seed: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        _, height, width, _ = self.pixels.shape
        return height, width


@dataclass(frozen=True, slots=True)
class Seen:
    """What the two blocks answer to pictures, torch tensors [n, channels, rows, columns].

    `steps`: what lies between two values of each; 0 in float.
    """

    near: Any
    far: Any
    steps: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on good parts hardly ever come: the score, and the highest cell of the map.

    `scores`: of the good parts that they were found with, each judged by the others. `apart`: the
    limit of each, found without it and its fold. `learned`: their scores by the final network.
    """

    score: float
    cell: float
    scores: Array
    apart: Array
    learned: Array

    def reached(self, bundled: Array) -> NDArray[np.bool_]:
        """Return which parts reach limits that were found without them, moved as in the bundle.

        `bundled`: the scores that the bundled model gives to the same parts.
        """
        return np.asarray(self.scores * self.moved(bundled) >= self.apart)

    def moved(self, bundled: Array) -> Array:
        """Return by how much the bundled model's scores are larger than they should be."""
        return np.asarray(bundled / np.maximum(self.learned, 1e-6))


@dataclass(frozen=True, slots=True)
class Compiled:
    """Both models. Outputs: map [1, rows, columns, 1], score [1, 1]."""

    whole: bytes
    int8: bytes
    agreement: Agreement


def seen_in_float(lesson: Lesson) -> Seen:
    """Return what the features of a float32 bundle are."""
    from tools.training import strangeness  # noqa: PLC0415  needs torch

    network, prepare = _features(lesson), to_network(lesson.preprocess)
    told = _bar(len(lesson.pixels))
    return Seen(*strangeness.features_of(network, lesson.pixels, prepare, told))


def scores_in_float(lesson: Lesson, pixels: Byte) -> Array:
    """Return what a network that was learned in float says of pictures, to compare int8 with."""
    from tools.training import strangeness  # noqa: PLC0415  needs torch

    seen, prepare = seen_in_float(lesson), to_network(lesson.preprocess)
    distances = strangeness.learned((seen.near, seen.far), lesson.seed)
    features = strangeness.features_of(_features(lesson), pixels, prepare)
    return strangeness.judged(distances, features)[1]


def seen_by_int8(lesson: Lesson) -> Seen:
    """Return what the features of an int8 bundle are: rounded, and cut off where its ranges end.

    To the bit: the same samples give the same ranges, and distances stay float.
    """
    import torch  # noqa: PLC0415  of the training environment only

    samples = _samples(lesson)
    print("quantising the features ...", flush=True)
    whole = float_model(_features(lesson), samples[0], picture=True)
    backend = loaded(int8_model(whole, samples, fewest=len(samples)))
    source = backend.inputs[0]
    near, far = sorted(backend.outputs, key=lambda spec: -spec.shape[2])
    told = _bar(len(lesson.pixels))
    found: tuple[list[Array], list[Array]] = ([], [])
    for number, one in enumerate(normalised(lesson.pixels, lesson.preprocess)[:, None], start=1):
        outputs = backend.run({source.name: quantise(one, source)})
        for answers, spec in zip(found, (near, far), strict=True):
            answers.append(np.asarray(outputs[spec.name], np.float32))
        told(number)
    backend.close()
    both = [np.concatenate(answers) for answers in found]
    steps = [float(np.diff(np.unique(each[:FOLDS])).min(initial=np.inf)) for each in both]
    return Seen(torch.from_numpy(both[0]), torch.from_numpy(both[1]), (steps[0], steps[1]))


def learn(lesson: Lesson, seen: Seen, false_reject: float) -> tuple[Any, Limits]:
    """Return the network that was learned from all pictures, and its limits on held-out ones."""
    from tools.training import strangeness  # noqa: PLC0415  needs torch

    near, far = seen.near, seen.far
    scores = np.zeros(len(near), np.float32)
    peaks = np.zeros(len(near), np.float32)
    count = min(FOLDS, len(set(lesson.groups)))
    parts = list(folds(lesson.groups, count, seed=lesson.seed))
    for number, (rest, held) in enumerate(parts):
        distances = strangeness.learned((near[rest], far[rest]), lesson.seed, seen.steps)
        cells, scores[held] = strangeness.judged(distances, (near[held], far[held]))
        peaks[held] = cells.max(axis=(1, 2))
        print(
            f"  fold {number + 1}/{count}: {len(held)} good photos held out, "
            f"median score {np.median(scores[held]):.1f}",
            flush=True,
        )
    apart = np.zeros(len(near), np.float32)
    for rest, held in parts:
        apart[held] = limit(scores[rest], false_reject)
    distances = strangeness.learned((near, far), lesson.seed, seen.steps)
    _, learned = strangeness.judged(distances, (near, far))
    limits = Limits(limit(scores, false_reject), limit(peaks, false_reject), scores, apart, learned)
    return strangeness.Strangeness(_features(lesson), distances).eval(), limits


def limit(scores: Array, false_reject: float) -> float:
    """Return the score that at most the share `false_reject` of good parts reaches.

    The larger of what was counted, which few parts show badly, and what a normal distribution of
    the logarithms has there, with allowance for how few they are.
    """
    logs = np.log(np.maximum(scores, 1e-6)).astype(np.float64)
    factor = prediction_factor(len(logs), false_reject)
    expected = float(np.exp(logs.mean() + factor * logs.std(ddof=1)))
    return max(expected, float(np.quantile(scores, 1.0 - false_reject, method="higher")))


def in_float(network: Any, lesson: Lesson) -> bytes:  # noqa: ANN401  a torch module
    """Return the float model. Raises QuantisationFailed where it does not convert."""
    print("converting ...", flush=True)
    sample = normalised(lesson.pixels[:1], lesson.preprocess)
    return float_model(network, sample, picture=True, answers_map=True)


def compiled(network: Any, lesson: Lesson) -> Compiled:  # noqa: ANN401  a torch module
    """Return the models; the gate has compared the maps of both on good and on marred pictures.

    Raises QuantisationFailed.
    """
    from tools.training import strangeness  # noqa: PLC0415  needs torch

    samples = _samples(lesson)
    whole = in_float(network, lesson)
    print("quantising ...", flush=True)
    model = int8_model(whole, samples, fewest=len(samples), keep_float=strangeness.KEEP_FLOAT)
    held = lesson.pixels[_order(lesson)[-GATE_EACH:]]
    other = strangeness.marred(held, lesson.seed + 1)
    seen = list(normalised(np.concatenate([held, other]), lesson.preprocess)[:, None])
    return Compiled(whole, model, gate(whole, model, seen))


def maps_and_scores(model: bytes, inputs: Iterable[Array]) -> tuple[Array, Array]:
    """Return what a compiled model says of inputs [1, h, w, 3]: maps [n, rows, columns], scores."""
    backend = loaded(model)
    source = backend.inputs[0]
    where, what = (next(o for o in backend.outputs if len(o.shape) == rank) for rank in (4, 2))
    maps, scores = [], []
    for one in inputs:
        outputs = backend.run({source.name: quantise(one, source)})
        maps.append(dequantise(outputs[where.name], where)[0, :, :, 0])
        scores.append(float(dequantise(outputs[what.name], what)[0, 0]))
    backend.close()
    return np.stack(maps), np.array(scores, np.float32)


def task_of(preprocess: ImagePreprocess, limits: Limits, label: str) -> dict[str, Any]:
    """Return the manifest's task: 1 is the limit of the score, 0.5 of the heatmap."""
    return {
        "kind": "anomaly",
        "preprocess": preprocess.model_dump(mode="json"),
        "postprocess": {
            "form": "score_and_map",
            "reduce": "power_mean",
            "normal_score": _digits(limits.score),
            "map_threshold": _digits(limits.cell),
            "label": label,
        },
    }


RULE: dict[str, Any] = {"kind": "threshold", "fail_at": 1.0}
# Another CPU may round a feature the other way; distances, of some 20, then move by this much.
ATOL, RTOL = 3.0, 0.05


def _features(lesson: Lesson) -> Any:  # noqa: ANN401  a torch module
    import torch  # noqa: PLC0415  of the training environment only

    from tools.training import strangeness  # noqa: PLC0415  needs torch
    from tools.training.fit import THREADS  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    return strangeness.Features(lesson.size).eval()


def _samples(lesson: Lesson) -> list[Array]:
    """Return good pictures and marred ones to calibrate with, [1, h, w, 3] each."""
    from tools.training import strangeness  # noqa: PLC0415  needs torch

    good = lesson.pixels[_order(lesson)[:CALIBRATION_EACH]]
    both = np.concatenate([good, strangeness.marred(good, lesson.seed)])
    return list(normalised(both, lesson.preprocess)[:, None])


def _order(lesson: Lesson) -> NDArray[np.int64]:
    return np.random.default_rng(lesson.seed).permutation(len(lesson.pixels))


def _digits(value: float) -> float:
    return float(f"{value:.4g}")


def _bar(total: int) -> Any:  # noqa: ANN401  a function
    """Return what shows how many pictures were looked at, where somebody watches."""

    def told(done: int) -> None:
        if sys.stdout.isatty():
            print(f"\r  features  [{'#' * (20 * done // total):.<20}]", end="", flush=True)
            if done == total:
                print()

    return told
