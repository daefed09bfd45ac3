"""The samples that compressing trains and measures with, and those that are refused."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.tools.arrays import kernel, saved
from tests.tools.pictures import class_folders
from tools.compress import from_files
from tools.compress.failures import CompressFailed
from tools.compress.samples import read_samples
from tools.training.data_checks import DataUnfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]


def test_samples_of_one_group_stay_in_one_part(tmp_path: Path) -> None:
    groups = np.repeat(np.arange(20), 5)
    path = saved(tmp_path / "a.npz", inputs=kernel(100, 3), groups=groups)
    parts = [set(groups[part]) for _, part in read_samples(path).split.parts()]
    assert all(parts)
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]  # noqa: PT018


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"other": np.zeros(3)}, "holds no array `inputs`; it has other"),
        ({"inputs": np.full((9, 2), np.nan)}, "9 of 9 inputs hold NaN or infinity"),
        ({"inputs": np.zeros((9, 2)), "targets": np.zeros(8)}, "9 inputs and 8 targets"),
        ({"inputs": np.zeros((9, 2)), "groups": np.zeros(8)}, "9 inputs and 8 groups"),
        ({"inputs": np.array([["a"]])}, "inputs must be numbers"),
        ({"inputs": np.zeros((9, 2)), "parts": np.array(["x"] * 9)}, "parts must name train or"),
    ],
)
def test_unfit_samples_are_refused_in_a_sentence(
    tmp_path: Path, arrays: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(CompressFailed, match=sentence):
        read_samples(saved(tmp_path / "a.npz", **arrays))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"hello")
    with pytest.raises(CompressFailed, match=r"not a readable \.npz file"):
        read_samples(tmp_path / "a.npz")


def said(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    from_files.add_arguments(parser)
    return parser.parse_args(words)


SHARES = (0.6, 0.2, 0.2)


def test_photos_in_class_folders_are_samples_at_the_size_and_scale_of_the_model(
    tmp_path: Path,
) -> None:
    folder = class_folders(tmp_path / "screws", 12)
    words = ["--data", str(folder), "--size", "24x32", "--group", r"part_(\d+)"]
    found = from_files.samples_of_files(said(*words), SHARES)
    assert found.inputs.shape == (24, 24, 32, 3)
    assert 0 <= found.inputs.min() < 0.2
    assert 0.5 < found.inputs.max() <= 1
    assert found.targets is not None
    assert np.bincount(found.targets.astype(np.int64)).tolist() == [12, 12]
    # Pits are dark, and class 1 is `pitted`.
    darkest = found.inputs.min(axis=(1, 2, 3))
    assert darkest[found.targets == 1].max() < darkest[found.targets == 0].min()
    with pytest.raises(DataUnfit, match="photos need --size HxW"):
        from_files.samples_of_files(said(*words[:2]), SHARES)


def test_rows_of_a_csv_are_samples_and_machines_stay_together(tmp_path: Path) -> None:
    path = tmp_path / "machines.csv"
    rng = np.random.default_rng(0)
    states = ["worn" if number % 40 > 20 else "ok" for number in range(200)]
    rows = [
        f"m{number // 20},{rng.normal():.3f},{rng.normal():.3f},{state}"
        for number, state in enumerate(states)
    ]
    path.write_text("\n".join(["machine,a,b,state", *rows]) + "\n")
    words = ["--data", str(path), "--unit", "machine", "--label", "state"]
    found = from_files.samples_of_files(said(*words), SHARES)
    assert found.inputs.shape == (200, 2)
    assert [f"{value:.3f}" for value in found.inputs[7]] == rows[7].split(",")[1:3]
    assert found.targets is not None
    assert found.targets[21] == 1
    assert found.targets[0] == 0
    machines = [set((part // 20).tolist()) for _, part in found.split.parts()]
    assert sorted(each for part in machines for each in part) == list(range(10))
    assert from_files.samples_of_files(said(*words, "--rows", "5"), SHARES).inputs.shape[1:] == (
        5,
        2,
    )
    with pytest.raises(DataUnfit, match="needs --label COLUMN"):
        from_files.samples_of_files(said(*words[:4]), SHARES)
