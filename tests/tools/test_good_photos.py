"""Photos of good parts alone, to a bundle that the agent runs; or a sentence and nothing."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from edge_agent.cell.conveyor import Conveyor
from edge_agent.inference.calibration import measure
from edge_agent.inference.model import load_model
from edge_agent.types import Frame
from tests.tools.pictures import drawings
from tools.scoring.report import auroc

torch = pytest.importorskip("torch")

from tools.train.__main__ import main  # noqa: E402
from tools.training import strangeness  # noqa: E402  needs the training environment
from tools.training.good_parts import Lesson, learn, limit, seen_in_float  # noqa: E402
from tools.training.photo_nets import PREPROCESS  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from edge_agent.types import Prediction

pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(600),
    # torch and the converters warn of what is to change in themselves.
    pytest.mark.filterwarnings("ignore"),
]

GOOD, BAD = 60, 16
SIZE = "128x128"


def plates(count: int, *, smeared: bool = False, first: int = 0) -> list[NDArray[np.uint8]]:
    conveyor = Conveyor(11)
    made = [np.asarray(conveyor.picture(first + n, "ok").pixels).copy() for n in range(count)]
    for pixels in made if smeared else ():
        cv2.ellipse(pixels, (320, 240), (60, 25), 30, 0, 360, (40, 90, 160), cv2.FILLED)
    return made


def written(folder: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{number:03}.png"), pixels)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train once, from a folder of nothing but good photos."""
    root = tmp_path_factory.mktemp("plates")
    photos = written(root / "photos", plates(GOOD))
    assert main(["good-photos", str(photos), str(root / "model"), "--size", SIZE]) == 0
    return root / "model"


def predictions(bundle: Path, pictures: list[NDArray[np.uint8]]) -> list[Prediction]:
    model = load_model(bundle, threads=1, roi=None)
    frames = [Frame(pixels, 0, 0, 0) for pixels in pictures]
    return [
        model.task.interpret(model.backend.run(model.task.prepare(frame)), frame)
        for frame in frames
    ]


def test_sixty_good_photos_make_a_small_int8_bundle_that_the_agent_runs(bundle: Path) -> None:
    model = load_model(bundle, threads=1, roi=None)
    assert [spec.dtype for spec in model.backend.inputs] == ["int8"]
    assert {spec.dtype for spec in model.backend.outputs} == {"float32"}
    assert len(model.bundle.model) < 1_200_000
    assert len(model.bundle.manifest.selftest.cases) == 2
    assert model.bundle.manifest.decision.rule.fail_at == 1.0
    assert not list(bundle.parent.glob(".*"))
    card = (bundle / "card.md").read_text()
    assert "60 photos of good parts" in card
    assert "good photos held out that reach it, of 60" in card


def test_parts_with_defects_never_seen_score_above_good_ones(bundle: Path) -> None:
    good = [one.score for one in predictions(bundle, plates(20, first=1000))]
    bad = [one.score for one in predictions(bundle, plates(BAD, smeared=True, first=2000))]
    truth = np.array([False] * len(good) + [True] * len(bad))
    assert auroc(truth, np.array(good + bad)) > 0.9
    assert np.mean(np.array(good) < 1.0) >= 0.9


