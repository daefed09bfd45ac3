"""Calibration on the gateway: what good parts look like here, measured, kept, used, let go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import pytest

from edge_agent import cli
from edge_agent.commands import bundler
from edge_agent.errors import BadInput
from edge_agent.inference import calibration_file
from edge_agent.inference.calibration import (
    measure,
)
from edge_agent.inference.calibration_file import file_of
from edge_agent.inference.model import load_model
from edge_agent.types import Frame, Window
from tests import tiny_onnx
from tests.agents import DEVICE, MODELS, ROOT, AgentProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.inference.model import Model
    from tests.conftest import Mosquitto, Recorder, WaitFor

HEIGHT, WIDTH = 8, 12
FAIL_AT = 0.5


def part(number: int, *, light: float = 90.0, defect: float = 0.0) -> NDArray[np.uint8]:
    """Return a picture lit from the left that no two parts share, perhaps with a bright spot."""
    rng = np.random.default_rng(number)
    values = np.linspace(light, 20, WIDTH)[None] + rng.normal(0, 3, (HEIGHT, WIDTH))
    values[5:7, 8:10] += defect
    grey = np.clip(values, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def write_parts(folder: Path, numbers: range, **look: float) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / f"part_{number}.png"), part(number, **look))
    return folder


def write_model(folder: Path, *, fail_at: float = FAIL_AT, reduce: str = "power_mean") -> Path:
    """Write a bundle of a model to which bright is strange; 1 is white."""
    file = folder.parent / "model.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(tiny_onnx.identity_model(1, HEIGHT, WIDTH, 3))
    settings = (
        "postprocess.form=map",
        f"postprocess.reduce={reduce}",
        "postprocess.map_threshold=0.5",
        f"rule.fail_at={fail_at}",
    )
    bundler.write_bundle(file, folder, bundler.recipe("anomaly", (), settings))
    return folder


def write_config(folder: Path, **pipeline: Any) -> Path:
    source = {"kind": "folder", "path": "parts"}
    camera = {"family": "qc", "model": "models/light", "source": source} | pipeline
    config = folder / "agent.json"
    config.write_text(json.dumps({"device": DEVICE, "pipelines": {"camera": camera}}))
    return config


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """Make a folder with a config, its model and twelve good parts."""
    write_model(tmp_path / "models" / "light")
    write_parts(tmp_path / "parts", range(12))
    write_config(tmp_path)
    return tmp_path


def calibrate(plant: Path, *more: str) -> int:
    return cli.main(["calibrate", "camera", "--config", str(plant / "agent.json"), *more])


def loaded(plant: Path, roi: tuple[int, int, int, int] | None = None) -> Model:
    file = file_of(plant / "state", "camera")
    return load_model(plant / "models" / "light", threads=1, roi=roi, calibration=file)


def score(model: Model, pixels: NDArray[np.uint8]) -> float:
    item = Frame(pixels, 0, 0, 0)
    return model.task.interpret(model.backend.run(model.task.prepare(item)), item).score


def test_the_command_measures_the_first_parts_of_the_pipelines_own_source(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(plant) == 0
    said = capsys.readouterr().out
    file = plant / "state" / "calibration" / "camera.json"
    assert f"camera: calibrated on 10 good parts; {file}" in said
    assert "next start" in said
    written = json.loads(file.read_text())
    model = loaded(plant)
    assert written["model_sha256"] == model.bundle.model_sha256
    assert (written["parts"], written["shape"]) == (10, [HEIGHT, WIDTH])
    assert len(written["mean"]) == HEIGHT * WIDTH
    assert [path.name for path in file.parent.iterdir()] == ["camera.json"]


def test_light_that_is_usual_here_no_longer_hides_a_defect_nor_fails_a_part(plant: Path) -> None:
    write_parts(plant / "parts", range(12), light=200.0)
    before = loaded(plant)
    assert score(before, part(50, light=200.0)) > score(before, part(50, light=120.0, defect=60.0))
    calibrate(plant)
    after = loaded(plant)
    good = [score(after, part(number, light=200.0)) for number in range(100, 140)]
    bad = [score(after, part(number, light=200.0, defect=60.0)) for number in range(100, 140)]
    assert np.mean(np.array(good) < FAIL_AT) > 0.9
    assert max(good) < min(bad)
    assert min(bad) > FAIL_AT
    found = after.task.interpret(after.backend.run({"x": _as_input(200.0)}), _frame(200.0))
    (defect,) = found.defects
    assert 5 <= defect.y <= 7
    assert 8 <= defect.x <= 10


def _frame(light: float) -> Frame:
    return Frame(part(99, light=light, defect=60.0), 0, 0, 0)


def _as_input(light: float) -> NDArray[np.float32]:
    return (_frame(light).pixels[None] / 255).astype(np.float32)


def test_the_limit_lies_at_the_rules_fail_at_wherever_that_is(plant: Path) -> None:
    calibrate(plant)
    once = score(loaded(plant), part(60, defect=40.0))
    write_config(plant, rule={"kind": "threshold", "fail_at": 10 * FAIL_AT})
    calibrate(plant)
    assert score(loaded(plant), part(60, defect=40.0)) == pytest.approx(10 * once)


def test_pictures_can_come_from_a_folder_and_broken_ones_are_named_and_passed_over(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = write_parts(plant / "elsewhere", range(20, 32))
    (elsewhere / "part_0.png").write_bytes(b"no picture")
    assert calibrate(plant, "--from", str(elsewhere), "--parts", "12") == 0
    told = capsys.readouterr()
    assert "calibrated on 12 good parts" in told.out
    assert "skipped" in told.err
    assert "part_0.png" in told.err


def test_a_part_unlike_the_others_is_named(plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(plant / "parts" / "part_3.png"), part(3, defect=150.0))
    calibrate(plant)
    assert "part_3.png is unlike the others" in capsys.readouterr().out


def test_too_few_parts_write_nothing_and_leave_what_was_there(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(plant)
    file = file_of(plant / "state", "camera")
    before = file.read_bytes()
    assert calibrate(plant, "--parts", "30") == 69
    assert "only 12 of 30 good parts were seen" in capsys.readouterr().err
    assert calibrate(plant, "--parts", "4") == 69
    assert calibrate(plant, "--false-reject", "0.7") == 69
    assert file.read_bytes() == before


def test_an_unknown_pipeline_and_a_model_that_finds_no_anomalies_are_refused(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["calibrate", "other", "--config", str(plant / "agent.json")]) == 78
    assert "; there are: camera" in capsys.readouterr().err
    write_config(plant, model=str(MODELS / "conveyor-parts"))
    assert calibrate(plant) == 69
    assert "kind classify: only anomaly models" in capsys.readouterr().err


def test_a_pipeline_that_waits_for_triggers_is_calibrated_with_pictures_of_parts(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(plant, trigger={"topic": "plc/part", "deadline_ms": 500})
    assert calibrate(plant) == 78
    assert "--from FOLDER" in capsys.readouterr().err
    assert calibrate(plant, "--from", str(plant / "parts")) == 0


def test_a_rule_by_which_low_scores_are_bad_is_refused(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(plant, rule={"kind": "threshold", "fail_at": 5.0, "direction": "below"})
    assert calibrate(plant) == 78
    assert "strange parts score high" in capsys.readouterr().err


def test_after_a_change_of_the_model_the_calibration_is_ignored_and_that_is_said(
    plant: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(plant)
    plain = load_model(plant / "models" / "light", threads=1, roi=None)
    capsys.readouterr()
    assert cli.main(["check", str(plant / "agent.json")]) == 0
    assert "camera is calibrated" in capsys.readouterr().out
    file = file_of(plant / "state", "camera")
    document = json.loads(file.read_text()) | {"model_sha256": "0" * 64}
    file.write_text(json.dumps(document))
    model = loaded(plant)
    assert model.note.startswith(
        "calibration was made with another model (light 00000000): ignored"
    )
    assert "edge-agent calibrate camera" in model.note
    assert score(model, part(1)) == score(plain, part(1))
    assert cli.main(["check", str(plant / "agent.json")]) == 0
    assert "made with another model" in capsys.readouterr().out


def test_a_calibration_of_another_part_of_the_picture_is_ignored(plant: Path) -> None:
    calibrate(plant)
    assert "made with roi None" in loaded(plant, roi=(0, 0, 6, 4)).note


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda _: b"",
        lambda _: b"[]",
        lambda text: text.replace(b'"centre":', b'"center":'),
        lambda text: text.replace(b'"mean":[', b'"mean":[1.0,'),
        lambda text: text.replace(b'"deviation":[', b'"deviation":[0.0,'),
        lambda text: text.replace(b'"shape":[8,12]', b'"shape":[9,12]'),
    ],
)
def test_a_damaged_file_is_ignored_and_that_is_said(plant: Path, spoil: Any) -> None:
    calibrate(plant)
    file = file_of(plant / "state", "camera")
    file.write_bytes(spoil(file.read_bytes()))
    model = loaded(plant)
    assert "calibration is damaged" in model.note
    assert score(model, part(1)) > 0.0


def test_a_file_that_may_not_be_read_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "camera.json").mkdir()
    found = calibration_file.find(tmp_path / "camera.json", "0" * 64, None)
    assert found.calibration is None
    assert "cannot be read" in found.note


def test_a_calibration_can_be_forgotten(plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibrate(plant)
    assert calibrate(plant, "--forget") == 0
    assert not file_of(plant / "state", "camera").exists()
    assert calibrate(plant, "--forget") == 0
    assert "was not calibrated" in capsys.readouterr().out


def test_a_picture_whose_map_has_another_size_is_bad_input(plant: Path) -> None:
    calibrate(plant)
    file = file_of(plant / "state", "camera")
    document = msgspec.json.decode(file.read_bytes(), type=calibration_file.Document)
    half = msgspec.structs.replace(
        document,
        shape=(HEIGHT // 2, WIDTH),
        mean=document.mean[: len(document.mean) // 2],
        deviation=document.deviation[: len(document.deviation) // 2],
    )
    calibration_file.write(file, half)
    with pytest.raises(BadInput, match="calibrated for"):
        score(loaded(plant), part(1))


def test_windows_are_measured_by_channel(tmp_path: Path) -> None:
    """A channel that is usually loud does not hide a quiet one that becomes a little louder."""
    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_onnx.identity_model(1, 4, 2))
    settings = (
        "preprocess.kind=window",
        'preprocess.channels=["loud","quiet"]',
        "preprocess.samples=4",
        "preprocess.hop=4",
        "preprocess.rate_hz=10",
        "postprocess.form=map",
    )
    model = bundler.write_bundle(file, tmp_path / "m", bundler.recipe("anomaly", (), settings))
    rng = np.random.default_rng(0)

    def window(quiet: float) -> Window:
        samples = np.abs(rng.normal((100.0, quiet), (10.0, 0.1 * quiet), (4, 2)))
        return Window(samples.astype(np.float32), ("loud", "quiet"), 10.0, 0, 0, 0)

    def cells(item: Window) -> NDArray[np.float32]:
        task: Any = model.task
        found: NDArray[np.float32] = task.cells(model.backend.run(task.prepare(item)), item)
        return found

    normal, _ = measure([cells(window(1.0)) for _ in range(30)], "mean", 0.01)
    assert normal.mean.shape == (2,)
    assert (
        normal.judge(cells(window(1.0)), "mean")[0]
        < 1.0
        < normal.judge(cells(window(2.0)), "mean")[0]
    )


@pytest.fixture
def agent(plant: Path, mosquitto: Mosquitto) -> Iterator[AgentProcess]:
    source = {"kind": "folder", "path": "shown", "loop": True, "fps": 20}
    evidence: dict[str, Any] = {"keep": []}
    pipeline = {"family": "qc", "model": "models/light", "source": source, "evidence": evidence}
    running = AgentProcess(plant, mosquitto, {"camera": pipeline})
    yield running
    running.end()


def test_the_running_agent_judges_by_the_calibration_beside_its_outbox(
    plant: Path, agent: AgentProcess, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    write_parts(plant / "shown", range(200, 201), light=200.0, defect=60.0)
    good = write_parts(plant / "good", range(10), light=200.0)
    assert calibrate(plant, "--from", str(good)) == 0
    mqtt_client.subscribe(f"{ROOT}/#")
    agent.start()
    topic = f"{ROOT}/qc/camera/verdict"
    verdict = msgspec.json.decode(wait_for(lambda: mqtt_client.payloads(topic))[0])
    pixels = cv2.imread(str(plant / "shown" / "part_200.png"))
    assert pixels is not None
    wanted = score(loaded(plant), pixels.astype(np.uint8))
    assert verdict["verdict"] == "fail"
    assert verdict["score"] == pytest.approx(wanted)


def test_the_running_agent_says_on_its_stats_that_it_ignores_a_calibration(
    plant: Path, agent: AgentProcess, mqtt_client: Recorder, wait_for: WaitFor
) -> None:
    shown = write_parts(plant / "shown", range(200, 210))
    calibrate(plant, "--from", str(shown))
    file = file_of(plant / "state", "camera")
    file.write_text(file.read_text().replace(loaded(plant).bundle.model_sha256, "f" * 64))
    mqtt_client.subscribe(f"{ROOT}/#")
    agent.start()
    topic = f"{ROOT}/qc/camera/stats"

    def details() -> list[str]:
        return [msgspec.json.decode(payload)["detail"] for payload in mqtt_client.payloads(topic)]

    wait_for(lambda: any("made with another model" in detail for detail in details()))
