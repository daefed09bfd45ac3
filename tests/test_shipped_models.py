"""The models in models/: whole, as their manifests say, and as good as their cards say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.commands import demo_recordings
from edge_agent.inference.model import Model, load_model
from edge_agent.inference.preprocess import WindowPreprocess
from tools import evaluate, train_ballscrew_good
from tools.bundling.golden_inputs import CASES
from tools.datasets import ballscrew, cells, cmapss
from tools.scoring.report import auroc
from tools.shipped import SHIPPED

pytestmark = pytest.mark.tflite

MODELS = Path(__file__).parents[1] / "models"
MODEL_IDS = tuple(sorted(folder.name for folder in MODELS.iterdir() if folder.is_dir()))
MOST_BYTES = {
    "conveyor-parts": 1_000_000,
    "motor-bearing": 60_000,
    "ballscrew-pitting": 2_000_000,
    "ballscrew-good": 1_200_000,
    "ballscrew-wear": 60_000,
    "turbofan-rul": 60_000,
}


def load(model_id: str) -> Model:
    return load_model(MODELS / model_id, threads=1, roi=None)


def arrays(folder: Path, name: str) -> dict[str, Any]:
    with np.load(io.BytesIO((folder / name).read_bytes()), allow_pickle=False) as archive:
        return dict(archive)


def test_every_folder_in_models_is_made_by_make_models_and_small_enough_for_a_repository() -> None:
    assert set(MODEL_IDS) <= set(SHIPPED)
    for model_id in MODEL_IDS:
        assert sum(path.stat().st_size for path in (MODELS / model_id).iterdir()) < 6_000_000


@pytest.mark.parametrize("model_id", MODEL_IDS)
def test_a_model_gives_its_golden_answers(model_id: str) -> None:
    model = load(model_id)
    cases = model.bundle.manifest.selftest.cases
    assert len(cases) == CASES
    for case in cases:
        got = model.backend.run(arrays(MODELS / model_id, case.golden_in))
        wanted = arrays(MODELS / model_id, case.golden_out)
        assert got.keys() == wanted.keys()
        for name in wanted:
            answer: Any = got[name]
            atol = case.atol_of.get(name, case.atol)
            np.testing.assert_allclose(answer, wanted[name], atol=atol, rtol=case.rtol)


@pytest.mark.parametrize("model_id", MODEL_IDS)
def test_a_model_is_small_takes_int8_and_answers_in_float(model_id: str) -> None:
    model = load(model_id)
    assert len(model.bundle.model) <= MOST_BYTES[model_id]
    assert [spec.dtype for spec in model.backend.inputs] == ["int8"]
    assert {spec.dtype for spec in model.backend.outputs} == {"float32"}
    assert (MODELS / model_id / "card.md").read_text().startswith(f"# {model_id}\n")


def test_plates_of_unseen_seeds_are_told_apart() -> None:
    model, right = load("conveyor-parts"), 0
    for picture in cells.pictures(range(9000, 9002), 120):
        right += evaluate.inspect(model, cells.frame(picture)).label == picture.label
    assert right / 120 > 0.93


def test_bearings_of_unseen_motors_are_told_apart_once_the_defect_is_there() -> None:
    model = load("motor-bearing")
    found = [
        (evaluate.inspect(model, window).label, block.fault)
        for block, window in cells.vibrations(range(9000, 9100), 120, evaluate.window_shape(model))
        if block.severity > 0.3 or block.fault == "healthy"
    ]
    assert np.mean([answer == truth for answer, truth in found]) > 0.9


def test_engines_of_the_test_set_are_given_their_remaining_life(shared_data: Path) -> None:
    model = load("turbofan-rul")
    shape = evaluate.window_shape(model)
    errors = []
    for engine in cmapss.test_engines(shared_data / "cmapss")[::4]:
        windows = cmapss.windows(engine, shape)
        life = [evaluate.inspect(model, window) for window in windows][-1]
        assert life.unit == "cycles"
        errors.append(life.score - engine.rul)
    assert cmapss.rmse(np.array(errors)) < 15


def test_pitting_is_found_on_positions_that_training_never_saw(shared_data: Path) -> None:
    model = load("ballscrew-pitting")
    photos = ballscrew.photos(shared_data / "bsdata", ballscrew.TEST_POSITIONS)[::2]
    scores = np.array([evaluate.inspect(model, ballscrew.frame(photo)).score for photo in photos])
    assert auroc(np.array([photo.pitted for photo in photos]), scores) > 0.93


def test_ten_photos_of_a_position_calibrate_what_was_learned_elsewhere(shared_data: Path) -> None:
    figures = dict(train_ballscrew_good.evaluated(MODELS / "ballscrew-good", shared_data))
    as_it_comes, calibrated = (
        float(value)
        for what, value in figures.items()
        if what.startswith("AUROC, 175 photos of 3 positions never seen, int8")
    )
    assert calibrated >= 0.975
    assert calibrated > as_it_comes
    within = "AUROC, hard, within each position, mean of 3, int8, calibrated on 10"
    assert float(figures[within]) >= 0.93


def test_the_demo_shows_positions_that_training_never_saw() -> None:
    assert set(demo_recordings.POSITIONS) <= set(ballscrew.TEST_POSITIONS)
    assert not set(ballscrew.TEST_POSITIONS) & set(ballscrew.TRAINING_POSITIONS)


def test_windows_of_the_sensor_models_fit_what_their_sources_give() -> None:
    for model_id, channels in (("motor-bearing", 2), ("turbofan-rul", 14)):
        shape = load(model_id).bundle.manifest.task.preprocess
        assert isinstance(shape, WindowPreprocess)
        assert len(shape.channels) == channels


def test_figures_in_the_docs_are_those_of_the_cards() -> None:
    page = (MODELS.parent / "docs" / "models.md").read_text()
    sections = dict(part.split("\n", 1) for part in page.split("\n## "))
    for model_id in MODEL_IDS:
        card = (MODELS / model_id / "card.md").read_text().splitlines()
        rows = [line for line in sections[model_id].splitlines() if line.startswith("|")]
        assert len(rows) > 4
        assert set(rows) <= set(card)
