"""Show what a verdict hangs on: hide a part of the input and see how far the score moves.

    python -m tools.explain BUNDLE ITEM [--out FILE.png]
    python -m tools.explain BUNDLE --evidence state/evidence/PIPELINE

Occlusion (Zeiler and Fergus, ECCV 2014) asks the model alone, so it works on every backend, int8
too. Of a picture each patch is replaced by its surroundings, blurred; of a window each channel, and
each stretch of it, by the channel's mean in the window. A part whose loss lowers a bad score spoke
for `fail`. ITEM is a picture, or a window as the agent keeps it as evidence (.npz).

With --evidence the explanation of every item that fails is written beside it as NAME.why.png. The
agent counts these files among its evidence when it starts the next time, and they go with the rest.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edge_agent.errors import BadInput, EdgeAgentError
from edge_agent.inference.limits import judge
from edge_agent.inference.model import load_model
from edge_agent.inference.preprocess import WindowPreprocess
from edge_agent.pictures import image
from edge_agent.types import Frame, Window
from tools.photos.layout import WHY
from tools.scoring import plots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from edge_agent.inference.model import Model
    from edge_agent.types import Item

    Pixels = NDArray[np.uint8]
    Values = NDArray[np.float64]

# So many patches across the longer side.
PATCHES = 14
STRETCHES = 16
# More than the windows that explaining one takes: 16 stretches of 4000 channels.
SERIES_BITS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Saliency:
    """By how much the score falls when a part is hidden: above 0 where it spoke for the score.

    `parts`: [rows, columns] patches of a picture, or [stretches, channels] of a window.
    `channels`: [channels], each hidden as a whole; empty for a picture.
    """

    score: float
    parts: Values
    channels: Values


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the explanation of one item, or of all evidence of a pipeline."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.explain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("item", type=Path, nargs="?", help="a picture, or a window (.npz)")
    parser.add_argument("--out", type=Path, help="default: beside ITEM, as NAME.why.png")
    parser.add_argument("--evidence", type=Path, help="the folder of a pipeline's evidence")
    parser.add_argument("--patches", type=int, default=PATCHES, help="across the longer side")
    parser.add_argument("--all", action="store_true", help="evidence that does not fail, too")
    options = parser.parse_args(arguments)
    if (options.item is None) == (options.evidence is None):
        parser.error("name either ITEM or --evidence")
    try:
        model = load_model(options.bundle, threads=1, roi=None)
        if options.item is not None:
            out = options.out or options.item.with_name(options.item.stem + WHY)
            print(write(model, item_in(options.item, model), out, options.patches))
            return 0
        return _explain_evidence(model, options)
    except (EdgeAgentError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def write(model: Model, item: Item, out: Path, patches: int = PATCHES) -> str:
    """Write the explanation as a PNG; return it in a line of words."""
    if isinstance(item, Frame):
        found = of_picture(model, item, patches)
        plots.save(out, drawn_picture(item, found))
        row, column = (int(at) for at in np.unravel_index(found.parts.argmax(), found.parts.shape))
        height, width = item.pixels.shape[:2]
        rows, columns = found.parts.shape
        x, y = (column + 0.5) * width / columns, (row + 0.5) * height / rows
        most = f"hiding around ({x:.0f}, {y:.0f}) takes {found.parts.max():.3g} off"
    else:
        found = of_window(model, item)
        plots.save(out, drawn_window(item, found))
        best = int(np.abs(found.channels).argmax())
        most = f"without {item.channels[best]} it is {found.score - found.channels[best]:.4g}"
    return f"{out}: score {found.score:.4g}; {most}"


def of_picture(model: Model, frame: Frame, patches: int = PATCHES) -> Saliency:
    """Hide patch by patch. Raises BadInput where the model cannot take the picture."""
    score = _score(model, frame)
    height, width = frame.pixels.shape[:2]
    step = max(height, width) / patches
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    # What is left of a region when nothing can be told apart in it any more.
    reach = max(3, int(2 * step) | 1)
    blurred = np.asarray(cv2.blur(frame.pixels, (reach, reach)), np.uint8)
    parts = np.zeros((rows, columns))
    for row, down in enumerate(_fades(rows, height)):
        for column, across in enumerate(_fades(columns, width)):
            weight = (down[:, None] * across)[:, :, None]
            hidden = (frame.pixels * (1 - weight) + blurred * weight).astype(np.uint8)
            parts[row, column] = score - _score(model, replace(frame, pixels=hidden))
    return Saliency(score, parts, np.empty(0))


def of_window(model: Model, window: Window, stretches: int = STRETCHES) -> Saliency:
    """Hide channel by channel, then stretch by stretch of each."""
    score = _score(model, window)
    count, channels = window.samples.shape
    stretches = min(stretches, count)
    mean = window.samples.mean(axis=0)
    edges = np.linspace(0, count, stretches + 1).astype(int)
    whole, parts = np.zeros(channels), np.zeros((stretches, channels))
    # Features that remember a series would take a window of the same one as seen already.
    series = itertools.count(window.series + 1)

    def loss(channel: int, part: slice) -> float:
        samples = window.samples.copy()
        samples[part, channel] = mean[channel]
        return score - _score(model, replace(window, samples=samples, series=next(series)))

    for channel in range(channels):
        whole[channel] = loss(channel, slice(None))
        for number in range(stretches):
            part = slice(int(edges[number]), int(edges[number + 1]))
            parts[number, channel] = loss(channel, part)
    return Saliency(score, parts, whole)


def drawn_picture(frame: Frame, found: Saliency) -> Pixels:
    """Return the picture, and beside it what spoke for its score."""
    shown = plots.over(frame.pixels, np.maximum(found.parts, 0.0))
    gap = np.full((frame.pixels.shape[0], 8, 3), 255, np.uint8)
    return np.concatenate([frame.pixels, gap, shown], axis=1)


def drawn_window(window: Window, found: Saliency) -> Pixels:
    """Return bars for the channels, above a map of channels (rows) over time (columns)."""
    title = f"what hiding a channel takes off the score {found.score:.4g}"
    bars = plots.bars(title, window.channels, found.channels)
    cell = 22
    most = float(np.abs(found.parts).max(initial=0.0)) or 1.0
    heat = cv2.resize(
        (np.abs(found.parts.T) / most * 255).astype(np.uint8),
        (bars.shape[1] - 170, cell * len(window.channels)),
        interpolation=cv2.INTER_NEAREST,
    )
    rows = np.full((heat.shape[0] + 40, bars.shape[1], 3), 255, np.uint8)
    rows[30 : 30 + heat.shape[0], 170:] = cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS)
    plots.write_words(rows, "the same for stretches of time, the newest to the right", (12, 20))
    for number, name in enumerate(window.channels):
        plots.write_words(rows, name[:20], (12, 30 + number * cell + 15))
    return np.concatenate([bars, rows])


def item_in(path: Path, model: Model) -> Item:
    """Return the picture or window in a file. Raises BadInput where it is none for this model."""
    shape = model.bundle.manifest.task.preprocess
    if not isinstance(shape, WindowPreprocess):
        return Frame(image.decode(path.read_bytes()), 0, 0, 0, origin=path.name)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, Any] = dict(archive)
        channels = tuple(str(name) for name in arrays["channels"])
        samples = arrays["samples"].astype(np.float32)
    except (ValueError, KeyError, EOFError) as error:
        raise BadInput("not_a_window", f"{path.name}: {error}") from None
    # Of a series of its own: it must not look like what follows another file's window.
    series = zlib.crc32(path.name.encode()) << SERIES_BITS
    rate_hz = float(arrays["rate_hz"])
    return Window(samples, channels, rate_hz, 0, 0, 0, series=series, origin=path.name)


def _explain_evidence(model: Model, options: argparse.Namespace) -> int:
    if not options.evidence.is_dir():
        raise OSError(f"{options.evidence} is no folder")
    written = 0
    for path in _evidence(options.evidence, model):
        stem = path.name.removesuffix(".raw.jpg").removesuffix(".npz")
        out = path.with_name(stem + WHY)
        if out.exists():
            continue
        item = item_in(path, model)
        if options.all or _fails(model, item):
            print(write(model, item, out, options.patches), flush=True)
            written += 1
    print(f"{written} explained in {options.evidence}")
    return 0


def _evidence(folder: Path, model: Model) -> Iterator[Path]:
    """Yield what the agent kept: pictures without drawings, or windows; the oldest first."""
    windows = isinstance(model.bundle.manifest.task.preprocess, WindowPreprocess)
    yield from sorted(folder.glob("*.npz" if windows else "*.raw.jpg"))


def _fails(model: Model, item: Item) -> bool:
    """Return whether the score alone is beyond the bundle's limit, whatever the rule remembers."""
    limits = model.bundle.manifest.decision.rule
    score = _score(model, item)
    if hasattr(limits, "pass_at"):
        return judge(limits, score).outcome == "fail"
    sign = 1 if limits.direction == "above" else -1
    return bool(sign * (score - limits.fail_at) >= 0)


def _score(model: Model, item: Item) -> float:
    outputs = model.backend.run(model.task.prepare(item))
    return model.task.interpret(outputs, item).score


def _fades(count: int, length: int) -> Iterator[NDArray[np.float32]]:
    """Yield how strongly each of `count` patches covers each pixel along one side: 1 to 0.

    They fade out over their neighbours: a hard edge would be something new to see.
    """
    step = length / count
    at = np.arange(length) + 0.5
    for index in range(count):
        away = np.abs(at - (index + 0.5) * step) / step
        yield np.clip(1.5 - away, 0.0, 1.0).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
