"""Recipes for recordings, from a CSV to a bundle that the agent runs; or a sentence and nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.inference.model import load_model
from edge_agent.modelstore.manifest import load_bundle
from tests.tools.machines import ROWS, STATES, joined, noise, states, vibration, wearing, written

pytest.importorskip("torch")

from tools.recordings.product import answered
from tools.recordings.reader import read
from tools.recordings.series import Layout
from tools.train.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.inference.model import Model
    from edge_agent.types import Prediction

pytestmark = [
    pytest.mark.tools,
    pytest.mark.timeout(600),
    # torch and the converters warn of what is to change in themselves.
    pytest.mark.filterwarnings("ignore"),
]


def loaded(folder: Path) -> Model:
    return load_model(folder, threads=1, roi=None)


def says(folder: Path, recording: Path) -> list[Prediction]:
    shape = loaded(folder).bundle.manifest.task.preprocess
    whole, _ = read(recording, Layout())
    return answered(folder, whole.only(shape.channels).series, shape)


def scores(folder: Path, recording: Path) -> np.ndarray:
    return np.array([each.score for each in says(folder, recording)])


def figure(folder: Path, start: str, end: str) -> float:
    rows = [line.split("|") for line in (folder / "card.md").read_text().splitlines()]
    found = [r[2] for r in rows if len(r) > 3 and r[1].strip().startswith(start) and end in r[1]]
    return float(found[0].split("/")[0].split("+-")[0].strip().rstrip("%"))


# ---------------------------------------------------------------------- each recipe, once


@pytest.fixture(scope="module")
def life_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("life")
    written(folder / "engines.csv", joined([wearing(seed) for seed in range(14)]))
    arguments = ["--unit", "unit", "--cap", "60", "--samples", "12", "--epochs", "8"]
    assert main(["life", str(folder / "engines.csv"), str(folder / "rul"), *arguments]) == 0
    return folder / "rul"


def test_remaining_life_is_told_better_than_by_its_mean(life_bundle: Path) -> None:
    by_agent = figure(life_bundle, "RMSE, every window", "int8, by the agent")
    assert by_agent < 0.6 * figure(life_bundle, "RMSE, every window", "always the mean")
    assert by_agent < figure(life_bundle, "RMSE, every window", ", float") + 1.0


def test_the_life_of_an_unseen_machine_falls_to_its_end(life_bundle: Path, tmp_path: Path) -> None:
    answers = scores(life_bundle, written(tmp_path / "new.csv", wearing(99)))
    assert answers[:20].mean() > 40
    assert answers[-1] < 15


def test_constant_channels_are_no_input_and_the_rule_points_down(life_bundle: Path) -> None:
    manifest = loaded(life_bundle).bundle.manifest
    assert manifest.task.preprocess.channels == ("a", "b")
    assert manifest.decision.rule.direction == "below"
    assert len(manifest.selftest.cases) == 2


@pytest.mark.parametrize("age", [["--no-age"], []], ids=["sensors", "age"])
def test_a_life_that_no_channel_tells_of_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], age: list[str]
) -> None:
    data = written(tmp_path / "lives.csv", joined([noise(seed) for seed in range(12)]))
    arguments = ["--unit", "unit", "--samples", "10", "--cap", "80", "--epochs", "6", *age]
    assert main(["life", str(data), str(tmp_path / "wear"), *arguments]) == 0
    said = capsys.readouterr()
    assert "had left: do not use this one" in said.err
    assert "see the warning above" in said.out
    assert "**Warning** RMSE" in (tmp_path / "wear" / "card.md").read_text()
    (doubt,) = load_bundle(tmp_path / "wear").manifest.doubts
    assert "had left: do not use this one" in doubt


@pytest.fixture(scope="module")
def classes_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classes")
    for seed in range(12):
        bad = seed % 2 == 1
        label = {"state": np.full(ROWS, "worn" if bad else "ok")}
        written(folder / "data" / f"run{seed}.csv", vibration(seed, bad=bad) | label)
    arguments = ["--label", "state", "--good", "ok", "--samples", "16", "--epochs", "6"]
    arguments += ["--hop", "4"]
    assert main(["sensor-classify", str(folder / "data"), str(folder / "state"), *arguments]) == 0
    return folder / "state"


def test_conditions_of_unseen_machines_are_told_apart(classes_bundle: Path, tmp_path: Path) -> None:
    for bad, label in ((False, "ok"), (True, "worn")):
        path = written(tmp_path / f"{label}.csv", vibration(77, bad=bad))
        answers = [each.label for each in says(classes_bundle, path)]
        assert answers.count(label) > 0.9 * len(answers)


def test_the_score_of_a_classifier_is_the_share_of_bad_labels(
    classes_bundle: Path, tmp_path: Path
) -> None:
    assert loaded(classes_bundle).bundle.labels == ("ok", "worn")
    good = scores(classes_bundle, written(tmp_path / "good.csv", vibration(78)))
    assert good.mean() < 0.3


def test_what_is_easily_told_apart_is_decided_by_the_rule_of_the_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "state"
    data = states(tmp_path / "machine.csv")
    assert main(["sensor-classify", str(data), str(out), *STATES, "--good", "ok"]) == 0
    assert "is ready" in capsys.readouterr().out
    assert figure(out, "good test windows that fail", "") <= 5
    assert figure(out, "bad test windows that pass", "") <= 5
    rule = loaded(out).bundle.manifest.decision.rule
    for bad in (False, True):
        path = written(tmp_path / f"{bad}.csv", vibration(77, bad=bad, rows=400))
        answers = scores(out, path)
        right = answers >= rule.fail_at if bad else answers < rule.pass_at
        assert right.mean() > 0.9


def test_a_rule_that_leaves_most_windows_uncertain_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "noise.csv"
    rng = np.random.default_rng(0)
    rows = 4000
    columns = {"x": rng.normal(size=rows).round(4), "y": rng.normal(size=rows).round(4)}
    machine = np.arange(rows) // 400
    state = np.where(machine % 2 == 1, "worn", "ok")
    written(data, columns | {"machine": machine, "state": state})
    out = tmp_path / "state"
    assert main(["sensor-classify", str(data), str(out), *STATES, "--good", "ok"]) == 0
    captured = capsys.readouterr()
    assert "is ready" not in captured.out
    assert "are uncertain: by the limits in its manifest" in captured.err
    assert "**Warning**" in (out / "card.md").read_text()


def test_without_a_good_label_the_rule_is_about_how_sure_the_model_is(tmp_path: Path) -> None:
    out = tmp_path / "state"
    assert main(["sensor-classify", str(states(tmp_path / "a.csv")), str(out), *STATES]) == 0
    assert loaded(out).bundle.manifest.decision.rule.direction == "below"


@pytest.fixture(scope="module", params=["autoencoder", "density"])
def anomaly_bundle(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("anomaly")
    for seed in range(9):
        written(folder / "good" / f"run{seed}.csv", vibration(seed))
    arguments = ["--method", request.param, "--samples", "16", "--hop", "4", "--epochs", "15"]
    assert main(["sensor-anomaly", str(folder / "good"), str(folder / "odd"), *arguments]) == 0
    return folder / "odd"


def test_what_was_never_seen_is_beyond_the_threshold(anomaly_bundle: Path, tmp_path: Path) -> None:
    good = scores(anomaly_bundle, written(tmp_path / "good.csv", vibration(50)))
    bad = scores(anomaly_bundle, written(tmp_path / "bad.csv", vibration(51, bad=True)))
    assert (good >= 1).mean() < 0.15
    assert (bad >= 1).mean() > 0.9


def test_far_outside_of_what_was_seen_is_stranger_still(
    anomaly_bundle: Path, tmp_path: Path
) -> None:
    away = vibration(52)
    away["x"] = away["x"] + 5
    assert scores(anomaly_bundle, written(tmp_path / "away.csv", away)).min() > 1.5


@pytest.fixture(scope="module")
def forecast_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forecast")
    for seed in range(6):
        written(folder / "data" / f"run{seed}.csv", vibration(seed))
    arguments = ["--target", "x", "--ahead", "5", "--samples", "16", "--epochs", "10"]
    assert main(["forecast", str(folder / "data"), str(folder / "next"), *arguments]) == 0
    return folder / "next"


def test_a_forecast_beats_all_stays_as_it_is(forecast_bundle: Path) -> None:
    by_agent = figure(forecast_bundle, "RMSE", "by the agent")
    assert by_agent < 0.5 * figure(forecast_bundle, "RMSE", "all stays as it is")


def test_a_forecast_of_noise_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(6):
        written(tmp_path / "data" / f"run{seed}.csv", {"x": noise(seed)["x"]})
    arguments = ["--target", "x", "--ahead", "5", "--samples", "16", "--epochs", "6"]
    assert main(["forecast", str(tmp_path / "data"), str(tmp_path / "next"), *arguments]) == 0
    said = capsys.readouterr().err
    assert "whoever says `always the mean of the training part`: do not use this one" in said


def test_classes_that_the_channels_do_not_tell_apart_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = [
        noise(seed) | {"state": np.full(100, "ok" if seed % 2 else "worn")} for seed in range(12)
    ]
    data = written(tmp_path / "a.csv", joined(tables))
    arguments = ["--unit", "unit", "--label", "state", "--samples", "10", "--hop", "1"]
    more = ["--good", "ok", "--epochs", "6"]
    assert main(["sensor-classify", str(data), str(tmp_path / "m"), *arguments, *more]) == 0
    assert "these channels do not tell the classes apart" in capsys.readouterr().err


def test_a_forecast_answers_every_coming_value_and_scores_the_last(forecast_bundle: Path) -> None:
    model = loaded(forecast_bundle)
    assert model.backend.outputs[0].shape == (1, 5)
    assert model.bundle.manifest.task.postprocess.index == 4


def test_the_same_data_and_seed_give_the_same_bundle(forecast_bundle: Path, tmp_path: Path) -> None:
    data = forecast_bundle.parent / "data"
    arguments = ["--target", "x", "--ahead", "5", "--samples", "16", "--epochs", "10"]
    again = tmp_path / "elsewhere" / "next"
    assert main(["forecast", str(data), str(again), *arguments]) == 0
    for path in sorted(forecast_bundle.iterdir()):
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
