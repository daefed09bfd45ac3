"""Recipes for recordings, from a CSV to a bundle that the agent runs; or a sentence and nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge_agent.inference.model import load_model

torch = pytest.importorskip("torch")

from tools import train_ballscrew_wear, train_turbofan  # noqa: E402
from tools.recordings.product import answered  # noqa: E402  needs the training environment
from tools.recordings.reader import read  # noqa: E402
from tools.recordings.series import Layout, Series  # noqa: E402
from tools.train import forecast, life, sensor_anomaly, sensor_classify  # noqa: E402
from tools.train.__main__ import main  # noqa: E402

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


def joined(tables: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([each[name] for each in tables]) for name in tables[0]}


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


# ---------------------------------------------------------------------- labels and rows


def test_folders_name_the_class_where_no_column_does(tmp_path: Path) -> None:
    for name in ("ok/a", "ok/b", "worn/c"):
        written(tmp_path / f"{name}.csv", vibration(len(name)))
    recording = sensor_classify.labelled_by_folder(read(tmp_path, Layout())[0])
    labels = [np.unique(np.asarray(each.target)).tolist() for each in recording.series]
    assert labels == [["ok"], ["ok"], ["worn"]]


def test_bad_rows_are_never_learned() -> None:
    plan = sensor_anomaly.Plan("density", 4, 1, 0.01, ("0",), life.SCHEDULE)
    one = Series("a", "a", ("x",), np.ones((4, 1)), np.arange(4), None, np.array(list("0011")))
    assert np.isnan(sensor_anomaly.good_only([one], plan)[0].values[:, 0]).tolist() == [
        False,
        False,
        True,
        True,
    ]


def test_a_life_column_wins_over_counting_rows() -> None:
    rows = np.ones((3, 1))
    counted = life.with_life(Series("a", "a", ("x",), rows, np.arange(3)))
    assert counted.target is not None
    assert counted.target.tolist() == [2.0, 1.0, 0.0]
    told = Series("a", "a", ("x",), rows, np.arange(3), None, np.array([9.0, 8.0, 7.0]))
    assert life.with_life(told) is told


def test_offsets_move_values_and_their_means_but_not_differences_and_age() -> None:
    plan = life.Plan(offset=1.0)
    still = torch.zeros(3, 4, 9)
    moved = life.with_offsets(still, plan, torch.Generator().manual_seed(0)).numpy()
    assert (moved[:, :, [2, 3, 6, 7, 8]] == 0).all()
    np.testing.assert_array_equal(moved[:, :, 0:2], moved[:, :, 4:6])
    assert (moved[:, 0] == moved[:, 3]).all()
    assert (moved[:, :, :2] != 0).all()


def test_coming_values_beyond_the_end_or_a_hole_are_unknown() -> None:
    values = np.arange(8.0)[:, None]
    values[5] = np.nan
    one = Series("a", "a", ("x",), values, np.arange(8))
    plan = forecast.Plan(0, 2, 2, life.SCHEDULE)
    shape = forecast.shape_of([one], plan, 1.0)
    inputs, coming = forecast.learned([one], shape, plan)
    mean, std = forecast.scale(shape, plan)
    assert len(inputs) == 2
    np.testing.assert_allclose(coming * std + mean, [[2, 3], [3, 4]], atol=1e-5)


# ---------------------------------------------------------------------- the shipped ones


def test_errors_of_the_turbofan_are_told_as_given_and_clipped_over_all_seeds() -> None:
    truth = np.array([130.0, 50.0])
    answers = [np.array([1.0, 0.4]), np.array([1.0, 0.48])]  # of 125 cycles
    given, clipped = train_turbofan.errors_of(answers, truth, "float")
    assert given[1].startswith(f"{np.mean([np.sqrt(12.5), np.sqrt((25 + 100) / 2)]):.2f} +- ")
    assert clipped[1].startswith(f"{np.mean([0, np.sqrt(50)]):.2f} +- ")
    assert "2 seeds" in given[0]
    assert clipped[0].endswith("clipped")


def wear(seed: int, rows: int = 40) -> Series:
    shares = np.cumsum(np.random.default_rng(seed).random(rows))[:, None] / 100
    return Series(f"p{seed}", f"p{seed}", ("pitted_share",), shares, np.arange(rows))


def test_histories_futures_and_what_the_network_learns_are_of_the_same_photos() -> None:
    series = [wear(0), wear(1, 31)]
    plan = train_ballscrew_wear.PLAN
    shape = forecast.shape_of(series, plan, 1.0)
    inputs, coming = forecast.learned(series, shape, plan)
    mean, std = forecast.scale(shape, plan)
    past, future = (each(series) for each in (train_ballscrew_wear.windows_of,
                                              train_ballscrew_wear.future_of))  # fmt: skip
    np.testing.assert_allclose(inputs[:, :, 0] * std + mean, past, atol=1e-5)
    np.testing.assert_allclose(coming[:, -1] * std + mean, future, atol=1e-5)
    known = train_ballscrew_wear.has_future(series)
    assert known.sum() == len(future)
    assert len(known) == len(future) + 2 * plan.ahead


def test_trivial_forecasts_are_what_their_names_say() -> None:
    line = np.linspace(0.02, 0.41, 40)[:, None]
    steady = Series("a", "a", ("pitted_share",), line, np.arange(40))
    answers = dict(train_ballscrew_wear.trivial_answers([steady], [steady]))
    future = train_ballscrew_wear.future_of([steady])
    np.testing.assert_allclose(answers["the line through the window goes on"], future)
    np.testing.assert_allclose(answers[train_ballscrew_wear.STEADY], future)
    np.testing.assert_allclose(future - answers[train_ballscrew_wear.STAYS], 0.06)


# ---------------------------------------------------------------------- nothing half-written

BROKEN = {
    "a column without numbers": {"x": np.full(ROWS, ""), "y": np.arange(ROWS)},
    "nothing moves": {"x": np.ones(ROWS), "y": np.ones(ROWS)},
    "too short": {"x": np.arange(5), "y": np.arange(5) ** 2},
    "too few windows to quantise": {"x": np.arange(90) % 7, "y": np.arange(90) % 5},
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("recipe", ["sensor-anomaly", "forecast"])
def test_unfit_data_ends_in_a_sentence_and_leaves_nothing(
    what: str, recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "data" / "bad.csv", BROKEN[what])
    extra = ["--target", "x"] if recipe == "forecast" else []
    extra += ["--epochs", "1", "--samples", "6"]
    assert main([recipe, str(data), str(tmp_path / "out" / "model"), *extra]) == 1
    captured = capsys.readouterr()
    said = captured.err
    assert "error: " in said
    assert "epoch" not in captured.out, "it was trained before that was said"
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_target_that_is_no_channel_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "a.csv", vibration(0))
    assert main(["forecast", str(data), str(tmp_path / "m"), "--target", "speed"]) == 1
    assert "--target speed: no channel that changes; there are x, y" in capsys.readouterr().err


def test_a_good_label_that_does_not_exist_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "a.csv", vibration(0) | {"state": np.full(ROWS, "fine")})
    arguments = ["--label", "state", "--samples", "6"]
    assert main(["sensor-anomaly", str(data), str(tmp_path / "m"), *arguments]) == 1
    assert "column state holds fine: say with --good which is good" in capsys.readouterr().err


def test_one_machine_is_not_enough_for_a_life(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "a.csv", wearing(0))
    arguments = ["--unit", "unit", "--samples", "6"]
    assert main(["life", str(data), str(tmp_path / "m"), *arguments]) == 1
    assert "1 group" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["sensor-classify", "sensor-anomaly", "life", "forecast"])
@pytest.mark.parametrize("option", ["--hop", "--rate", "--epochs"])
def test_nothing_of_what_must_be_something_is_refused(
    recipe: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([recipe, str(tmp_path), str(tmp_path / "m"), option, "0"])
    assert f"argument {option}: 0: wanted is a " in capsys.readouterr().err


def test_too_few_windows_name_the_hop_and_one_that_makes_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = states(tmp_path / "a.csv", rows=200)
    words = ["sensor-classify", str(data), str(tmp_path / "m"), *STATES, "--epochs", "1"]
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "144 windows to train on with --hop 8; 240 are needed" in said
    assert "record more, or give --hop 4" in said
    assert main([*words, "--hop", "5"]) == 1
    assert main([*words, "--hop", "4"]) == 0


def test_a_hop_that_would_do_is_not_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = states(tmp_path / "a.csv", rows=40)
    assert main(["sensor-classify", str(data), str(tmp_path / "m"), *STATES]) == 1
    assert (
        "with --hop 8; 240 are needed to quantise and to check it: record more, for not even"
        in (capsys.readouterr().err)
    )


@pytest.mark.parametrize("unit", ["s", "iso8601"])
def test_a_column_of_text_has_no_times(
    unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = states(tmp_path / "a.csv", machines=3)
    words = ["sensor-classify", str(data), str(tmp_path / "m"), *STATES]
    assert main([*words, "--time", "state", "--time-unit", unit]) == 1
    said = capsys.readouterr().err
    assert f"a.csv, column state has no times: 'ok' in row 2 is none by --time-unit {unit}" in said
