"""`edge-agent bench`, run as its user would."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.agents import MODELS

if TYPE_CHECKING:
    from pathlib import Path


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge_agent", "bench", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def figures(text: str) -> dict[str, float]:
    """Return the first number of each row of the table."""
    rows = re.findall(r"^(\w[\w ,]*?) {2,}([\d.]+)", text, re.MULTILINE)
    return {what: float(value) for what, value in rows}


def test_a_model_of_pictures_is_measured_beside_the_bare_loop(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(2)
    for number in range(3):
        cv2.imwrite(str(pictures / f"{number}.jpg"), rng.integers(0, 256, (480, 640, 3), np.uint8))
    done = bench(MODELS / "conveyor-parts", "--pictures", pictures, "--seconds", 1, "--rate", 2)
    assert done.returncode == 0, done.stderr
    found = figures(done.stdout)
    # How they compare, `make bench` says: here other tests run beside either.
    assert found["agent, one pipeline"] > 0
    assert found["bare loop, one thread"] > 0
    assert found["memory of the agent"] > 5
    carries = re.search(r"At 2 a second each, this machine carries (\d+) cameras", done.stdout)
    assert carries is not None
    rate = next(found[name] for name in found if name.endswith(" pipelines"))
    assert int(carries[1]) <= int(0.8 * rate / 2)


def test_a_model_of_samples_is_measured_on_windows_of_noise() -> None:
    done = bench(MODELS / "motor-bearing", "--seconds", 1)
    assert done.returncode == 0, done.stderr
    assert "windows of 4096 samples of 2 channels" in done.stdout
    assert figures(done.stdout)["agent, one pipeline"] > 0


def test_what_is_no_bundle_and_an_empty_folder_are_said_in_a_sentence(tmp_path: Path) -> None:
    nothing = bench(tmp_path)
    assert nothing.returncode == 69
    assert "manifest.json" in nothing.stderr
    samples = bench(MODELS / "motor-bearing", "--pictures", tmp_path)
    assert samples.returncode == 69
    assert "takes no --pictures" in samples.stderr
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.jpg").write_bytes(b"no picture")
    broken = bench(MODELS / "conveyor-parts", "--pictures", tmp_path / "broken")
    assert broken.returncode == 69
    assert broken.stderr.startswith("edge-agent: ")
    assert "x.jpg" in broken.stderr
    assert bench(MODELS / "conveyor-parts", "--rate", 0).returncode == 2
    empty = bench(MODELS / "conveyor-parts", "--pictures", tmp_path)
    assert empty.returncode == 69
    assert "no pictures" in empty.stderr
