"""A model file becomes a bundle that the agent runs, or a sentence that says why not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.cli import main
from edge_agent.commands import golden_samples
from edge_agent.commands.golden_samples import entry
from edge_agent.inference import golden
from edge_agent.modelstore.manifest import load_bundle
from edge_agent.pictures import image
from edge_agent.sensing import window_file
from tests.agents import MODELS
from tools.datasets import cells

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(shared_data: Path) -> Path:
    return shared_data / "third_party_models" / "mobilenet_v2_1.0_224_quant.tflite"


def test_a_model_file_becomes_a_bundle_that_loads(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.txt").write_text("\n".join(f"class {n}" for n in range(1001)))
    settings = [
        "preprocess.mean=[127.5]",
        "preprocess.std=[127.5]",
        'postprocess.normal=["class 3"]',
    ]
    arguments = ["bundle", str(model), str(tmp_path / "mine"), "--task", "classify"]
    arguments += ["--labels", str(tmp_path / "labels.txt")]
    for setting in settings:
        arguments += ["--set", setting]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "uint8 [1, 224, 224, 3]" in shown
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert manifest["model_id"] == "mine"
    assert manifest["task"]["postprocess"] == {"normal": ["class 3"]}
    said = shown.splitlines()
    assert said[-2].startswith("It is unproven: without golden samples")
    assert said[-1].startswith("The same command with --samples FOLDER adds some")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["preprocess.mean=[1, 2]"], "mean must have 1 or 3 numbers"),
        (["preprocess.colour=rgb"], "colour"),
        (["mean=1"], "begins with none of preprocess, postprocess, rule"),
        (['postprocess.normal=["good"]'], "good"),
        (["rule.fail_at=1.8"], "manifest.json: /decision/rule/fail_at: 1.8 is out of reach"),
    ],
)
def test_what_does_not_fit_is_said(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: list[str],
    message: str,
) -> None:
    arguments = ["bundle", str(model), str(tmp_path / "mine"), "--task", "classify"]
    for setting in settings:
        arguments += ["--set", setting]
    assert main(arguments) == 69
    assert message in capsys.readouterr().err


def test_a_bundle_that_is_there_stays_as_it_is_where_a_new_one_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = MODELS / "conveyor-parts"
    line = ["bundle", str(shipped / "model.tflite"), str(tmp_path / "parts"), "--task", "classify"]
    assert main(line) == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "parts").iterdir()}
    (tmp_path / "labels.txt").write_text("one\nof\ntoo\nmany\n")
    for wrong in (["--labels", str(tmp_path / "labels.txt")], ["--samples", "nowhere"]):
        assert main([*line, *wrong]) != 0
        assert {f.name: f.read_bytes() for f in (tmp_path / "parts").iterdir()} == before
        assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.txt", "parts"]
    assert "labels are 4" in capsys.readouterr().err


def test_a_file_that_is_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.tflite").write_bytes(b"not a model")
    arguments = ["bundle", str(tmp_path / "model.tflite"), str(tmp_path / "mine")]
    assert main([*arguments, "--task", "classify"]) == 69
    assert capsys.readouterr().err.startswith("edge-agent: ")


def bundled(name: str, folder: Path, samples: Path, *more: str) -> int:
    """Make a bundle of a shipped model's file again, with golden samples."""
    task = json.loads((MODELS / name / "manifest.json").read_text())["task"]
    arguments = ["bundle", str(MODELS / name / "model.tflite"), str(folder)]
    arguments += ["--task", task["kind"], "--samples", str(samples), *more]
    arguments += ["--labels", str(MODELS / name / "labels.txt")]
    for table in ("preprocess", "postprocess"):
        for field, value in task[table].items():
            arguments += ["--set", f"{table}.{field}={json.dumps(value)}"]
    return main(arguments)