def test_ten_good_parts_of_a_place_calibrate_the_map_of_the_int8_model(bundle: Path) -> None:
    model = load_model(bundle, threads=1, roi=None)
    task: Any = model.task

    def cells(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        frame = Frame(pixels, 0, 0, 0)
        found: NDArray[np.float32] = task.cells(model.backend.run(task.prepare(frame)), frame)
        return found

    def darker(pictures: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        return [(pixels * 0.6).astype(np.uint8) for pixels in pictures]

    normal, _ = measure([cells(one) for one in darker(plates(10, first=500))], task.reduce, 0.01)
    good = [normal.judge(cells(one), task.reduce)[0] for one in darker(plates(20, first=1000))]
    bad = [
        normal.judge(cells(one), task.reduce)[0]
        for one in darker(plates(BAD, smeared=True, first=2000))
    ]
    truth = np.array([False] * len(good) + [True] * len(bad))
    assert auroc(truth, np.array(good + bad)) > 0.85
    assert np.mean(np.array(good) < 1.0) >= 0.8


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_new_good_parts_that_hardly_differ_are_let_through_in_the_precision_of_the_bundle(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], precision: str
) -> None:
    photos, out = written(tmp_path / "photos", [*drawings(GOOD)]), tmp_path / "model"
    command = ["good-photos", str(photos), str(out), "--size", "96x128", "--precision", precision]
    assert main(command) == 0
    told = capfd.readouterr()
    assert "is ready" in told.out
    assert "warning: no --group" in told.err
    assert len(told.err.splitlines()) == 1, "what converters say is nobody's to read"
    scores = np.array([one.score for one in predictions(out, [*drawings(40, seed=1)])])
    assert (scores >= 1.0).mean() <= 0.05
    card, size = (out / "card.md").read_text(), (out / "model.tflite").stat().st_size
    assert f"good photos held out that reach it, of 60, {precision}" in card
    assert f"| size of the model file | {size / 1000:.0f} kB |" in card
    assert ("int8" in card) == (precision == "int8")


def test_a_limit_that_good_test_photos_reach_is_a_warning_and_no_model_that_is_ready(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "model"
    for number, pixels in enumerate(plates(22)):
        written(photos / "good" / f"place_a{number}", [pixels])
    written(photos / "good" / "place_b", [255 - pixels for pixels in plates(22, first=22)])
    # Bad parts are from that place, too, which is held back whole for that.
    smeared = [255 - pixels for pixels in plates(8, smeared=True, first=90)]
    written(photos / "bad" / "place_b", smeared)
    command = ["good-photos", str(photos), str(out), "--size", "64x64", "--group", r"place_(\w+)"]
    assert main(command) == 0
    told = capsys.readouterr()
    assert re.search(r"\d+ of 22 good test photos \(\d+%\) fail, where 1.0% was asked", told.err)
    assert "edge-agent calibrate" in told.err
    assert "is ready" not in told.out
    card = (out / "card.md").read_text()
    assert re.search(r"\*\*Warning\*\* \d+ of 22 good test", card)
    assert "AUROC, 30 test photos, int8" in card
    assert "AUROC, 30 test photos, float" in card


def test_a_channel_that_good_parts_leave_at_one_value_does_not_outweigh_all_others() -> None:
    generator = torch.Generator().manual_seed(2)
    near = torch.randn(8, 3, 8, 8, generator=generator).round()
    near[:, 1] = 4.0
    far = torch.randn(8, 2, 4, 4, generator=generator).round()
    distances = strangeness.learned((near, far), 0, steps=(1.0, 1.0))
    moved = near[:1].clone()
    moved[:, 1, 3, 3] += 1.0
    (_, usual), (_, strange) = (
        strangeness.judged(distances, (x, far[:1])) for x in (near[:1], moved)
    )
    assert usual[0] < strange[0] < 100 * usual[0]


def test_the_same_photos_and_seed_give_the_same_network_and_limits() -> None:
    pixels = np.stack([cv2.resize(one, (96, 96)) for one in plates(24)]).astype(np.uint8)
    lesson = Lesson(pixels, [str(n % 6) for n in range(24)], PREPROCESS, 3)
    seen = seen_in_float(lesson)
    (one, limits), (other, again) = learn(lesson, seen, 0.01), learn(lesson, seen, 0.01)
    assert (limits.score, limits.cell) == (again.score, again.cell)
    weights = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(left, right) for left, right in weights)


def test_folding_normalisations_changes_no_answer() -> None:
    from tools.training.photo_nets import trunk  # noqa: PLC0415

    pictures = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        _, far = strangeness.Features((64, 96)).eval()(pictures)
        whole = trunk(strangeness.FAR, (64, 96))(pictures)
    assert float((far - whole).abs().max()) < 1e-3


def test_distances_by_convolution_are_squared_distances_to_the_nearest_centre() -> None:
    generator = torch.Generator().manual_seed(1)
    whitening = torch.randn(4, 5, generator=generator)
    offset, centres = torch.randn(4, generator=generator), torch.randn(7, 4, generator=generator)
    distances = strangeness.Distances(whitening, offset, centres, 3)
    distances.smooth = torch.nn.Identity()
    near = torch.randn(1, 3, 4, 6, generator=generator)
    far = torch.randn(1, 2, 2, 3, generator=generator)
    cells, score = distances((near, far))
    grown = far.repeat_interleave(2, 2).repeat_interleave(2, 3)
    white = torch.einsum("kc,nchw->nhwk", whitening, torch.cat([near, grown], 1)) + offset
    wanted = torch.cdist(white.reshape(-1, 4), centres).amin(1).reshape(4, 6) ** 2
    assert torch.allclose(cells[0, 0], wanted, atol=1e-3)
    assert torch.allclose(score[0, 0], (wanted**4).mean() ** 0.25, rtol=1e-4)


def test_the_limit_is_one_that_the_chosen_share_of_good_parts_does_not_pass() -> None:
    scores = np.exp(np.random.default_rng(0).normal(0, 0.2, 2000)).astype(np.float32)
    for share in (0.01, 0.05):
        assert np.mean(scores[:60] > limit(scores[:60], share)) <= share
        assert np.mean(scores[1000:] > limit(scores[:1000], share)) < 2 * share


def test_a_folder_without_photos_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["good-photos", str(tmp_path / "empty"), str(tmp_path / "model")]) == 1
    assert "empty holds no photos (.bmp, .jpeg, .jpg, .png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ((), "12 usable photos of good parts; at least 20 are needed"),
        (("--group", "position_(.)"), "is not in"),
    ],
)
def test_photos_that_do_not_serve_are_a_sentence_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], text: str
) -> None:
    photos = written(tmp_path / "photos", plates(12))
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    shutil.copy(photos / "000.png", photos / "twice.png")
    assert main(["good-photos", str(photos), str(tmp_path / "model"), *more]) == 1
    told = capsys.readouterr().err
    assert text in told
    assert "nothing was written" in told
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
