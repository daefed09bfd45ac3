"""Recordings that tests of the model tools make up: files, and series as read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tools.recordings.series import Layout, Series

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = Layout()


def written(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def table(path: Path, rows: int, *, start: int = 0) -> Path:
    lines = [f"{i},{np.sin(i / 3 + start):.4f},{(i + start) * 7 % 11}" for i in range(rows)]
    return written(path, "t,x,y", *lines)


def series(values: list[list[float]] | np.ndarray, group: str = "a") -> Series:
    rows = np.asarray(values, np.float64)
    channels = tuple(f"c{i}" for i in range(rows.shape[1]))
    return Series(group, f"{group}.csv", channels, rows, np.arange(2, len(rows) + 2))