def plates(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number, picture in enumerate(cells.pictures(cells.TEST_SEEDS, count)):
        content = image.encode_jpeg(picture.pixels)
        (folder / f"{number:02}.jpg").write_bytes(content)
    return folder


def changed(folder: Path) -> None:
    """Have the bundle say that its model answers something else to its last golden sample."""
    manifest = json.loads((folder / "manifest.json").read_text())
    last = manifest["variants"][0]["files"][-1]
    answers = dict(np.load(folder / last["path"]))
    content = golden.npz({name: array + 10 for name, array in answers.items()})
    (folder / last["path"]).write_bytes(content)
    manifest["variants"][0]["files"][-1] = entry(last["path"], last["role"], content)
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.tflite
def test_pictures_become_golden_samples_that_hold_and_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bundled("conveyor-parts", tmp_path / "mine", plates(tmp_path / "plates", 20)) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("8 golden samples from ")
    manifest = json.loads((tmp_path / "mine" / "manifest.json").read_text())
    assert len(manifest["selftest"]["cases"]) == 8
    assert 0 < manifest["selftest"]["cases"][0]["atol"] < 1
    assert main(["verify", str(tmp_path / "mine")]) == 0
    assert "verified: 8 golden samples" in capsys.readouterr().out
    changed(tmp_path / "mine")
    assert main(["verify", str(tmp_path / "mine")]) == 69
    assert "golden sample golden_in_7.npz: " in capsys.readouterr().out


def test_golden_samples_come_evenly_from_class_folders(tmp_path: Path) -> None:
    for name, count in (("good", 40), ("scratched", 30), ("few", 1), (".thumbnails", 9)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number:02}.jpg").touch()
    found = golden_samples._chosen(golden_samples._files(tmp_path))
    assert [str(path.relative_to(tmp_path)) for path in found] == [
        "few/00.jpg",
        *(f"good/{number:02}.jpg" for number in (0, 13, 26, 39)),
        *(f"scratched/{number:02}.jpg" for number in (0, 14, 29)),
    ]


def test_of_more_class_folders_than_golden_samples_the_last_ones_are_seen_too(
    tmp_path: Path,
) -> None:
    for number in range(15):
        (tmp_path / f"{number:02}").mkdir()
        (tmp_path / f"{number:02}" / "a.jpg").touch()
    found = golden_samples._chosen(golden_samples._files(tmp_path))
    assert [int(path.parent.name) for path in found] == [0, 2, 4, 6, 8, 10, 12, 14]


@pytest.mark.tflite
def test_class_folders_become_golden_samples(tmp_path: Path) -> None:
    samples = tmp_path / "parts"
    samples.mkdir()
    plates(samples / "good", 3)
    plates(samples / "scratched", 3)
    assert bundled("conveyor-parts", tmp_path / "mine", samples) == 0
    assert len(load_bundle(tmp_path / "mine").manifest.selftest.cases) == 6


@pytest.mark.tflite
def test_windows_of_evidence_and_inputs_by_name_become_golden_samples_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = tmp_path / "windows"
    samples.mkdir()
    shape = load_bundle(MODELS / "motor-bearing").manifest.task.preprocess
    for number, (_, window) in enumerate(cells.vibrations(cells.TEST_SEEDS, 2, shape)):
        (samples / f"{number}.npz").write_bytes(window_file.encode(window))
    assert bundled("motor-bearing", tmp_path / "mine", samples) == 0
    (tmp_path / "mine" / "golden_in_0.npz").rename(samples / "input.npz")
    assert bundled("motor-bearing", tmp_path / "mine", samples) == 0
    assert main(["verify", str(tmp_path / "mine")]) == 0
    assert "verified: 3 golden samples" in capsys.readouterr().out


@pytest.mark.tflite
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("", b"", "no picture (.bmp, "),
        ("a.jpg", b"no picture", "a.jpg cannot be a golden sample: "),
        ("a.npz", b"no archive", "a.npz cannot be a golden sample: "),
        ("a.npz", golden.npz({"x": np.zeros(3)}), "a.npz: input "),
    ],
)
def test_what_cannot_be_a_golden_sample_is_named(
    name: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = tmp_path / "samples"
    samples.mkdir()
    if name:
        (samples / name).write_bytes(content)
    assert bundled("conveyor-parts", tmp_path / "mine", samples) == 69
    assert said in capsys.readouterr().err
