"""The examples and the reference in docs/ are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli import main
from tools.reference import PAGES, page

DOCS = Path(__file__).parents[1] / "docs"
PLACE = 'enterprise = "acme", site = "s", area = "a", line = "l", cell = "c"'
DEVICE = f'device = {{ {PLACE}, name = "gw" }}'


@pytest.mark.parametrize(
    "example", sorted(DOCS.glob("examples/*.toml")), ids=lambda path: path.stem
)
def test_an_example_is_a_good_config(example: Path) -> None:
    assert main(["check", str(example)]) == 0


@pytest.mark.parametrize("name", PAGES)
def test_the_reference_is_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == page(name), "run: make schemas"


def test_a_wrong_field_ends_check_with_its_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "examples" / "folder.toml").read_text().replace("fps = 5", "fps = 0")
    config = tmp_path / "wrong.toml"
    config.write_text(text)
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    assert "/pipelines/recorded/source/fps: must be more than 0" in shown


def test_a_bundle_that_is_missing_or_damaged_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "examples" / "folder.toml").read_text()
    config = tmp_path / "wrong.toml"
    config.write_text(text.replace("../../models/conveyor-parts", "nowhere"))
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    assert "/pipelines/recorded/model: " in shown
    assert f"no such folder: {tmp_path}/nowhere" in shown


def test_all_that_is_wrong_is_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("""
        [device]
        name = "no good"
        [pipelines.one]
        family = "qc"
        model = "nowhere"
        threads = 0
        source = { kind = "folder", path = "pictures" }
        [pipelines.two]
        family = "qc"
        model = "neither"
        source = { kind = "mqtt_image", topic = "t" }
        recipes.P-2.model = "nor-this"
    """)
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    for place in (
        *("/device/name: must be", "/device/site: is missing"),
        *("/pipelines/one/threads: ", "/pipelines/one/model: no such"),
        *("/pipelines/two/model: no such", "/pipelines/two/recipes/P-2/model: no such"),
    ):
        assert f"wrong.toml: {place}" in shown


def test_a_recipe_whose_model_wants_other_items_than_the_source_gives_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = Path(__file__).parents[1] / "models"
    config = tmp_path / "agent.toml"
    config.write_text(f"""
        {DEVICE}
        [pipelines.plates]
        family = "qc"
        model = "{models}/conveyor-parts"
        source = {{ kind = "simulator", scene = "conveyor" }}
        recipes.P-1.model = "{models}/conveyor-parts"
        recipes.P-2.model = "{models}/motor-bearing"
    """)
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    assert "/pipelines/plates/recipes/P-2/model: " in shown
    assert "P-1" not in shown


def test_a_config_without_pipelines_is_good_and_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(DEVICE)
    assert main(["check", str(config)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{config}: /pipelines: warning: nothing is inspected"
    assert said[-1] == f"{config}: good; pipelines: none"


def test_a_file_or_folder_that_is_not_there_is_named_and_keeps_nothing_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here.pem").touch()
    models = Path(__file__).parents[1] / "models"
    config = tmp_path / "agent.toml"
    config.write_text(f"""
        {DEVICE}
        [broker]
        password_file = "/run/credentials/no-such.service/secret_broker"
        tls = {{ ca_file = "{tmp_path}/ca.pem", cert_file = "{tmp_path}/here.pem" }}
        [pipelines.one]
        family = "qc"
        model = "{models}/conveyor-parts"
        source = {{ kind = "folder", path = "pictures" }}
        [pipelines.two]
        family = "qc"
        model = "{models}/conveyor-parts"
        source = {{ kind = "camera", file = "film.mp4" }}
        [pipelines.three]
        family = "qc"
        model = "{models}/conveyor-parts"
        source = {{ kind = "folder", path = "here.pem" }}
        accelerator = {{ delegate = "{tmp_path}/libnone.so" }}
        [pipelines.four]
        family = "qc"
        model = "{models}/conveyor-parts"
        source = {{ kind = "simulator", scene = "conveyor" }}
        accelerator = {{ delegate = "libwhere-the-system-looks.so" }}
        [pipelines.five]
        family = "qc"
        model = "{models}/conveyor-parts"
        source = {{ kind = "simulator", scene = "conveyor" }}
        accelerator = "edgetpu"
        [accelerators.edgetpu]
        delegate = "{tmp_path}/libedgetpu.so.1"
    """)
    assert main(["check", str(config)]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if ": warning: " in line]
    without, waits = "without it the model runs as `on_failure` says", "what needs it waits for it"
    assert [line.removeprefix(f"{config}: ").replace(" warning:", "") for line in shown] == [
        f"/broker/tls/ca_file: no such file: {tmp_path}/ca.pem; {waits}",
        f"/accelerators/edgetpu/delegate: no such file: {tmp_path}/libedgetpu.so.1; {without}",
        f"/pipelines/one/source/path: no such folder: {tmp_path}/pictures; {waits}",
        f"/pipelines/two/source/file: no such file: {tmp_path}/film.mp4; {waits}",
        f"/pipelines/three/source/path: is no folder: {tmp_path}/here.pem; {waits}",
        f"/pipelines/three/accelerator/delegate: no such file: {tmp_path}/libnone.so; {without}",
    ]
    capsys.readouterr()


def test_a_source_that_lacks_a_channel_of_the_model_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "examples" / "vibration.toml").read_text()
    models = Path(__file__).parents[1] / "models"
    text = text.replace("../../models", str(models)).replace("channels.accel_y", "channels.other")
    config = tmp_path / "wrong.toml"
    config.write_text(text)
    assert main(["check", str(config)]) == 78
    assert "accel_y" in capsys.readouterr().err


def test_a_config_file_that_is_not_there_is_a_plain_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(tmp_path / "none.toml")]) == 69
    assert "none.toml" in capsys.readouterr().err


@pytest.mark.parametrize("example", ["usb-camera", "folder", "mqtt-pictures"])
def test_a_camera_before_a_model_of_windows_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], example: str
) -> None:
    text = (DOCS / "examples" / f"{example}.toml").read_text()
    models = Path(__file__).parents[1] / "models"
    config = tmp_path / "wrong.toml"
    config.write_text(text.replace("../../models/conveyor-parts", str(models / "motor-bearing")))
    assert main(["check", str(config)]) == 78
    shown = capsys.readouterr().err
    assert "/source/kind: gives pictures, and the model takes windows of samples" in shown
