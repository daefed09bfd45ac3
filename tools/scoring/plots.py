"""Plots as pictures, drawn with OpenCV: the agent needs it anyway. Same numbers, same picture.

All return uint8 [height, width, 3], BGR; `save` writes a PNG.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Values = NDArray[np.floating]
    Colour = tuple[int, int, int]

WIDTH, HEIGHT = 640, 480
LEFT, RIGHT, TOP, BOTTOM = 76, 20, 44, 60
INK, GRID, WHITE = (40, 40, 40), (225, 225, 225), (255, 255, 255)
# Blue and orange are told apart by the colour-blind, too.
BLUE, ORANGE, GREY = (180, 119, 31), (14, 127, 255), (150, 150, 150)
COLOURS: tuple[Colour, ...] = (BLUE, ORANGE, (44, 160, 44), (40, 39, 214), (189, 103, 148), GREY)
FONT = cv2.FONT_HERSHEY_SIMPLEX
TICKS = 6


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Points joined by a line, or left apart as dots."""

    x: Values
    y: Values
    name: str = ""
    colour: Colour = BLUE
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes say, and from where to where they reach."""

    title: str
    x_label: str
    y_label: str
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)


def curves(
    axes: Axes, lines: Sequence[Curve], verticals: Sequence[tuple[float, str]] = ()
) -> Pixels:
    """Return curves and dots over a grid; `verticals` are marked values of x."""
    canvas = _frame(axes)
    for value, name in verticals:
        if axes.x_range[0] <= value <= axes.x_range[1]:
            x, _ = _place(axes, value, axes.y_range[0])
            cv2.line(canvas, (x, TOP), (x, HEIGHT - BOTTOM), INK, 1, cv2.LINE_AA)
            write_words(canvas, name, (x + 4, TOP + 14), 0.4)
    for line in lines:
        points = [_place(axes, x, y) for x, y in zip(line.x, line.y, strict=True)]
        if line.dots:
            for point in points:
                cv2.circle(canvas, point, 3, line.colour, cv2.FILLED, cv2.LINE_AA)
        elif points:
            _line(canvas, np.array(points, np.int32), line.colour, 2)
    _legend(canvas, [(line.name, line.colour) for line in lines if line.name])
    return canvas


def histogram(
    axes: Axes, groups: Sequence[tuple[str, Values]], verticals: Sequence[tuple[float, str]] = ()
) -> Pixels:
    """Return how the values of each group are spread, as shares of the group."""
    edges = np.linspace(*axes.x_range, 41)
    lines, most = [], 0.0
    for number, (name, values) in enumerate(groups):
        inside = np.clip(values, *axes.x_range)
        shares = np.histogram(inside, edges)[0] / max(1, len(values))
        most = max(most, float(shares.max(initial=0.0)))
        steps = np.repeat(shares, 2)
        lines.append(Curve(np.repeat(edges, 2)[1:-1], steps, name, COLOURS[number % len(COLOURS)]))
    tall = Axes(axes.title, axes.x_label, axes.y_label, axes.x_range, (0.0, max(most, 1e-9) * 1.1))
    return curves(tall, lines, verticals)


def matrix(title: str, labels: Sequence[str], counts: NDArray[np.integer]) -> Pixels:
    """Return a confusion matrix: rows are truths, columns answers, darker is a larger share."""
    cell = max(44, min(90, 560 // max(1, len(labels))))
    left, top = 150, 110
    canvas = np.full(
        (top + cell * len(labels) + 30, left + cell * len(labels) + 30, 3), 255, np.uint8
    )
    write_words(canvas, title, (12, 24), 0.55)
    write_words(canvas, "rows: truth, columns: answer", (12, 46), 0.4)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for row, label in enumerate(labels):
        write_words(canvas, label[:18], (12, top + row * cell + cell // 2 + 5), 0.42)
        write_words(canvas, label[: cell // 8], (left + row * cell + 4, top - 8), 0.42)
        for column in range(len(labels)):
            share = float(shares[row, column])
            x, y = left + column * cell, top + row * cell
            paper = [round(255 - share * (255 - value)) for value in BLUE]
            cv2.rectangle(canvas, (x, y), (x + cell, y + cell), paper, cv2.FILLED)
            cv2.rectangle(canvas, (x, y), (x + cell, y + cell), GRID, 1)
            ink = WHITE if share > 0.6 else INK
            write_words(
                canvas, str(int(counts[row, column])), (x + 8, y + cell // 2 + 5), 0.45, ink
            )
    return canvas


def sheet(title: str, tiles: Sequence[tuple[Pixels, str]], columns: int = 4) -> Pixels:
    """Return pictures of any size side by side, each with its caption below: a contact sheet."""
    width, height, caption = 220, 150, 22
    rows = max(1, -(-len(tiles) // columns))
    canvas = np.full(
        (40 + rows * (height + caption + 8), columns * (width + 8) + 8, 3), 255, np.uint8
    )
    write_words(canvas, title, (10, 26), 0.55)
    for number, (picture, words) in enumerate(tiles):
        x = 8 + number % columns * (width + 8)
        y = 40 + number // columns * (height + caption + 8)
        scale = min(width / picture.shape[1], height / picture.shape[0])
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        canvas[y : y + size[1], x : x + size[0]] = small
        write_words(canvas, words[:34], (x, y + height + 15), 0.38)
    return canvas


def trace(samples: Values, names: Sequence[str], size: tuple[int, int] = (440, 300)) -> Pixels:
    """Return the channels of a window [samples, channels] as lines, each to a scale of its own."""
    width, height = size
    canvas = np.full((height, width, 3), 255, np.uint8)
    shown = min(samples.shape[1], 8)
    band = height / max(1, shown)
    for channel in range(shown):
        values = samples[:, channel].astype(np.float64)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        level = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
        x = np.linspace(2, width - 3, len(values))
        y = (channel + 0.9 - 0.8 * level) * band
        points = np.stack([x, y], axis=1).round().astype(np.int32)
        _line(canvas, points, COLOURS[channel % len(COLOURS)], 1)
        write_words(canvas, names[channel], (4, round((channel + 0.25) * band)), 0.35)
    return canvas


def bars(title: str, names: Sequence[str], values: Values, unit: str = "") -> Pixels:
    """Return horizontal bars, one a name, to the right of 0 or to its left."""
    step, left = 24, 170
    canvas = np.full((60 + step * len(names), WIDTH, 3), 255, np.uint8)
    write_words(canvas, title, (12, 26), 0.5)
    most = float(np.abs(values).max(initial=0.0)) or 1.0
    signed = bool((values < 0).any())
    zero = left + (WIDTH - left - 90) // 2 if signed else left
    reach = (WIDTH - left - 90) // (2 if signed else 1)
    for row, (name, value) in enumerate(zip(names, values.tolist(), strict=True)):
        y = 44 + row * step
        end = zero + round(reach * value / most)
        colour = ORANGE if value >= 0 else BLUE
        cv2.rectangle(
            canvas, (min(zero, end), y), (max(zero, end), y + step - 8), colour, cv2.FILLED
        )
        write_words(canvas, name[:20], (12, y + 13), 0.42)
        write_words(
            canvas,
            f"{value:+.3g}{unit}" if signed else f"{value:.3g}{unit}",
            (WIDTH - 84, y + 13),
            0.42,
        )
    cv2.line(canvas, (zero, 40), (zero, 44 + step * len(names)), INK, 1)
    return canvas


def over(picture: Pixels, heat: Values, most: float | None = None) -> Pixels:
    """Return BGR `picture` with `heat` [h, w] laid over it; values up to 0 leave it as it is."""
    top = most if most is not None else float(heat.max(initial=0.0))
    level = np.clip(heat / top, 0.0, 1.0) if top > 0 else np.zeros_like(heat)
    size = (picture.shape[1], picture.shape[0])
    spread = cv2.resize(level.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap((spread * 255).astype(np.uint8), cv2.COLORMAP_JET)
    weight = (0.6 * spread)[:, :, None]
    return np.asarray(picture * (1 - weight) + colours * weight, np.uint8)


def save(path: Path, pixels: Pixels) -> None:
    """Write a PNG; the same pixels give the same bytes."""
    done, encoded = cv2.imencode(".png", pixels)
    if not done:
        raise OSError(f"{path}: OpenCV cannot write it")
    path.write_bytes(encoded.tobytes())


def write_words(
    canvas: Pixels, words: str, place: tuple[int, int], size: float = 0.42, colour: Colour = INK
) -> None:
    """Write a line of text that begins, at its base, at `place` (x, y)."""
    # OpenCV's strokes have the letters of ASCII alone.
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    cv2.putText(canvas, plain, place, FONT, size, colour, 1, cv2.LINE_AA)


def _frame(axes: Axes) -> Pixels:
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    for number in range(TICKS):
        share = number / (TICKS - 1)
        x_value = axes.x_range[0] + share * (axes.x_range[1] - axes.x_range[0])
        y_value = axes.y_range[0] + share * (axes.y_range[1] - axes.y_range[0])
        x, _ = _place(axes, x_value, axes.y_range[0])
        _, y = _place(axes, axes.x_range[0], y_value)
        cv2.line(canvas, (x, TOP), (x, HEIGHT - BOTTOM), GRID, 1)
        cv2.line(canvas, (LEFT, y), (WIDTH - RIGHT, y), GRID, 1)
        write_words(canvas, f"{x_value:.3g}", (x - 12, HEIGHT - BOTTOM + 18), 0.4)
        write_words(canvas, f"{y_value:.3g}", (30, y + 4), 0.4)
    cv2.rectangle(canvas, (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM), INK, 1)
    write_words(canvas, axes.title, (LEFT, 26), 0.55)
    write_words(canvas, axes.x_label, (LEFT + 150, HEIGHT - 16), 0.45)
    write_words(canvas, axes.y_label, (6, TOP - 8), 0.42)
    return canvas


def _place(axes: Axes, x: float, y: float) -> tuple[int, int]:
    """Return the pixel of a point; beyond the axes: at their end."""
    x_low, x_high = axes.x_range
    y_low, y_high = axes.y_range
    across = np.clip((x - x_low) / ((x_high - x_low) or 1.0), 0.0, 1.0)
    up = np.clip((y - y_low) / ((y_high - y_low) or 1.0), 0.0, 1.0)
    return (
        round(LEFT + float(across) * (WIDTH - LEFT - RIGHT)),
        round(HEIGHT - BOTTOM - float(up) * (HEIGHT - TOP - BOTTOM)),
    )


def _legend(canvas: Pixels, entries: Sequence[tuple[str, Colour]]) -> None:
    for number, (name, colour) in enumerate(entries):
        y = HEIGHT - BOTTOM - 14 - 18 * (len(entries) - 1 - number)
        x = WIDTH - RIGHT - 230
        cv2.line(canvas, (x, y - 4), (x + 18, y - 4), colour, 2, cv2.LINE_AA)
        write_words(canvas, name, (x + 24, y), 0.42)


def _line(canvas: Pixels, points: NDArray[np.int32], colour: Colour, width: int) -> None:
    cv2.polylines(
        canvas, [points], isClosed=False, color=colour, thickness=width, lineType=cv2.LINE_AA
    )
