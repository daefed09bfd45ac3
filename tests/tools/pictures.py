"""Small pictures whose class shows: metal that is plain, or that has a dark pit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge_agent.pictures import image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


def metal(
    rng: np.random.Generator,
    pit: tuple[int, int, int] | None = None,
    size: tuple[int, int] = (96, 128),
) -> NDArray[np.uint8]:
    """Return BGR pixels [height, width, 3]; `pit`: its middle and radius."""
    pixels = rng.normal(140, 12, (*size, 3)) + rng.normal(0, 15)
    pixels += np.sin(np.arange(size[1]) / rng.uniform(3, 5))[:, None] * 10
    picture = np.clip(pixels, 0, 255).astype(np.uint8)
    if pit:
        cv2.circle(picture, pit[:2], pit[2], (20, 25, 30), -1)
    return picture


def drawings(
    count: int, *, seed: int = 0, scratched: bool = False, noise: float = 10.0
) -> Iterator[NDArray[np.uint8]]:
    """Yield a grey plate with a disc, all alike but for their noise; a short line on a bad one."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        pixels = np.full((192, 256, 3), 150.0)
        centre = (128 + int(rng.integers(-1, 2)), 96 + int(rng.integers(-1, 2)))
        cv2.circle(pixels, centre, 60, (90.0, 90.0, 90.0), -1)
        if scratched:
            x, y = int(rng.integers(90, 150)), int(rng.integers(60, 130))
            cv2.line(pixels, (x, y), (x + 25, y + int(rng.integers(-15, 15))), (30.0,) * 3, 4)
        pixels += rng.normal(0, noise, pixels.shape)
        yield np.clip(pixels, 0, 255).astype(np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.encode_jpeg(pixels))
    return path


def pit_of(rng: np.random.Generator) -> tuple[int, int, int]:
    return int(rng.integers(25, 100)), int(rng.integers(25, 70)), int(rng.integers(10, 16))


def class_folders(root: Path, each: int = 20) -> Path:
    """Write `each` photos a class, four of each part: part_<number>_<view>.jpg."""
    rng = np.random.default_rng(0)
    for number in range(each):
        name = f"part_{number // 4}_{number % 4}.jpg"
        save(root / "good" / name, metal(rng))
        save(root / "pitted" / f"bad_{name}", metal(rng, pit_of(rng)))
    return root
