"""Recordings of machines that tests of the recipes make up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 240


def written(path: Path, columns: dict[str, np.ndarray]) -> Path:
    lines = [",".join(columns)]
    lines += [",".join(str(cell) for cell in row) for row in zip(*columns.values(), strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def vibration(seed: int, *, bad: bool = False, rows: int = ROWS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    phase = np.arange(rows) / 4 + rng.uniform(0, 6)
    x = np.sin(phase) + 0.1 * rng.normal(size=rows)
    y = np.cos(phase) + 0.1 * rng.normal(size=rows)
    if bad:
        y = 1.8 * y + 0.3 * rng.normal(size=rows)
    return {"x": x.round(4), "y": y.round(4)}


def wearing(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(80, 140))
    wear = np.exp((np.arange(rows) - rows) / 20)
    noise = rng.normal(size=(2, rows))
    a = 5 + rng.normal() * 0.1 + wear + 0.05 * noise[0]
    return {
        "unit": np.full(rows, seed),
        "a": a.round(4),
        "b": (50 - 8 * wear + 0.3 * noise[1]).round(4),
        "still": np.full(rows, 7),
    }


def noise(seed: int, rows: int = 100) -> dict[str, np.ndarray]:
    """Return a machine of which its one channel says nothing."""
    return {
        "unit": np.full(rows, seed),
        "x": np.random.default_rng(seed).normal(size=rows).round(4),
    }


def joined(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([each[name] for each in tables]) for name in tables[0]}


def states(path: Path, machines: int = 10, rows: int = 400) -> Path:
    """Write one file of machines that are easily told apart, every other one worn."""
    tables = []
    for seed in range(machines):
        bad = seed % 2 == 1
        names = {
            "machine": np.full(rows, f"m{seed}"),
            "state": np.full(rows, "worn" if bad else "ok"),
        }
        tables.append(vibration(seed, bad=bad, rows=rows) | names)
    return written(path, joined(tables))


STATES = ["--unit", "machine", "--label", "state", "--samples", "16", "--hop", "8"]
